/** From JavaScript's values to a command's arguments, and back from replies. */
import type { Argument, Reply } from "./driver.js";

/** Bytes; text is sent as its UTF-8. */
export type Bytes = string | Uint8Array;

/** Payloads to store, by their names: 1 to 200 bytes each, with 1 to 8,000,000 bytes of data. */
export type PayloadData = Readonly<Record<string, Bytes>> | ReadonlyMap<Bytes, Bytes>;

/** What is known of a session besides its payloads. */
export interface Info {
  /** When the session was started, in unix milliseconds; a rotation keeps it. */
  created: number;
  /** Milliseconds left; -1: it does not expire. */
  ttl: number;
  /** Milliseconds that a refresh restores. */
  idle: number;
  /** The end that maxTtl set, in unix milliseconds; 0: none. */
  deadline: number;
  /** How many payloads there are. */
  payloads: number;
  /** Bytes of their names and data together. */
  bytes: number;
  /** Whose session it is, or null; undefined where the module is too old to say. */
  owner?: string | null;
}

export function bytes(value: Bytes): Argument {
  if (typeof value === "string" || Buffer.isBuffer(value)) return value;
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  throw new TypeError("names and data are text or bytes");
}

/** Names and data by turns. */
export function pairsOf(payloads: PayloadData): Argument[] {
  const entries = payloads instanceof Map ? [...payloads] : Object.entries(payloads);
  return entries.flatMap(([name, data]) => [bytes(name), bytes(data)]);
}

/** `<ttl> [MAXTTL <max_ttl>] [PAYLOADS <count> …]`, from names and data by turns. */
export function lifeArguments(
  ttl: number,
  maxTtl: number | undefined,
  pairs: readonly Argument[],
): Argument[] {
  const args: Argument[] = [String(ttl)];
  if (maxTtl !== undefined) args.push("MAXTTL", String(maxTtl));
  if (pairs.length > 0) args.push("PAYLOADS", String(pairs.length / 2), ...pairs);
  return args;
}

export function text(reply: Reply): string {
  return String(reply);
}

/** The entries of a map, however the driver shows one: by turns, as a Map, as an object. */
export function entriesOf(reply: Reply): [string, Reply][] {
  if (reply instanceof Map) return [...reply].map(([name, value]) => [text(name), value]);
  if (!Array.isArray(reply)) return Object.entries(reply as object);
  const entries: [string, Reply][] = [];
  for (let i = 0; i < reply.length; i += 2) entries.push([text(reply[i]), reply[i + 1]]);
  return entries;
}

export function infoOf(reply: Reply): Info {
  const fields = new Map(entriesOf(reply));
  const number = (name: string) => Number(fields.get(name));
  const owner = fields.get("owner");
  return {
    created: number("created"),
    ttl: number("ttl"),
    idle: number("idle"),
    deadline: number("deadline"),
    payloads: number("payloads"),
    bytes: number("bytes"),
    ...(owner === undefined ? {} : { owner: owner === null ? null : text(owner) }),
  };
}
