/** A store for @fastify/session, on Fastify 5. */
import { EventEmitter } from "node:events";
import type { Access } from "./access.js";
import { NoSession } from "./errors.js";
import { accessOf, type Device, type Gate } from "./gate.js";
import { devicesOf, endOf, Held, secondsOf, settle } from "./held.js";
import { SessionState } from "./state.js";
import { formOf, publicId } from "./token.js";

type Callback = (error?: unknown) => void;
/** As @fastify/session has them; its own types depend on those that an application declares. */
// biome-ignore lint/suspicious/noExplicitAny: any session of the application's.
type AnySession = any;
type GetCallback = (error: unknown, session?: AnySession) => void;

/** A store that was used before, of the shape that @fastify/session asks for. */
export interface LegacyStore {
  get(id: string, callback: GetCallback): void;
  set(id: string, session: AnySession, callback: Callback): void;
  destroy(id: string, callback: Callback): void;
}

export interface SessionGateStoreOptions {
  /** The store that was used before: it keeps the sessions whose id is no token, until they end or log in. */
  legacy?: LegacyStore | undefined;
}

/** What the event `lost` tells: a request saved a session that was ended meanwhile. */
export interface Lost {
  /** Names the session in logs: no token, and none can be found from it. */
  id: string;
}

/** A request with the session of @fastify/session. */
export interface Visit {
  session: AnySession;
}

/**
 * What is held goes with a loaded session as a function under this name: the session copies what it is given by
 * name, and serializers skip functions.
 */
const HELD = "sessiongate";

/** What a session of @fastify/session is made of: a payload of such a name would take its place. */
const HIDDEN = new Set([
  ...[
    "constructor",
    "__proto__",
    HELD,
    "sessionId",
    "encryptedSessionId",
    "options",
    "touch",
    "regenerate",
  ],
  ...["get", "set", "destroy", "reload", "save", "isModified", "isSaved"],
]);

/**
 * What a session becomes that was ended meanwhile: @fastify/session sets the cookie of each that it saves, and that
 * could take the place of a newer login's. One of a path that no page has takes no other's place.
 */
const elsewhere = () => ({
  toJSON: () => ({ path: "/.sessiongate/ended", expires: new Date(0) }),
});

/**
 * `fastify.register(session, { store, idGenerator: store.idGenerator, secret })`.
 *
 * `cookie.maxAge` is the life of the session, in whole seconds, rounded up; without it the gate's ttl is. Only
 * payloads that differ are written. A session that was ended stays ended: where a request saves it afterwards the
 * store emits `lost`, with {@link Lost}, and the response goes out.
 */
export class SessionGateStore extends EventEmitter<{ lost: [Lost] }> {
  /** For the option of that name: ids are tokens, which this mints. */
  readonly idGenerator: (request?: unknown) => string;
  readonly #gate: Gate;
  readonly #access: Access;
  readonly #legacy: LegacyStore | undefined;
  /** Of a login: what is held of the new session, by the request until it asks for an id, then by that id. */
  readonly #loggedIn = new WeakMap<object, Held>();
  readonly #expected = new Map<string, Held>();

  constructor(gate: Gate, options: SessionGateStoreOptions = {}) {
    super();
    this.#gate = gate;
    this.#access = accessOf(gate);
    this.#legacy = options.legacy;
    this.idGenerator = (request) => {
      const held = this.#loggedIn.get(request as object);
      if (!held) return this.#access.mint();
      this.#expected.set(held.state.token, held);
      return held.state.token;
    };
  }

  // What @fastify/session calls -----------------------------------------------------------------

  get(id: string, callback: GetCallback): void {
    const legacy = this.#legacyOf(id);
    if (legacy) legacy.get(id, callback);
    else {
      SessionState.load(this.#access, id).then(
        (state) => callback(null, state ? this.#shown(state) : null),
        callback,
      );
    }
  }

  set(id: string, session: AnySession, callback: Callback): void {
    const legacy = this.#legacyOf(id);
    if (legacy) {
      legacy.set(id, session, callback);
      return;
    }
    settle(
      () => this.#save(this.#heldOf(id, session), session),
      (error) => {
        if (!(error instanceof NoSession)) return callback(error);
        this.emit("lost", { id: publicId(id) });
        session.cookie = elsewhere();
        callback();
      },
    );
  }

  destroy(id: string, callback: Callback): void {
    const legacy = this.#legacyOf(id);
    if (legacy) {
      legacy.destroy(id, callback);
      return;
    }
    settle(() => endOf(this.#gate, id), callback);
  }

  // Owners --------------------------------------------------------------------------------------

  /**
   * Log an owner in, a label of 1 to 200 bytes such as a user's id: a new session of the owner with all that this
   * one has, under a new token, in its stead; the owner's own session gets a new token. Afterwards
   * `request.session` is another object. `limit`: how many sessions the owner may have, the oldest of those beyond
   * end.
   *
   * @throws NoSession when the session was ended meanwhile: then nobody is logged in
   */
  async login(
    request: Visit,
    owner: string,
    options: { limit?: number | undefined } = {},
  ): Promise<void> {
    const { session } = request;
    const former = session.sessionId as string;
    const held = this.#legacyOf(former)
      ? new Held(SessionState.fresh(this.#access))
      : this.#heldOf(former, session);
    const { cookie, life } = this.#cookieOf(session);
    const values = { ...session, cookie };
    await held.state.login(owner, options.limit, () => held.changes(values), life);
    held.seen = Object.keys(values);
    this.#loggedIn.set(request, held);
    try {
      await session.regenerate(
        Object.keys(session).filter((name) => name !== "cookie" && name !== HELD),
      );
    } finally {
      this.#loggedIn.delete(request);
    }
    // What other requests have written meanwhile.
    const stored = visible(held.state.payloads.values());
    for (const name of Object.keys(stored)) {
      if (name !== "cookie" && !(name in request.session)) request.session.set(name, stored[name]);
    }
    held.seen = Object.keys(request.session);
  }

  /** The owner's sessions, the oldest first, without the tokens; `current` is the request that asks. */
  sessions(owner: string, options: { current?: Visit | undefined } = {}): Promise<Device[]> {
    return devicesOf(this.#gate, owner, options.current?.session?.sessionId, ["cookie"]);
  }

  /** End one of the owner's sessions, by the id that `sessions` gave it: whether there was one. */
  endSession(owner: string, id: string): Promise<boolean> {
    return this.#gate.endSession(owner, id);
  }

  /**
   * End all of the owner's sessions, or all but that of the request `keep`, and return how many.
   *
   * @throws NoSession or BadToken when `keep`'s session is not a living one of that owner: then nothing ends
   */
  endAll(owner: string, options: { keep?: Visit | undefined } = {}): Promise<number> {
    const { keep } = options;
    // Without a session there is nothing to keep: no token, which is refused, where undefined would end all.
    return this.#gate.endAll(owner, { keep: keep && (keep.session?.sessionId ?? "") });
  }

  // ---------------------------------------------------------------------------------------------

  #legacyOf(id: string): LegacyStore | undefined {
    return this.#legacy && !formOf(id) ? this.#legacy : undefined;
  }

  #heldOf(id: string, session: AnySession): Held {
    const held = session[HELD]?.();
    if (held instanceof Held && held.state.token === id) return held;
    const loggedIn = this.#expected.get(id);
    this.#expected.delete(id);
    const known =
      loggedIn ?? new Held(SessionState.fresh(this.#access, id, this.#access.keyOf(id)));
    Object.defineProperty(session, HELD, {
      value: () => known,
      configurable: true,
      writable: true,
    });
    return known;
  }

  /** A loaded session as @fastify/session wants it. */
  #shown(state: SessionState): AnySession {
    const values = visible(state.payloads.values());
    const held = new Held(state, Object.keys(values));
    const cookie = { ...(values.cookie as { originalMaxAge?: number | null }) };
    if (typeof cookie.originalMaxAge === "number") state.life = secondsOf(cookie.originalMaxAge);
    return Object.assign(values, { cookie, [HELD]: () => held });
  }

  #save(held: Held, session: AnySession): Promise<void> {
    const { cookie, life } = this.#cookieOf(session);
    return held.saveAndConfirm({ ...session, cookie }, life);
  }

  /** The cookie as it is stored, without what changes with each request, and the life that it gives. */
  #cookieOf(session: AnySession) {
    const { expires, originalExpires: _, ...cookie } = session.cookie.toJSON();
    if (typeof cookie.originalMaxAge === "number")
      return { cookie, life: secondsOf(cookie.originalMaxAge) };
    if (expires instanceof Date) return { cookie, life: secondsOf(expires.getTime() - Date.now()) };
    return { cookie, life: this.#access.ttl };
  }
}

function visible(values: Record<string, unknown>): Record<string, unknown> {
  for (const name of Object.keys(values)) if (HIDDEN.has(name)) delete values[name];
  return values;
}
