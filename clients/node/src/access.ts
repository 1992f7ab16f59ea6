/**
 * One application's access: its sign keys, its policy, and its way to the server. Gate shows it to the
 * application, sessions and adapters use it directly.
 */
import { createSecretKey, type KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Argument,
  type Client,
  type Command,
  type Driver,
  driverOf,
  type Reply,
} from "./driver.js";
import { BadArgument, BadSignature, BadToken, errorOf, isTryAgain } from "./errors.js";
import { secret } from "./secret.js";
import { formOf, mint, signedBy, type TokenFormat } from "./token.js";

/** What a payload is written with: as JSON, unless the application has better. */
export interface Serializer {
  /** undefined leaves the payload out. */
  stringify(value: unknown): string | undefined;
  parse(text: string): unknown;
}

export interface GateOptions {
  /**
   * The application's secrets, newest first; text stands for its UTF-8. New tokens are signed with the first,
   * tokens of the others go on working. At least one, none empty.
   */
  signKeys: readonly (string | Uint8Array)[];
  /** The life of a session from its last refresh, in seconds. Default: 1800. */
  ttl?: number | undefined;
  /** A deadline from the start that no refresh passes, in seconds. Default: none. */
  maxTtl?: number | undefined;
  /** A loaded session is refreshed at most once in so many seconds, and in a tenth of its life. Default: 60. */
  refresh?: number | undefined;
  /** The form of new tokens. Default: "v2". */
  tokenFormat?: TokenFormat | undefined;
  /** How sessions write their payloads. Default: JSON. */
  serializer?: Serializer | undefined;
}

/** Which sign key a token is signed with, and its form. */
export interface Verified {
  /** Position in `signKeys`. */
  readonly position: number;
  readonly form: TokenFormat;
}

/** TRYAGAIN is repeated after 4, 8, 16 … 512 ms, ten times, 2 s in all. */
const FIRST_WAIT_MS = 4;
const LONGEST_WAIT_MS = 512;
const REPEATS = 10;

/** So many tokens are remembered, at some 250 bytes each; then all are forgotten. */
const MOST_KNOWN = 10_000;

/**
 * For so long is relied on what a refresh answered. Another process may have given the session a shorter life
 * since: one of 10 s or more would not be refreshed again earlier, as MINAGE counts as half of it at most.
 */
const FRESH_FOR_MS = 5000;

/** What is known of a token that was verified lately. Times are on the clock of `performance`. */
interface Known {
  readonly verified: Verified;
  /** Until then a refresh of its session changes nothing. */
  freshUntil: number;
  /** When the session ends, as its last refresh answered. */
  endsAt: number;
}

export class Access {
  readonly ttl: number;
  readonly maxTtl: number | undefined;
  readonly serializer: Serializer;
  /** The age in seconds from which a load refreshes a session. */
  readonly #minAge: number;
  readonly #driver: Driver;
  readonly #format: TokenFormat;
  /** The keys twice: to verify with, and to send. Neither shows its bytes. */
  readonly #verifying: readonly KeyObject[];
  readonly #sending: readonly Buffer[];
  /** Tokens that were verified lately, whole. */
  readonly #known = new Map<string, Known>();

  constructor(client: Client, options: GateOptions) {
    const {
      signKeys,
      ttl = 1800,
      maxTtl,
      refresh = 60,
      tokenFormat = "v2",
      serializer = JSON,
    } = options;
    if (!Array.isArray(signKeys) || signKeys.length === 0) {
      throw new BadArgument("signKeys is not an array of one sign key or more");
    }
    const keys = signKeys.map((key: unknown) => {
      const bytes = typeof key === "string" ? encoder.encode(key) : key;
      if (!(bytes instanceof Uint8Array) || bytes.length === 0) {
        throw new BadArgument("a sign key is neither text nor bytes, or is empty");
      }
      return bytes;
    });
    whole("ttl", ttl, 1);
    if (maxTtl !== undefined) whole("maxTtl", maxTtl, 1);
    whole("refresh", refresh, 0);
    if (tokenFormat !== "v1" && tokenFormat !== "v2")
      throw new BadArgument('tokenFormat is neither "v1" nor "v2"');
    this.#driver = driverOf(client);
    this.#verifying = keys.map((key) => createSecretKey(key));
    this.#sending = keys.map(secret);
    this.#format = tokenFormat;
    this.ttl = ttl;
    this.maxTtl = maxTtl;
    this.#minAge = Math.min(refresh, Math.floor(ttl / 10));
    this.serializer = serializer;
  }

  get cluster(): boolean {
    return this.#driver.cluster;
  }

  get keyCount(): number {
    return this.#sending.length;
  }

  get format(): TokenFormat {
    return this.#format;
  }

  mint(): string {
    return mint(this.#format, this.#verifying[0] as KeyObject);
  }

  verify(token: unknown): Verified | undefined {
    // A visitor's requests come in bursts: what was verified a moment ago is not computed again.
    const known = this.#known.get(token as string);
    if (known) return known.verified;
    const form = formOf(token);
    if (!form) return undefined;
    const position = signedBy(token as string, form, this.#verifying);
    if (position < 0) return undefined;
    const verified = Object.freeze({ position, form });
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.set(token as string, { verified, freshUntil: 0, endsAt: 0 });
    return verified;
  }

  /** The position of the key that signed the token; BadToken or BadSignature, without a round trip. */
  keyOf(token: unknown): number {
    const verified = this.verify(token);
    if (verified) return verified.position;
    throw formOf(token) ? new BadSignature() : new BadToken();
  }

  /** The sign key at that position, as an argument. */
  signKey(position: number): Buffer {
    return this.#sending[position] as Buffer;
  }

  /** A command on a key, the token or the owner, signed with the sign key at that position. */
  command(name: string, key: string, position: number, ...args: Argument[]): Command {
    // An owner is whatever the application was sent: a driver would take an array for more arguments, and write
    // one label for all texts that are no UTF-8.
    if (typeof key !== "string" || !key.isWellFormed()) {
      throw new BadArgument("the owner is not text of 1 to 200 bytes of UTF-8");
    }
    return {
      key,
      readonly: READONLY.has(name),
      line: [`SESSIONGATE.${name}`, this.signKey(position), key, ...args],
    };
  }

  /** START has no key: any master takes it. */
  start(...args: Argument[]): Command {
    return {
      key: undefined,
      readonly: false,
      line: ["SESSIONGATE.START", this.signKey(0), ...args],
    };
  }

  /** All payloads as text, which is what sessions read. */
  payloadsOf(token: string, position: number): Command {
    return {
      key: token,
      readonly: true,
      asText: true,
      line: ["SESSIONGATE.PGETALL", this.signKey(position), token],
    };
  }

  /** The seconds that a session has left while a refresh would change nothing; undefined: it may be due. */
  freshLeft(token: string, now: number): number | undefined {
    const known = this.#known.get(token);
    return known && now < known.freshUntil ? (known.endsAt - now) / 1000 : undefined;
  }

  /**
   * A refresh that was asked for at that time answered that so many seconds are left. Of a session with the gate's
   * own life that tells its age; until it is `refresh` old there is nothing to ask for, whoever refreshes it.
   */
  refreshed(token: string, asked: number, left: number): void {
    const known = this.#known.get(token);
    if (!known || left > this.ttl) return;
    const due = 1000 * (this.#minAge - (this.ttl - left));
    known.freshUntil = asked + Math.min(due, FRESH_FOR_MS);
    known.endsAt = asked + 1000 * left;
  }

  /** The session's life was changed here. */
  lifeChanged(token: string): void {
    const known = this.#known.get(token);
    if (known) known.freshUntil = 0;
  }

  /** The refresh alone, which also tells whether the session lives. */
  refreshing(token: string, position: number): Command {
    return this.command("TOUCH", token, position, "MINAGE", String(this.#minAge));
  }

  /** Send together; each command is answered with its reply or with its error, none of which is thrown. */
  send(commands: readonly Command[]): Promise<Reply[]> {
    return this.#driver.send(commands).then((replies) => {
      if (!replies.some(isError)) return replies;
      if (replies.some(isTryAgain)) {
        return this.#repeat(commands, replies).then(() => translated(commands, replies));
      }
      return translated(commands, replies);
    });
  }

  /** Send one command; its error is thrown. */
  async call(command: Command): Promise<Reply> {
    const [reply] = await this.send([command]);
    if (reply instanceof Error) throw reply;
    return reply;
  }

  /** A slot moves key by key: what met it half-way is sent again. */
  async #repeat(commands: readonly Command[], replies: Reply[]): Promise<void> {
    let wait = FIRST_WAIT_MS;
    for (let i = 0; i < REPEATS; i++) {
      await sleep(wait);
      wait = Math.min(2 * wait, LONGEST_WAIT_MS);
      const again = replies.flatMap((reply, index) => (isTryAgain(reply) ? [index] : []));
      if (again.length === 0) return;
      const answers = await this.#driver.send(again.map((index) => commands[index] as Command));
      again.forEach((index, position) => {
        replies[index] = answers[position];
      });
    }
  }
}

/** Not Buffer.from, which writes into memory that other Buffers show by `.buffer`. */
const encoder = new TextEncoder();

const isError = (reply: Reply) => reply instanceof Error;

function translated(commands: readonly Command[], replies: readonly Reply[]): Reply[] {
  return replies.map((reply, index) =>
    reply instanceof Error ? errorOf(reply, (commands[index] as Command).line[0]) : reply,
  );
}

const READONLY = new Set(["PGET", "PMGET", "PGETALL", "PTTL", "TTL", "INFO", "OLIST"]);

function whole(name: string, value: unknown, least: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < least) {
    throw new BadArgument(`${name} is not a whole number of seconds from ${least} on`);
  }
}
