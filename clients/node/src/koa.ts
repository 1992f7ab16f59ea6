/** A store for koa-session, on Koa 3. */
import { EventEmitter } from "node:events";
import type { Access } from "./access.js";
import { NoSession } from "./errors.js";
import { accessOf, type Device, type Gate } from "./gate.js";
import { devicesOf, endOf, Held, secondsOf } from "./held.js";
import { SessionState } from "./state.js";
import { formOf, publicId } from "./token.js";

/** As koa-session has them; its own types depend on those that an application declares. */
// biome-ignore lint/suspicious/noExplicitAny: any session, and any context, of the application's.
type Any = any;
type MaxAge = number | "session" | undefined;

/** A store that was used before, of the shape that koa-session asks for. */
export interface LegacyStore {
  get(id: string, maxAge: Any, options: Any): Any;
  set(id: string, session: Any, maxAge: Any, options: Any): Any;
  destroy(id: string, options?: Any): Any;
}

export interface SessionGateStoreOptions {
  /** The store that was used before: it keeps the sessions whose id is no token, until they end or log in. */
  legacy?: LegacyStore | undefined;
}

/** What the event `lost` tells: a request saved a session that was ended meanwhile. */
export interface Lost {
  /** Names the session in logs: no token, and none can be found from it. */
  id: string;
  ctx: Any;
}

/** What koa-session itself writes into a session, besides the names that the application sees. */
const OWN = ["_expire", "_maxAge", "_session"];

/** What a session of koa-session is made of, with all else that begins with `_`: a payload would take its place. */
const HIDDEN = new Set([
  ...["constructor", "__proto__", "toJSON", "isNew", "length", "populated", "maxAge"],
  ...["externalKey", "save", "regenerate", "manuallyCommit", "commit"],
]);

/**
 * `app.use(session({ store, genid: store.genid }, app))`.
 *
 * `maxAge` is the life of the session, in whole seconds, rounded up (koa-session itself adds ten); with "session"
 * the gate's ttl is. Only payloads that differ are written. A session that was ended stays ended: where a request
 * saves it afterwards the store emits `lost`, with {@link Lost}, and the response goes out.
 */
export class SessionGateStore extends EventEmitter<{ lost: [Lost] }> {
  /** For the option of that name: ids are tokens, which this mints. */
  readonly genid: (ctx: Any) => string;
  readonly #gate: Gate;
  readonly #access: Access;
  readonly #legacy: LegacyStore | undefined;
  /** By the context of the request. */
  readonly #held = new WeakMap<object, Held>();
  /** Of a login: what is held of the new session, until koa-session asks for its id. */
  readonly #loggedIn = new WeakMap<object, Held>();

  constructor(gate: Gate, options: SessionGateStoreOptions = {}) {
    super();
    this.#gate = gate;
    this.#access = accessOf(gate);
    this.#legacy = options.legacy;
    this.genid = (ctx) => {
      const held = this.#loggedIn.get(ctx) ?? new Held(SessionState.fresh(this.#access));
      this.#held.set(ctx, held);
      return held.state.token;
    };
  }

  // What koa-session calls ----------------------------------------------------------------------

  async get(id: string, maxAge: MaxAge, options: { ctx?: Any; rolling?: boolean }): Promise<Any> {
    const legacy = this.#legacyOf(id);
    if (legacy) return legacy.get(id, maxAge, options);
    const state = await SessionState.load(this.#access, id);
    if (!state) return undefined;
    const values = visible(state.payloads.values());
    if (typeof values._maxAge === "number") state.life = secondsOf(values._maxAge + 10_000);
    this.#held.set(options.ctx, new Held(state, Object.keys(values)));
    return values;
  }

  async set(
    id: string,
    session: Any,
    maxAge: MaxAge,
    options: { ctx?: Any; rolling?: boolean; changed?: boolean },
  ): Promise<void> {
    const legacy = this.#legacyOf(id);
    if (legacy) return legacy.set(id, session, maxAge, options);
    const { ctx, rolling } = options;
    const held = this.#held.get(ctx);
    if (held?.state.token !== id) {
      throw new TypeError(
        "SessionGateStore makes the ids: session({ store, genid: store.genid }, app)",
      );
    }
    const values = { ...session };
    // With each response a new cookie, and so a new `_expire`: no change to write.
    if (rolling) delete values._expire;
    const life = typeof maxAge === "number" ? secondsOf(maxAge) : this.#access.ttl;
    try {
      await held.saveAndConfirm(values, life);
    } catch (error) {
      if (!(error instanceof NoSession)) throw error;
      this.emit("lost", { id: publicId(id), ctx });
      withoutCookie(ctx, id);
    }
  }

  async destroy(id: string, options?: { ctx?: Any }): Promise<void> {
    const legacy = this.#legacyOf(id);
    if (legacy) return legacy.destroy(id, options);
    const held = options?.ctx && this.#held.get(options.ctx);
    if (held?.state.token === id) return held.state.end(); // no round trip where it was never stored
    // A login has ended its former session by itself.
    if (!this.#loggedIn.has(options?.ctx)) await endOf(this.#gate, id);
  }

  // Owners --------------------------------------------------------------------------------------

  /**
   * Log an owner in, a label of 1 to 200 bytes such as a user's id: a new session of the owner with all that this
   * one has, under a new token, in its stead; the owner's own session gets a new token. `limit`: how many sessions
   * the owner may have, the oldest of those beyond end.
   *
   * @throws NoSession when the session was ended meanwhile: then nobody is logged in
   */
  async login(
    ctx: Any,
    owner: string,
    options: { limit?: number | undefined } = {},
  ): Promise<void> {
    const { session } = ctx;
    const former = session.externalKey as string;
    const legacy = this.#legacyOf(former);
    const held =
      (legacy ? undefined : this.#held.get(ctx)) ?? new Held(SessionState.fresh(this.#access));
    const values = session.toJSON();
    const { maxAge } = session;
    const life = typeof maxAge === "number" ? secondsOf(maxAge + 10_000) : this.#access.ttl;
    const seen = [...held.seen].filter((name) => !OWN.includes(name));
    const changes = () => held.state.payloads.changes(values, seen);
    await held.state.login(owner, options.limit, changes, life);
    // What other requests have written meanwhile.
    const stored = visible(held.state.payloads.values());
    for (const name of Object.keys(stored)) {
      if (!name.startsWith("_") && !(name in session)) session[name] = stored[name];
    }
    held.seen = Object.keys(stored);
    this.#held.delete(ctx); // its token is not the one that koa-session destroys now
    this.#loggedIn.set(ctx, held);
    try {
      await session.regenerate();
    } finally {
      this.#loggedIn.delete(ctx);
    }
  }

  /** The owner's sessions, the oldest first, without the tokens; `current` is the context that asks. */
  sessions(owner: string, options: { current?: Any } = {}): Promise<Device[]> {
    return devicesOf(this.#gate, owner, options.current?.session?.externalKey, OWN);
  }

  /** End one of the owner's sessions, by the id that `sessions` gave it: whether there was one. */
  endSession(owner: string, id: string): Promise<boolean> {
    return this.#gate.endSession(owner, id);
  }

  /**
   * End all of the owner's sessions, or all but that of the context `keep`, and return how many.
   *
   * @throws NoSession or BadToken when `keep`'s session is not a living one of that owner: then nothing ends
   */
  endAll(owner: string, options: { keep?: Any } = {}): Promise<number> {
    const { keep } = options;
    // Without a session there is nothing to keep: no token, which is refused, where undefined would end all.
    return this.#gate.endAll(owner, { keep: keep && (keep.session?.externalKey ?? "") });
  }

  // ---------------------------------------------------------------------------------------------

  #legacyOf(id: string): LegacyStore | undefined {
    return this.#legacy && !formOf(id) ? this.#legacy : undefined;
  }
}

function visible(values: Record<string, unknown>): Record<string, unknown> {
  for (const name of Object.keys(values)) {
    if (HIDDEN.has(name) || (name.startsWith("_") && !OWN.includes(name))) delete values[name];
  }
  return values;
}

/**
 * koa-session sets the cookie of each session that it saves; of one that was ended meanwhile it could take the
 * place of a newer login's. So that one cookie is not set.
 */
function withoutCookie(ctx: Any, id: string): void {
  const { cookies } = ctx;
  ctx.cookies = Object.create(cookies, {
    set: {
      value(name: string, value: unknown, options: unknown) {
        if (value !== id) cookies.set(name, value, options);
        return this;
      },
    },
  });
}
