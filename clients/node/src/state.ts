/**
 * A session as one request knows it: its token, what was loaded of it, and how it is saved. Sessions and
 * adapters keep one each and give it values; it sends what differs.
 *
 *     fresh ──save──► stored ──save, rotate, login──► stored
 *       │                │
 *       └──────end───────┴──end, or ended elsewhere──► over: nothing makes it again
 *
 * A stored session is only ever updated. Saves are queued: with two in flight the second would find the
 * session that the first has just started.
 */
import type { Access } from "./access.js";
import type { Argument, Command, Reply } from "./driver.js";
import { BusyToken, NoPayload, NoSession, SessionGateError } from "./errors.js";
import { type Changes, Payloads } from "./payloads.js";
import { infoOf, lifeArguments, text } from "./wire.js";

const UNCHANGED: Changes = { set: [], gone: [] };

export class SessionState {
  readonly access: Access;
  payloads: Payloads;
  /** The life that a refresh restores, in seconds. */
  life: number;
  #token: string | undefined;
  #signKey: number;
  #phase: "fresh" | "stored" | "over";
  /** Seconds left when it was loaded; undefined when that is not known, or the life was just set. */
  #left: number | undefined;
  /** Whether an attempt to store it may have reached the server. */
  #attempted = false;
  /** Until the last of those in turn is done, whether it succeeds or not. */
  #busy: Promise<void> | undefined;

  private constructor(
    access: Access,
    token: string | undefined,
    signKey: number,
    payloads?: Reply,
    left?: number,
  ) {
    this.access = access;
    this.payloads = new Payloads(payloads, access.serializer);
    this.life = access.ttl;
    this.#token = token;
    this.#signKey = signKey;
    this.#phase = payloads === undefined ? "fresh" : "stored";
    this.#left = left;
  }

  /** One that is not stored yet, under a token that was minted for it; without one it is minted when asked for. */
  static fresh(access: Access, token?: string, signKey = 0): SessionState {
    return new SessionState(access, token, signKey);
  }

  /** The session of what should be a token, refreshed when that is due; undefined when there is none. */
  static load(access: Access, token: unknown): Promise<SessionState | undefined> {
    const verified = access.verify(token);
    if (!verified) return Promise.resolve(undefined);
    const signKey = verified.position;
    return access.send(access.loading(token as string, signKey)).then(([payloads, left]) => {
      if (payloads instanceof NoSession) return undefined;
      if (payloads instanceof Error) throw payloads;
      // What is wrong with the refresh (a replica, out of memory) is no matter of who only reads.
      const seconds = left instanceof Error ? undefined : Number(left);
      return new SessionState(access, token as string, signKey, payloads, seconds);
    });
  }

  get token(): string {
    this.#token ??= this.access.mint();
    return this.#token;
  }

  get isStored(): boolean {
    return this.#phase === "stored";
  }

  /** Seconds left when it was loaded, where that is known. */
  get left(): number | undefined {
    return this.#left;
  }

  /**
   * Send what has changed, in one round trip; undefined, at once, where there is nothing to send. Sets are all
   * or none; sets, deletes and the new life are one round trip, not one transaction.
   *
   * @throws NoSession when it was ended meanwhile: then nothing is stored
   */
  save(changing: () => Changes, life = this.life): Promise<void> | undefined {
    if (!this.#busy && this.#phase !== "over") {
      const sent = this.#send(changing(), life);
      return sent && this.#inTurn(() => sent);
    }
    return this.#inTurn(async () => {
      this.#notOver();
      await this.#send(changing(), life); // with a save in flight only now is known what it left to do
    });
  }

  /**
   * Ask whether it still lives, before an unchanged token is handed out again: that could take the place of a
   * newer login's.
   *
   * @throws NoSession when it was ended meanwhile
   */
  confirm(): Promise<void> {
    return this.#inTurn(async () => {
      this.#notOver();
      if (this.#phase === "fresh") return;
      const [reply] = await this.access.send([this.access.refreshing(this.token, this.#signKey)]);
      if (!(reply instanceof NoSession)) return; // who reads is not failed by a replica, or for want of memory
      this.#phase = "over";
      throw reply;
    });
  }

  /** Delete a payload and return its value, or undefined when there is none: of many who ask one gets it. */
  take(name: string): Promise<unknown> {
    return this.#inTurn(async () => {
      this.#notOver();
      if (this.#phase === "fresh") return undefined;
      const [data] = await this.#all([this.#command("PPOP", name)], NoPayload);
      const gone: Changes = { set: [], gone: [name] };
      if (data instanceof NoPayload) {
        this.payloads.apply(gone);
        return undefined;
      }
      this.payloads.apply({ set: [name, text(data)], gone: [] });
      try {
        return this.payloads.value(name);
      } finally {
        this.payloads.apply(gone);
      }
    });
  }

  /** A new token, of the newest sign key; the old one is dead at once. */
  rotate(): Promise<void> {
    return this.#inTurn(() => this.#rotate());
  }

  /**
   * A new session of that owner with these payloads and changes; this one ends. The owner's own session gets a
   * new token.
   *
   * @throws NoSession when it was ended meanwhile: then nobody is logged in
   */
  login(
    owner: string,
    limit: number | undefined,
    changing: () => Changes,
    life = this.life,
  ): Promise<void> {
    return this.#inTurn(async () => {
      this.#notOver();
      const changes = changing();
      if (this.#phase === "fresh") {
        await this.#startOwned(owner, limit, life, changes.set);
        return;
      }
      const [reply, info] = await this.#all([this.#command("PGETALL"), this.#command("INFO")]);
      const pairs = (
        Array.isArray(reply) ? reply : Object.entries(reply as object).flat()
      ) as Argument[];
      if (infoOf(info).owner === owner) {
        this.payloads = new Payloads(pairs.map(String), this.access.serializer);
        await this.#rotate();
        await this.#send(changes, life);
        return;
      }
      const former = this.#command("END");
      await this.#startOwned(owner, limit, life, changed(pairs, changes));
      try {
        await this.access.call(former);
      } catch (error) {
        // Somebody ended the visitor's session meanwhile, or nobody knows: then it must not go on by another name.
        const started = this.#command("END");
        this.#phase = "over";
        await this.access.send([started]);
        throw error;
      }
    });
  }

  /** End it. One that is over already stays so. */
  end(): Promise<void> {
    return this.#inTurn(async () => {
      const stored = this.#phase === "stored" || this.#attempted;
      const command = stored ? this.#command("END") : undefined;
      if (command) {
        const [reply] = await this.access.send([command]);
        if (reply instanceof Error && !(reply instanceof NoSession)) throw reply;
      }
      this.#phase = "over";
    });
  }

  // ---------------------------------------------------------------------------------------------

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const running = this.#busy ? this.#busy.then(work) : work();
    const done = () => {
      if (this.#busy === settled) this.#busy = undefined;
    };
    const settled: Promise<void> = running.then(done, done);
    this.#busy = settled;
    return running;
  }

  #notOver(): void {
    if (this.#phase === "over") throw new NoSession();
  }

  #command(name: string, ...args: Argument[]): Command {
    return this.access.command(name, this.token, this.#signKey, ...args);
  }

  /** Send together; the first error is thrown, a NoSession before any other. */
  #all(commands: readonly Command[], forgiven?: typeof NoPayload): Promise<Reply[]> {
    return this.access.send(commands).then((replies) => {
      let failed: Error | undefined;
      for (const reply of replies) {
        if (!(reply instanceof Error) || (forgiven && reply instanceof forgiven)) continue;
        if (reply instanceof NoSession) {
          this.#phase = "over";
          throw reply;
        }
        failed ??= reply;
      }
      if (failed) throw failed;
      return replies;
    });
  }

  /** undefined, at once, where there is nothing to send. */
  #send(changes: Changes, life: number): Promise<void> | undefined {
    if (this.#phase === "fresh") {
      return changes.set.length > 0 ? this.#adopt(changes, life) : undefined;
    }
    const commands = this.#updates(changes, life);
    return commands.length > 0 ? this.#update(commands, changes, life) : undefined;
  }

  async #adopt(changes: Changes, life: number): Promise<void> {
    const again = this.#attempted;
    this.#attempted = true;
    const args = lifeArguments(life, this.access.maxTtl, changes.set);
    try {
      await this.access.call(this.#command("ADOPT", ...args));
    } catch (error) {
      if (!(error instanceof BusyToken)) {
        // A refusal of the server's stored nothing; anything else may have been stored.
        if (error instanceof SessionGateError) this.#attempted = again;
        throw error;
      }
      // The token was minted for this session, so it is this session that lives: a reply was lost. The payloads
      // may be those of an earlier save, or, where a caller named the token, another's.
      await this.#all([this.#command("PMSET", ...changes.set)]);
    }
    this.#phase = "stored";
    this.#attempted = false;
    this.#settled(changes, life);
  }

  #update(commands: readonly Command[], changes: Changes, life: number): Promise<void> {
    return this.#all(commands, NoPayload).then(() => this.#settled(changes, life));
  }

  #updates(changes: Changes, life: number): Command[] {
    const commands: Command[] = [];
    if (changes.set.length > 0) commands.push(this.#command("PMSET", ...changes.set));
    for (const name of changes.gone) commands.push(this.#command("PDEL", name));
    if (life !== this.life) {
      commands.push(this.#command("EXPIRE", String(life)));
    } else if (life < this.access.ttl && this.#left !== undefined && this.#left < 0.9 * life) {
      // The refresh of the load goes by the gate's ttl, which is longer than this session's own.
      commands.push(this.#command("TOUCH", "MINAGE", String(Math.floor(life / 10))));
    }
    return commands;
  }

  #settled(changes: Changes, life: number): void {
    this.payloads.apply(changes);
    this.life = life;
    this.#left = undefined;
  }

  async #rotate(): Promise<void> {
    this.#notOver();
    if (this.#phase === "fresh") {
      if (!this.#attempted) this.#token = undefined;
      return;
    }
    const newKey = this.#signKey === 0 ? [] : ["NEWKEY", this.access.signKey(0)];
    const [token] = await this.#all([this.#command("ROTATE", ...newKey)]);
    this.#token = text(token);
    this.#signKey = 0;
  }

  /** Start the owner's session with these names and data by turns; it is this one from then on. */
  async #startOwned(
    owner: string,
    limit: number | undefined,
    life: number,
    pairs: readonly Argument[],
  ): Promise<void> {
    const { access } = this;
    const [ttl, ...rest] = lifeArguments(life, access.maxTtl, pairs);
    const most = limit === undefined ? [] : ["LIMIT", String(limit)];
    const started = access.command("OSTART", owner, 0, ttl as string, ...most, ...rest);
    this.#token = text(await access.call(started));
    this.#signKey = 0;
    this.#phase = "stored";
    this.payloads = new Payloads(pairs.map(String), access.serializer);
    this.#settled(UNCHANGED, life);
  }
}

/** Stored payloads, as bytes since not all need be text, with changes: names and data by turns. */
function changed(pairs: readonly Argument[], { set, gone }: Changes): Argument[] {
  const replaced = new Set([...gone, ...set.filter((_, index) => index % 2 === 0)]);
  return [...pairs.filter((_, index) => !replaced.has(String(pairs[index - (index % 2)]))), ...set];
}
