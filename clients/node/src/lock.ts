/**
 * A lock of a session is a payload of it with a life of its own:
 *
 *     NUL "lock:" <the lock's name>    128 random bits in hex, which its holder alone knows
 *
 * It is set where there is none, so one holder has it at a time, and deleted only if it is still the holder's
 * own. A dead holder's ends by itself.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { BadArgument, LockTimeout, NoSession } from "./errors.js";
import { LOCK, LONGEST_NAME, type Payloads } from "./payloads.js";
import type { SessionState } from "./state.js";

export interface LockOptions {
  /** Seconds to wait for the lock. Default: as long as it would live. */
  wait?: number | undefined;
}

/** Who shows a session to the application: what a lock needs of it. @internal */
export interface Shown {
  readonly state: SessionState;
  /** Send what has changed. */
  save(): Promise<void> | undefined;
  /** Show what is stored by now. */
  renew(stored: Payloads): void;
  /** Show what is stored, and no change that was not sent. */
  forget(): void;
}

const LONGEST_LOCK = LONGEST_NAME - LOCK.length;

/** Between two tries. */
const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 100;

/** What `session.lock` answers when it is given no function. */
export class Lock implements AsyncDisposable {
  readonly name: string;
  readonly #shown: Shown;
  readonly #payload: string;
  readonly #value = randomBytes(16).toString("hex");
  readonly #milliseconds: number;
  readonly #waitMs: number;
  #wasAskedFor = false;
  #released: Promise<void> | undefined;

  private constructor(shown: Shown, name: string, seconds: number, wait: number) {
    const length = typeof name === "string" && name.isWellFormed() ? Buffer.byteLength(name) : 0;
    if (length < 1 || length > LONGEST_LOCK) {
      throw new BadArgument(
        `the name of a lock is not text of 1 to ${LONGEST_LOCK} bytes of UTF-8`,
      );
    }
    if (!Number.isFinite(seconds) || seconds < 0.001) {
      throw new BadArgument("a lock does not live for 0.001 seconds or more, or lives for ever");
    }
    if (typeof wait !== "number" || !(wait >= 0)) {
      throw new BadArgument("the wait for a lock is not a number of seconds from 0 on");
    }
    this.name = name;
    this.#shown = shown;
    this.#payload = LOCK + name;
    this.#milliseconds = Math.round(1000 * seconds);
    this.#waitMs = 1000 * wait;
  }

  /** Save what has changed, wait for the lock, and show what is stored by then. @internal */
  static async acquire(
    shown: Shown,
    name: string,
    seconds: number,
    { wait = seconds }: LockOptions = {},
  ): Promise<Lock> {
    const lock = new Lock(shown, name, seconds, wait);
    await shown.save();
    if (shown.state.isOver) throw new NoSession();
    // One that is not stored has nobody to be guarded from.
    if (shown.state.isStored) await lock.#acquire();
    return lock;
  }

  /** Have the lock while `work` runs; what that changes is saved, or forgotten where it fails. @internal */
  static async during<R>(
    shown: Shown,
    name: string,
    seconds: number,
    options: LockOptions | undefined,
    work: () => R | PromiseLike<R>,
  ): Promise<R> {
    const lock = await Lock.acquire(shown, name, seconds, options);
    let result: R;
    try {
      result = await work();
      await shown.save();
    } catch (error) {
      await lock.release();
      throw error;
    }
    await lock.#release();
    return result;
  }

  /**
   * Release it, and forget what was changed and not saved: a later save of that would be unguarded. A lock that
   * has ended by itself is no error; nor is a server that cannot be reached, which would hide why the work
   * failed: the lock ends by itself then.
   */
  release(): Promise<void> {
    this.#released ??= (async () => {
      this.#shown.forget();
      await this.#release().catch(() => {});
    })();
    return this.#released;
  }

  /** As release: `await using lock = await session.lock("cart", 5)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #acquire(): Promise<void> {
    const { state } = this.#shown;
    const giveUpAt = performance.now() + this.#waitMs;
    const renew = (stored: Payloads) => this.#shown.renew(stored);
    let pause = SHORTEST_PAUSE_MS;
    this.#wasAskedFor = true;
    try {
      while (!(await state.lock(this.#payload, this.#value, this.#milliseconds, renew))) {
        const left = giveUpAt - performance.now();
        if (left <= 0) throw new LockTimeout();
        // At random, or those who wait would ask all at once.
        await sleep(Math.min(left, pause * (0.5 + Math.random() / 2)));
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
      }
    } catch (error) {
      await this.#release().catch(() => {}); // it may have been set by a try whose reply was lost
      throw error;
    }
  }

  async #release(): Promise<void> {
    if (this.#wasAskedFor) await this.#shown.state.unlock(this.#payload, this.#value);
  }
}
