import type { Access } from "./access.js";
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

  /** End it, and forget its values. */
  async end(): Promise<void> {
    await this.#state.end();
    this.#unread.clear();
    for (const name of Object.keys(this.data)) delete (this.data as Record<string, unknown>)[name];
  }

  // ---------------------------------------------------------------------------------------------

  /** Let `data` show what is stored. */
  #show(): void {
    const { payloads } = this.#state;
    const names = new Set(payloads.names());
    for (const name of Object.keys(this.data)) {
      if (!names.has(name)) delete (this.data as Record<string, unknown>)[name];
    }
    for (const name of names) {
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
