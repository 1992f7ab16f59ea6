import { Access, type GateOptions, type Verified } from "./access.js";
import type { Argument, Client, Command, Reply } from "./driver.js";
import { BadArgument, BusyToken, NoSession } from "./errors.js";
import { Payloads } from "./payloads.js";
import { openSession, type Session } from "./session.js";
import { publicId } from "./token.js";
import {
  type Bytes,
  bytes,
  entriesOf,
  type Info,
  infoOf,
  lifeArguments,
  type PayloadData,
  pairsOf,
  text,
} from "./wire.js";

/** How a session begins; what is not given is the gate's. */
export interface Life {
  /** Seconds that the session lives from each refresh. 0 stores nothing. */
  ttl?: number | undefined;
  /** Seconds from now that no refresh passes. */
  maxTtl?: number | undefined;
  payloads?: PayloadData | undefined;
}

export interface OwnedLife extends Life {
  /** How many sessions the owner may have: the oldest of those beyond end. */
  limit?: number | undefined;
}

export interface Rotation {
  /** Seconds, 300 at most, for which the old token leads to the session as well. Default: 0. */
  grace?: number | undefined;
  /** A new life, in seconds. Default: as it was. */
  ttl?: number | undefined;
  /** A new deadline, in seconds from now. Default: as it was. */
  maxTtl?: number | undefined;
}

/** When a payload is set or deleted: one of them at most. */
export interface Condition {
  /** Only if there is none of that name. */
  nx?: boolean | undefined;
  /** Only if there is one. */
  xx?: boolean | undefined;
  /** Only if there is one with exactly these bytes. */
  ifEqual?: Bytes | undefined;
}

/** After what time a payload is gone, one of them at most; otherwise it lasts as long as the session. */
export interface PayloadLife {
  /** Seconds. */
  ex?: number | undefined;
  /** Milliseconds. */
  px?: number | undefined;
}

/** One session of an owner, for a page "your devices". */
export interface Device {
  /** Names the session for endSession; may be shown: the token cannot be found from it. */
  id: string;
  started: Date;
  /** Whether it is the one that asks. */
  current: boolean;
  /** Its payloads that can be read, decoded. */
  payloads: Record<string, unknown>;
}

/** The access of a gate, for the adapters of this package. @internal */
export let accessOf: (gate: Gate) => Access;

/**
 * One application's access to SessionGate: a method a command, named as the command. It opens no connection:
 * the client, of `redis` or `ioredis`, is the application's, which also closes it.
 *
 * Each method that takes a token first verifies it here: BadToken and BadSignature cost no round trip. Else
 * the errors are the server's, a class a code (see SessionGateError), and what the driver itself raises.
 */
export class Gate {
  readonly #access: Access;

  static {
    accessOf = (gate) => gate.#access;
  }

  /**
   * @throws BadArgument when an option is wrong, TypeError when the client is of neither driver
   */
  constructor(client: Client, options: GateOptions) {
    this.#access = new Access(client, options);
  }

  // Tokens --------------------------------------------------------------------------------------

  /** A new token for adopt, signed with the newest sign key. No round trip. */
  mint(): string {
    return this.#access.mint();
  }

  /** Which sign key signed the token; undefined when none did, or it is no token. No round trip. */
  verify(token: unknown): Verified | undefined {
    return this.#access.verify(token);
  }

  // Sessions ------------------------------------------------------------------------------------

  /** Start a session and return its token. In a cluster it is minted here and adopted, so that sessions spread. */
  async start(life: Life = {}): Promise<string> {
    const access = this.#access;
    if (!access.cluster) {
      const [ttl, ...rest] = this.#lifeOf(life);
      return text(await access.call(access.start(ttl as string, "FORMAT", access.format, ...rest)));
    }
    const token = access.mint();
    try {
      await this.adopt(token, life);
    } catch (error) {
      if (!(error instanceof BusyToken)) throw error; // stored: the reply was lost, and the driver sent it again
    }
    return token;
  }

  /** Start a session under a token that was minted right before. BusyToken when a session of it lives. */
  async adopt(token: string, life: Life = {}): Promise<void> {
    await this.#call("ADOPT", token, this.#lifeOf(life));
  }

  /** Start a session of an owner, a label of 1 to 200 bytes, and return its token, which is always v2. */
  async ostart(owner: string, life: OwnedLife = {}): Promise<string> {
    const [ttl, ...rest] = this.#lifeOf(life);
    const limit = life.limit === undefined ? [] : ["LIMIT", String(life.limit)];
    const args = [ttl as string, ...limit, ...rest];
    return text(await this.#access.call(this.#access.command("OSTART", owner, 0, ...args)));
  }

  /** The tokens of the owner's sessions, the oldest start first; those of the newest sign key come first. */
  async olist(owner: string): Promise<string[]> {
    const lists = await this.#eachKey((position) => this.#access.command("OLIST", owner, position));
    return lists.flatMap((list) => (list as Reply[]).map(text));
  }

  /**
   * End all sessions of the owner, or all but `keep`'s, and return how many. When `keep` leads to no living
   * session of that owner: BadToken, BadSignature or NoSession, and nothing ends.
   */
  async oend(owner: string, options: { keep?: string | undefined } = {}): Promise<number> {
    const { keep } = options;
    const access = this.#access;
    if (keep === undefined) {
      const ended = await this.#eachKey((position) => access.command("OEND", owner, position));
      return ended.reduce<number>((sum, count) => sum + Number(count), 0);
    }
    const kept = access.keyOf(keep);
    let count = Number(await access.call(access.command("OEND", owner, kept, "KEEP", keep)));
    for (let position = 0; position < access.keyCount; position++) {
      if (position !== kept)
        count += Number(await access.call(access.command("OEND", owner, position)));
    }
    return count;
  }

  /** Seconds left; -1: it does not expire. */
  async ttl(token: string): Promise<number> {
    return Number(await this.#call("TTL", token));
  }

  async info(token: string): Promise<Info> {
    return infoOf(await this.#call("INFO", token));
  }

  /** Set the remaining life, in seconds. 0 ends the session. */
  async expire(token: string, ttl: number): Promise<void> {
    try {
      await this.#call("EXPIRE", token, [String(ttl)]);
    } finally {
      this.#access.lifeChanged(token); // also where the reply was lost
    }
  }

  /** Restore the life, unless that was done less than `minAge` seconds ago, and return the seconds left. */
  async touch(token: string, options: { minAge?: number | undefined } = {}): Promise<number> {
    const args = options.minAge === undefined ? [] : ["MINAGE", String(options.minAge)];
    return Number(await this.#call("TOUCH", token, args));
  }

  /**
   * Give the session a new token, of the newest sign key, and return it. Without `grace` the old token is dead
   * at once; a rotation whose reply was lost and that the driver sends again answers NoSession then.
   */
  async rotate(token: string, rotation: Rotation = {}): Promise<string> {
    const position = this.#access.keyOf(token);
    const args: Argument[] = position === 0 ? [] : ["NEWKEY", this.#access.signKey(0)];
    if (rotation.grace !== undefined) args.push("GRACE", String(rotation.grace));
    if (rotation.ttl !== undefined) args.push("TTL", String(rotation.ttl));
    if (rotation.maxTtl !== undefined) args.push("MAXTTL", String(rotation.maxTtl));
    return text(await this.#access.call(this.#access.command("ROTATE", token, position, ...args)));
  }

  async end(token: string): Promise<void> {
    await this.#call("END", token);
  }

  // Payloads ------------------------------------------------------------------------------------

  /** Set a payload, and answer whether the condition held. Whatever life it had, it has the one given here. */
  async pset(
    token: string,
    name: Bytes,
    data: Bytes,
    options: Condition & PayloadLife = {},
  ): Promise<boolean> {
    const { nx, xx, ifEqual, ex, px } = options;
    if (Number(Boolean(nx)) + Number(Boolean(xx)) + Number(ifEqual !== undefined) > 1) {
      throw new BadArgument("of nx, xx and ifEqual there is one at most");
    }
    if (ex !== undefined && px !== undefined) {
      throw new BadArgument("of ex and px there is one at most");
    }
    const args = [bytes(name), bytes(data)];
    if (nx) args.push("NX");
    if (xx) args.push("XX");
    if (ifEqual !== undefined) args.push("IFEQ", bytes(ifEqual));
    if (ex !== undefined) args.push("EX", String(ex));
    if (px !== undefined) args.push("PX", String(px));
    return (await this.#call("PSET", token, args)) !== null;
  }

  /** Set payloads, all or none. */
  async pmset(token: string, payloads: PayloadData): Promise<void> {
    await this.#call("PMSET", token, pairsOf(payloads));
  }

  async pget(token: string, name: Bytes): Promise<Buffer> {
    return (await this.#call("PGET", token, [bytes(name)])) as Buffer;
  }

  /** The data in the order of the names, null where there is no such payload. */
  async pmget(token: string, names: readonly Bytes[]): Promise<(Buffer | null)[]> {
    return (await this.#call("PMGET", token, names.map(bytes))) as (Buffer | null)[];
  }

  /** All payloads. A name that is no UTF-8 shows U+FFFD where it is not; pget takes it as bytes. */
  async pgetall(token: string): Promise<Map<string, Buffer>> {
    return new Map(entriesOf(await this.#call("PGETALL", token)) as [string, Buffer][]);
  }

  /**
   * Delete a payload, with `ifEqual` only if it has exactly these bytes, and answer whether that was so. Without
   * `ifEqual` it is an error, NoPayload, when there is none.
   */
  async pdel(
    token: string,
    name: Bytes,
    options: Pick<Condition, "ifEqual"> = {},
  ): Promise<boolean> {
    const { ifEqual } = options;
    const condition = ifEqual === undefined ? [] : ["IFEQ", bytes(ifEqual)];
    return (await this.#call("PDEL", token, [bytes(name), ...condition])) !== null;
  }

  /** Milliseconds that a payload has left; -1: as long as the session. */
  async pttl(token: string, name: Bytes): Promise<number> {
    return Number(await this.#call("PTTL", token, [bytes(name)]));
  }

  /** Delete a payload and return its data: of many who ask one gets it. */
  async ppop(token: string, name: Bytes): Promise<Buffer> {
    return (await this.#call("PPOP", token, [bytes(name)])) as Buffer;
  }

  // Above the commands --------------------------------------------------------------------------

  /**
   * The session of a token, loaded and refreshed in one round trip. Without a token, or where it leads to no
   * session (ended, expired, forged), a new and empty one, which is stored when it is first saved.
   */
  session<T extends object = Record<string, unknown>>(token?: string | null): Promise<Session<T>> {
    return openSession<T>(this.#access, token);
  }

  /** The owner's sessions, the oldest first. `current` is the token of the one that asks. */
  async sessions(owner: string, options: { current?: string | undefined } = {}): Promise<Device[]> {
    const access = this.#access;
    const tokens = await this.olist(owner);
    const commands = tokens.flatMap((token) => {
      const position = access.keyOf(token);
      return [access.command("INFO", token, position), access.payloadsOf(token, position)];
    });
    const replies = commands.length === 0 ? [] : await access.send(commands);
    return tokens
      .flatMap((token, index) => {
        const [info, payloads] = replies.slice(2 * index, 2 * index + 2);
        const failed = [info, payloads].find((reply) => reply instanceof Error);
        if (failed instanceof NoSession) return []; // it ended between the list and this
        if (failed) throw failed;
        const { created } = infoOf(info);
        return [
          {
            id: publicId(token),
            started: new Date(created),
            current: token === options.current,
            payloads: new Payloads(payloads, access.serializer).values(),
          },
        ];
      })
      .sort((a, b) => a.started.getTime() - b.started.getTime());
  }

  /** End one of the owner's sessions, by the id that `sessions` gave it: whether there was one. */
  async endSession(owner: string, id: string): Promise<boolean> {
    const token = (await this.olist(owner)).find((candidate) => publicId(candidate) === id);
    if (token === undefined) return false;
    try {
      await this.end(token);
      return true;
    } catch (error) {
      if (error instanceof NoSession) return false;
      throw error;
    }
  }

  /** End all of the owner's sessions, or all but `keep`'s, and return how many; as oend. */
  endAll(owner: string, options: { keep?: string | undefined } = {}): Promise<number> {
    return this.oend(owner, options);
  }

  // ---------------------------------------------------------------------------------------------

  async #call(name: string, token: string, args: readonly Argument[] = []): Promise<Reply> {
    return this.#access.call(this.#access.command(name, token, this.#access.keyOf(token), ...args));
  }

  /** One command for each sign key: a list shows and ends only what its own key signed. */
  async #eachKey(command: (position: number) => Command): Promise<Reply[]> {
    const commands = Array.from({ length: this.#access.keyCount }, (_, position) =>
      command(position),
    );
    const replies = await this.#access.send(commands);
    const failed = replies.find((reply) => reply instanceof Error);
    if (failed) throw failed;
    return replies;
  }

  #lifeOf(life: Life): Argument[] {
    const { ttl = this.#access.ttl, maxTtl = this.#access.maxTtl, payloads } = life;
    return lifeArguments(ttl, maxTtl, payloads ? pairsOf(payloads) : []);
  }
}
