/**
 * The payloads of a session as the server has them: texts by their names, and what differs from them.
 *
 * Another language spells the same value otherwise, so a value is compared with the stored one written by the
 * same serializer; the stored text itself is compared first, since it is nearly always ours.
 */
import type { Serializer } from "./access.js";
import type { Reply } from "./driver.js";
import { BadArgument, BadPayload } from "./errors.js";

export interface Changes {
  /** Names and texts by turns. */
  readonly set: readonly string[];
  readonly gone: readonly string[];
}

const never = () => false;
const OWN = { writable: true, enumerable: true, configurable: true };

export const LONGEST_NAME = 200;
const LARGEST_DATA = 8_000_000;

/** How the names of those payloads begin that are a session's locks: no part of what it holds. */
export const LOCK = "\0lock:";

/** Of every load and of every name: nearly all are done with at their first character. */
export const isLock = (name: string): boolean => name.charCodeAt(0) === 0 && name.startsWith(LOCK);

export class Payloads {
  readonly #texts = new Map<string, string>();
  readonly #serializer: Serializer;

  /** @param reply what PGETALL answered, as text; none: no payloads */
  constructor(reply: Reply, serializer: Serializer) {
    this.#serializer = serializer;
    if (reply === undefined) return;
    const pairs = Array.isArray(reply) ? reply : Object.entries(reply as object).flat();
    for (let i = 0; i < pairs.length; i += 2) {
      // A name that is no UTF-8 could not be written back: sessions leave it alone.
      if (!pairs[i].includes("\ufffd") && !isLock(pairs[i]))
        this.#texts.set(pairs[i], pairs[i + 1]);
    }
  }

  names(): IterableIterator<string> {
    return this.#texts.keys();
  }

  /** What is stored under that name, as it is; undefined: nothing. */
  text(name: string): string | undefined {
    return this.#texts.get(name);
  }

  /** @throws BadPayload when the serializer cannot read it */
  value(name: string): unknown {
    try {
      return this.#serializer.parse(this.#texts.get(name) as string);
    } catch {
      throw new BadPayload(`the payload ${JSON.stringify(name)} is not what the serializer reads`);
    }
  }

  /** All that can be read. */
  values(): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const [name, stored] of this.#texts) {
      let value: unknown;
      try {
        value = this.#serializer.parse(stored);
      } catch {
        continue; // a broken payload hides no other
      }
      if (name !== "__proto__") values[name] = value;
      else Object.defineProperty(values, name, { ...OWN, value });
    }
    return values;
  }

  /**
   * What to write so that the server has these values. `seen` are the names that the application could see: of
   * those, what is not among the values any more is gone. `untouched` tells which values were never looked at.
   *
   * @throws BadArgument when a name or a value cannot be stored
   */
  changes(
    values: object,
    seen: Iterable<string>,
    untouched: (name: string) => boolean = never,
  ): Changes {
    const set: string[] = [];
    const gone: string[] = [];
    const empty: string[] = [];
    for (const name of Object.keys(values)) {
      if (untouched(name)) continue;
      const written = this.#serializer.stringify((values as Record<string, unknown>)[name]);
      if (written === undefined) empty.push(name);
      else if (this.#differs(name, written)) {
        check(name, written);
        set.push(name, written);
      }
    }
    for (const name of seen) {
      const isThere = Object.hasOwn(values, name) && !empty.includes(name);
      if (!isThere && this.#texts.has(name)) gone.push(name);
    }
    return { set, gone };
  }

  /** These changes are the server's now. */
  apply({ set, gone }: Changes): void {
    for (let i = 0; i < set.length; i += 2) this.#texts.set(set[i] as string, set[i + 1] as string);
    for (const name of gone) this.#texts.delete(name);
  }

  #differs(name: string, written: string): boolean {
    const stored = this.#texts.get(name);
    if (stored === undefined) return true;
    if (stored === written) return false;
    try {
      return this.#serializer.stringify(this.#serializer.parse(stored)) !== written;
    } catch {
      return true;
    }
  }
}

/** @throws BadArgument when it is the name of a lock */
export function checkNoLock(name: string): void {
  if (isLock(name))
    throw new BadArgument(`a name that begins with NUL and "lock:" is that of a lock`);
}

function check(name: string, written: string): void {
  const length = Buffer.byteLength(name);
  if (length < 1 || length > LONGEST_NAME || !name.isWellFormed()) {
    throw new BadArgument(`the name of a payload is not 1 to ${LONGEST_NAME} bytes of UTF-8`);
  }
  checkNoLock(name);
  const size = Buffer.byteLength(written);
  if (size < 1 || size > LARGEST_DATA) {
    throw new BadArgument(
      `the payload ${JSON.stringify(name)} is not 1 to ${LARGEST_DATA} bytes long`,
    );
  }
}
