/**
 * What an adapter holds beside the session object of its framework: the state that it was loaded from or will be
 * stored by, and which of its names the application could see. Frameworks hide some (express-session those of
 * its methods), and what nobody saw nobody deleted.
 */
import type { Access } from "./access.js";
import { NoSession } from "./errors.js";
import type { Device, Gate } from "./gate.js";
import { SessionState } from "./state.js";

/** Returns what it is given, so that a class below it can give private fields to any object. */
class Any {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: that is what it is for.
    return object;
  }
}

/**
 * The private field that ties what is held to a session object of the framework's: nothing that prints, copies or
 * serializes the session sees it. A WeakMap would do the same, for ten times the time.
 */
class Tie extends Any {
  #held: Held | undefined;

  static set(object: object, held: Held | undefined): void {
    if (#held in object) (object as Tie).#held = held;
    else new Tie(object).#held = held;
  }

  static get(object: object): Held | undefined {
    return #held in object ? (object as Tie).#held : undefined;
  }
}

export class Held {
  /** What is held for that session object. */
  static of = Tie.get;
  /** Hold it for that session object. */
  static tie = Tie.set;

  readonly state: SessionState;
  /** The names that the application can see and so delete. */
  seen: Iterable<string>;
  /** The cookie's life as it is stored, in milliseconds, null or undefined where it has none. */
  maxAge: number | null | undefined;
  /** The cookie as it was loaded, as long as it is that which is stored. */
  cookie: Readonly<Record<string, unknown>> | undefined;

  constructor(state: SessionState, seen: Iterable<string> = []) {
    this.state = state;
    this.seen = seen;
  }

  /** What is there under an id that a caller names: to be overwritten, or started under it. */
  static async upsert(access: Access, id: string): Promise<Held> {
    const signKey = access.keyOf(id);
    const state = await SessionState.load(access, id);
    if (state) return new Held(state, [...state.payloads.names()]);
    return new Held(SessionState.fresh(access, id, signKey));
  }

  /** From now on that cookie may be the one that is stored. */
  willStore(cookie: { originalMaxAge: number | null }): void {
    this.maxAge = cookie.originalMaxAge;
    this.cookie = undefined;
  }

  /** Save all values; undefined, at once, where there is nothing to send. A life of 0 ends it. */
  save(values: object, life: number): Promise<void> | undefined {
    if (life <= 0) return this.state.end();
    const saved = this.state.save(() => this.changes(values), life);
    const see = () => {
      this.seen = Object.keys(values);
    };
    if (!saved) see();
    return saved?.then(see); // after a failure what is gone is still to be deleted
  }

  /** Save all values, and make sure that the session lives: its cookie is handed out again. */
  async saveAndConfirm(values: object, life: number): Promise<void> {
    await (this.save(values, life) ?? this.state.confirm());
  }

  /** Save these values alone, and the life. */
  touch(values: object, life: number): Promise<void> | undefined {
    if (life <= 0) return this.state.end();
    return this.state.save(() => this.state.payloads.changes(values, []), life);
  }

  changes(values: object) {
    return this.state.payloads.changes(values, this.seen);
  }
}

/** A life in whole seconds, rounded up, from a cookie's milliseconds. */
export function secondsOf(maxAge: number): number {
  return Math.max(0, Math.ceil(maxAge / 1000));
}

/** Call back when it is done: never before this returns, as with Node's own functions. */
export function settle(
  start: () => Promise<unknown> | undefined,
  callback: (error?: unknown) => void,
): void {
  let running: Promise<unknown> | undefined;
  try {
    running = start();
  } catch (error) {
    process.nextTick(callback, error); // a value that cannot be stored
    return;
  }
  if (running) running.then(() => callback(), callback);
  else process.nextTick(callback);
}

/** End the session of what may be a token; undefined, at once, where it is none. One that is over stays so. */
export function endOf(gate: Gate, id: string): Promise<void> | undefined {
  if (!gate.verify(id)) return undefined;
  return gate.end(id).catch((error) => {
    if (!(error instanceof NoSession)) throw error;
  });
}

/** The owner's sessions, without what the framework itself keeps in each. */
export async function devicesOf(
  gate: Gate,
  owner: string,
  current: string | undefined,
  own: readonly string[],
): Promise<Device[]> {
  const devices = await gate.sessions(owner, { current });
  for (const { payloads } of devices) for (const name of own) delete payloads[name];
  return devices;
}
