import type { Access } from "./access.js";
import { Lock, type LockOptions, type Shown } from "./lock.js";
import { checkNoLock, type Payloads } from "./payloads.js";
import { SessionState } from "./state.js";

/**
 * The payloads of a session as values, one payload a top-level name of `data`. Values are decoded when they are
 * first read; `save` sends those that differ from what was loaded, changes deep inside them too, and deletes
 * those that were removed. So two requests that change different payloads both win.
 *
 * A loaded session is only ever updated: when it was ended meanwhile, `save` throws NoSession, and nothing is
 * stored. After `end` that holds too: ask the gate for a new one.
 */
export class Session<T extends object = Record<string, unknown>> {
  /**
   * The values, in an object without a prototype. Names are 1 to 200 bytes of UTF-8. Reading a value that the
   * serializer cannot read throws BadPayload; the others are not affected.
   */
  readonly data: T;
  readonly #state: SessionState;
  /** Of each payload that was not read yet: the getter that stands for it in `data`. */
  readonly #unread = new Map<string, () => unknown>();

  /** @internal */
  constructor(state: SessionState) {
    this.#state = state;
    this.data = Object.create(null);
    this.#show();
  }

  /** The session's token. Rotating and logging in change it: send it to the visitor after those. */
  get token(): string {
    return this.#state.token;
  }

  /** Whether it is not stored yet. */
  get isNew(): boolean {
    return !this.#state.isStored;
  }

  /**
   * Send what has changed, in one round trip; nothing where nothing has. A new session is stored by its first
   * save that has something.
   *
   * @throws NoSession, BadArgument when a name or a value cannot be stored
   */
  async save(): Promise<void> {
    await this.#state.save(() => this.#changes());
  }

  /** Remove a value at the server and here, and return it, or undefined: of many who take it one gets it. */
  async take(name: string): Promise<unknown> {
    checkNoLock(name);
    const own = this.data as Record<string, unknown>;
    const value = this.isNew ? own[name] : await this.#state.take(name);
    this.#unread.delete(name);
    delete own[name];
    return value;
  }

  /** Give it a new token; the old one is dead at once. What has changed is not saved by that. */
  rotate(): Promise<void> {
    return this.#state.rotate();
  }

  /**
   * Log an owner in: a new session of the owner with all that this one has and with what has changed, in its
   * stead; the owner's own session gets a new token. `limit`: how many sessions the owner may have, the oldest
   * of those beyond end.
   *
   * @throws NoSession when it was ended meanwhile: then nobody is logged in
   */
  async login(owner: string, options: { limit?: number | undefined } = {}): Promise<void> {
    await this.#state.login(owner, options.limit, () => this.#changes());
    this.#show();
  }

  /**
   * Have this session's lock of that name, so that no other request which takes it comes between what is read
   * and what is written:
   *
   *     await session.lock("cart", 5, async () => {
   *       session.data.cart.push("tea");
   *     });
   *
   * What was changed before is saved first, and `data` is read afresh under the lock: look values up within. What
   * the function changes is saved before the lock is released; where it or that save fails, its changes are
   * forgotten: a later save would be unguarded.
   *
   * Without a function it answers the lock. What is not saved when that is released is forgotten as well:
   *
   *     await using lock = await session.lock("cart", 5); // or release() in a finally
   *     session.data.cart.push("tea");
   *     await session.save();
   *
   * The lock ends by itself after so many seconds, as where its holder died: more than the work takes. It is not
   * re-entrant: a second one of that name waits for the first, its own session's as well. A new session with
   * nothing to be stored has nobody to be guarded from: it has no lock.
   *
   * @throws LockTimeout when somebody else has it for as long as is waited, NoSession, BadArgument
   */
  lock<R>(
    name: string,
    seconds: number,
    work: (session: this) => R | PromiseLike<R>,
    options?: LockOptions,
  ): Promise<R>;
  lock(name: string, seconds: number, options?: LockOptions): Promise<Lock>;
  async lock<R>(
    name: string,
    seconds: number,
    work?: LockOptions | ((session: this) => R | PromiseLike<R>),
    options?: LockOptions,
  ): Promise<R | Lock> {
    const state = this.#state;
    const shown: Shown = {
      state,
      // One that the work has ended holds nothing, and is to be saved no more.
      save: async () => {
        if (!state.isOver || Object.keys(this.data).length > 0) await this.save();
      },
      renew: (stored) => this.#renew(stored),
      forget: () => this.#forget(),
    };
    if (typeof work !== "function") return Lock.acquire(shown, name, seconds, work);
    return Lock.during(shown, name, seconds, options, () => work(this));
  }

  /** End it, and forget its values. */
  async end(): Promise<void> {
    await this.#state.end();
    this.#unread.clear();
    for (const name of Object.keys(this.data)) delete (this.data as Record<string, unknown>)[name];
  }

  // ---------------------------------------------------------------------------------------------

  /** Let `data` show what is stored, but for values that are to be left as they are. */
  #show(isLeft: (name: string) => boolean = () => false): void {
    const { payloads } = this.#state;
    const names = new Set(payloads.names());
    for (const name of Object.keys(this.data)) {
      if (!names.has(name) && !isLeft(name)) delete (this.data as Record<string, unknown>)[name];
    }
    for (const name of names) {
      if (isLeft(name)) continue;
      const become = (value: unknown) =>
        Object.defineProperty(this.data, name, {
          value,
          writable: true,
          enumerable: true,
          configurable: true,
        });
      const get = () => {
        const value = payloads.value(name);
        become(value);
        return value;
      };
      Object.defineProperty(this.data, name, {
        get,
        set: become,
        enumerable: true,
        configurable: true,
      });
      this.#unread.set(name, get);
    }
  }

  /** Take over what is stored by now, and leave values that are the same, and changes of the application's. */
  #renew(stored: Payloads): void {
    const { set, gone } = this.#changes();
    const changed = new Set([...set.filter((_, index) => index % 2 === 0), ...gone]);
    const before = this.#state.payloads;
    this.#state.payloads = stored;
    this.#show((name) => changed.has(name) || stored.text(name) === before.text(name));
  }

  #forget(): void {
    try {
      const { set, gone } = this.#changes();
      if (set.length === 0 && gone.length === 0) return; // values that are in use stay what they are
    } catch {
      // What cannot be stored is forgotten all the more.
    }
    this.#show();
  }

  #changes() {
    const untouched = (name: string) => {
      const getter = this.#unread.get(name);
      return (
        getter !== undefined && Object.getOwnPropertyDescriptor(this.data, name)?.get === getter
      );
    };
    return this.#state.payloads.changes(this.data, [...this.#state.payloads.names()], untouched);
  }
}

/** The session of a token, or a new one. */
export async function openSession<T extends object>(
  access: Access,
  token: unknown,
): Promise<Session<T>> {
  const loaded = token == null ? undefined : await SessionState.load(access, token);
  return new Session<T>(loaded ?? SessionState.fresh(access));
}
