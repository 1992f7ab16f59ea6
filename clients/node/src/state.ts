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
import { type Changes, isLock, Payloads } from "./payloads.js";
import { entriesOf, type Info, infoOf, lifeArguments, text } from "./wire.js";

const UNCHANGED: Changes = { set: [], gone: [] };

/** A payload as it is stored, as bytes since not all need be text. */
interface Stored {
  readonly name: Argument;
  readonly data: Argument;
  /** Milliseconds left; -1: as long as the session. */
  readonly left: number;
}

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
    const commands = [access.payloadsOf(token as string, signKey)];
    const asked = performance.now();
    const known = access.freshLeft(token as string, asked);
    if (known === undefined) commands.push(access.refreshing(token as string, signKey));
    return access.send(commands).then(([payloads, refresh]) => {
      if (payloads instanceof NoSession) return undefined;
      if (payloads instanceof Error) throw payloads;
      // What is wrong with the refresh (a replica, out of memory) is no matter of who only reads.
      const told = refresh === undefined || refresh instanceof Error ? undefined : Number(refresh);
      if (told !== undefined) access.refreshed(token as string, asked, told);
      return new SessionState(access, token as string, signKey, payloads, known ?? told);
    });
  }

  get token(): string {
    this.#token ??= this.access.mint();
    return this.#token;
  }

  get isStored(): boolean {
    return this.#phase === "stored";
  }

  /** Whether it was ended, here or, as far as that was noticed, elsewhere. */
  get isOver(): boolean {
    return this.#phase === "over";
  }

  /** Seconds left when it was loaded, where that is known. */
  get left(): number | undefined {
    return this.#left;
  }

  /** Whether a save refreshes it: the refresh of the load goes by the gate's ttl, and its own life may be shorter. */
  get isRefreshDue(): boolean {
    return this.life < this.access.ttl && this.#left !== undefined && this.#left < 0.9 * this.life;
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
      const { stored, info } = await this.#stored();
      if (info.owner === owner) {
        this.payloads = new Payloads(pairsIn(stored).map(String), this.access.serializer);
        await this.#rotate();
        await this.#send(changes, life);
        return;
      }
      const former = this.#command("END");
      await this.#startOwned(owner, limit, life, changes.set, unchanged(stored, changes));
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
      this.payloads = new Payloads(undefined, this.access.serializer);
    });
  }

  /**
   * Try once to set the payload of a lock where there is none; when that is done `renew` is given what is stored
   * under it.
   *
   * @throws NoSession when it was ended meanwhile
   */
  lock(
    name: string,
    value: string,
    milliseconds: number,
    renew: (stored: Payloads) => void,
  ): Promise<boolean> {
    return this.#inTurn(async () => {
      this.#notOver();
      const set = this.#command("PSET", name, value, "NX", "PX", String(milliseconds));
      const read = this.access.payloadsOf(this.token, this.#signKey);
      const [, reply] = await this.#atMaster([set, read]);
      // What was read shows our value, so it was read under the lock. The reply to PSET cannot say that: sent
      // again by the driver, it finds what it has set itself.
      if (new Map(entriesOf(reply)).get(name) !== value) return false;
      renew(new Payloads(reply, this.access.serializer));
      return true;
    });
  }

  /** Delete the payload of a lock if it has that value. */
  unlock(name: string, value: string): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#phase !== "stored") return;
      const [reply] = await this.access.send([this.#command("PDEL", name, "IFEQ", value)]);
      if (reply instanceof Error && !(reply instanceof NoSession)) throw reply;
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

  /** As #all, but no replica answers: it may not have yet what was written right before. */
  #atMaster(commands: readonly Command[], forgiven?: typeof NoPayload): Promise<Reply[]> {
    return this.#all(
      commands.map((command) => ({ ...command, readonly: false })),
      forgiven,
    );
  }

  /** What the server has by now, without locks. Payloads that were not known yet take a second round trip. */
  async #stored(): Promise<{ stored: Stored[]; info: Info }> {
    const lifeOf = (name: Argument) => this.#command("PTTL", name);
    const known = [...this.payloads.names()];
    const commands = [this.#command("PGETALL"), this.#command("INFO"), ...known.map(lifeOf)];
    const [reply, info, ...lives] = await this.#atMaster(commands, NoPayload);
    const left = new Map(known.map((name, index) => [bytesOf(name), lives[index]]));
    const all = withoutLocks(reply);
    const late = all.map(([name]) => name).filter((name) => !left.has(bytesOf(name)));
    if (late.length > 0) {
      const more = await this.#atMaster(late.map(lifeOf), NoPayload);
      late.forEach((name, index) => {
        left.set(bytesOf(name), more[index]);
      });
    }
    const stored = all.flatMap(([name, data]) => {
      const milliseconds = left.get(bytesOf(name));
      return milliseconds instanceof NoPayload ? [] : [{ name, data, left: Number(milliseconds) }];
    });
    return { stored, info: infoOf(info) };
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
      this.access.lifeChanged(this.token); // now, since whether it is may never be known; and when it is, again
      commands.push(this.#command("EXPIRE", String(life)));
    } else if (this.isRefreshDue) {
      commands.push(this.#command("TOUCH", "MINAGE", String(Math.floor(life / 10))));
    }
    return commands;
  }

  #settled(changes: Changes, life: number): void {
    this.payloads.apply(changes);
    if (life !== this.life) this.access.lifeChanged(this.token);
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

  /** Start the owner's session with these payloads, `set` by turns; it is this one from then on. */
  async #startOwned(
    owner: string,
    limit: number | undefined,
    life: number,
    set: readonly string[],
    kept: readonly Stored[] = [],
  ): Promise<void> {
    const { access } = this;
    const lasting = [...pairsIn(kept.filter(({ left }) => left < 0)), ...set];
    const ending = kept.filter(({ left }) => left >= 0);
    const [ttl, ...rest] = lifeArguments(life, access.maxTtl, lasting);
    const most = limit === undefined ? [] : ["LIMIT", String(limit)];
    const started = access.command("OSTART", owner, 0, ttl as string, ...most, ...rest);
    const token = text(await access.call(started));
    if (ending.length > 0) await this.#setEnding(token, ending);
    this.#token = token;
    this.#signKey = 0;
    this.#phase = "stored";
    this.payloads = new Payloads([...lasting, ...pairsIn(ending)].map(String), access.serializer);
    this.#settled(UNCHANGED, life);
  }

  /** Give the session that was just started its payloads that end by themselves; where that fails it ends. */
  async #setEnding(token: string, ending: readonly Stored[]): Promise<void> {
    const { access } = this;
    const replies = await access.send(
      ending.map(({ name, data, left }) =>
        access.command("PSET", token, 0, name, data, "PX", String(Math.max(1, left))),
      ),
    );
    const failed = replies.find((reply) => reply instanceof Error);
    if (!failed) return;
    await access.send([access.command("END", token, 0)]);
    throw failed;
  }
}

const bytesOf = (name: Argument): string => Buffer.from(name as string).toString("latin1");

/** Names and data by turns. */
const pairsIn = (stored: readonly Stored[]) => stored.flatMap(({ name, data }) => [name, data]);

/** All payloads but for locks, of a reply whatever its shape. */
function withoutLocks(reply: Reply): [name: Argument, data: Argument][] {
  const flat: Argument[] = Array.isArray(reply) ? reply : Object.entries(reply as object).flat();
  const pairs: [Argument, Argument][] = [];
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as Argument;
    if (!isLock(String(name))) pairs.push([name, flat[i + 1] as Argument]);
  }
  return pairs;
}

/** Those that these changes neither set nor delete. */
function unchanged(stored: readonly Stored[], { set, gone }: Changes): Stored[] {
  const changed = new Set([...gone, ...set.filter((_, index) => index % 2 === 0)]);
  return stored.filter(({ name }) => !changed.has(String(name)));
}
