/** A store for express-session, on Express 4 and 5. */
import type { Request } from "express";
import { Cookie, type SessionData, Store } from "express-session";
import type { Access } from "./access.js";
import { NoSession } from "./errors.js";
import { accessOf, type Device, type Gate } from "./gate.js";
import { devicesOf, endOf, Held, secondsOf, settle } from "./held.js";
import { Lock, type LockOptions, type Shown } from "./lock.js";
import { SessionState } from "./state.js";
import { formOf, publicId } from "./token.js";

type Callback = (error?: unknown) => void;
type GetCallback = (error: unknown, session?: SessionData | null) => void;
type Generate = (req: Request) => void;

export interface SessionGateStoreOptions {
  /** The store that was used before: it keeps the sessions whose id is no token, until they end or log in. */
  legacy?: Store | undefined;
}

/** What the event `lost` tells: a request saved a session that was ended meanwhile. */
export interface Lost {
  /** Names the session in logs: no token, and none can be found from it. */
  id: string;
  req: Request;
}

/** What express-session writes of a cookie, but for its life. */
const COOKIE_OPTIONS = [
  ...["httpOnly", "path", "domain", "secure", "sameSite", "priority", "partitioned"],
] as const;
const COOKIE: ReadonlySet<string> = new Set(["originalMaxAge", "expires", ...COOKIE_OPTIONS]);

/** What cookie.js counts off `maxAge` while a request runs is no change of it. */
const DRIFT_MS = 100;

/**
 * `session({ store, genid: store.genid, secret, resave: false, saveUninitialized: false })`.
 *
 * `cookie.maxAge` is the life of the session, in whole seconds, rounded up; without it the gate's ttl is. Only
 * payloads that differ are written, so parallel requests do not undo each other. A session that was ended stays
 * ended: where a request saves it afterwards the store emits `lost`, with {@link Lost}, and the response goes
 * out. `all`, `length` and `clear` cannot be: only the visitors have the tokens.
 */
export class SessionGateStore extends Store {
  /** Makes the session of a request; express-session assigns it. @internal */
  declare generate: Generate;
  /** For session's option of that name: ids are tokens, which this mints. */
  readonly genid: () => string;
  readonly #gate: Gate;
  readonly #access: Access;
  readonly #legacy: Store | undefined;
  #minted = "";

  constructor(gate: Gate, options: SessionGateStoreOptions = {}) {
    super();
    this.#gate = gate;
    this.#access = accessOf(gate);
    this.#legacy = options.legacy;
    this.genid = () => {
      this.#minted = this.#access.mint();
      return this.#minted;
    };
    // express-session assigns the function that makes a session: hear of each one that it makes.
    let generate: Generate | undefined;
    Object.defineProperty(this, "generate", {
      configurable: true,
      enumerable: true,
      get: () => generate,
      set: (assigned: Generate) => {
        generate = (req) => {
          assigned(req);
          this.#generated(req);
        };
      },
    });
  }

  // What express-session calls ------------------------------------------------------------------

  override get(id: string, callback: GetCallback): void {
    const legacy = this.#legacyOf(id);
    if (legacy) {
      legacy.get(id, callback);
      return;
    }
    SessionState.load(this.#access, id).then(
      (state) => callback(null, state ? this.#shown(state) : null),
      callback,
    );
  }

  override set(id: string, session: SessionData, callback: Callback = () => {}): void {
    const legacy = this.#legacyOf(id);
    if (legacy) {
      legacy.set(id, session, callback);
      return;
    }
    const held = this.#heldOf(id, session);
    if (!held) {
      // Neither loaded nor generated here: stored under that id, as every store does.
      Held.upsert(this.#access, id)
        .then((found) => this.#save(found, session))
        .then(() => callback(), callback);
      return;
    }
    settle(
      () => this.#save(held, session),
      (error) => {
        if (!(error instanceof NoSession)) return callback(error);
        const { req } = session as unknown as { req: Request };
        this.emit("lost", { id: publicId(id), req } satisfies Lost);
        callback();
      },
    );
  }

  override touch(id: string, session: SessionData, callback: Callback = () => {}): void {
    const legacy = this.#legacyOf(id);
    if (legacy) {
      if (legacy.touch) legacy.touch(id, session, callback);
      else callback();
      return;
    }
    const held = this.#heldOf(id, session);
    settle(
      () => {
        if (held && (!held.state.isStored || isAsLoaded(session.cookie, held))) return undefined;
        const { cookie, life } = this.#cookieOf(session, held);
        if (!held) return this.#gate.expire(id, life);
        held.willStore(cookie);
        return held.touch({ cookie }, life);
      },
      (error) => callback(error instanceof NoSession ? undefined : error),
    );
  }

  override destroy(id: string, callback: Callback = () => {}): void {
    const legacy = this.#legacyOf(id);
    if (legacy) {
      legacy.destroy(id, callback);
      return;
    }
    settle(() => endOf(this.#gate, id), callback);
  }

  override regenerate(req: Request, callback: Callback): void {
    const held = this.#heldOf(req.sessionID, req.session);
    const next = (error?: unknown) => {
      this.generate(req);
      callback(error);
    };
    if (held && !held.state.isStored) held.state.end().then(next, next);
    else this.destroy(req.sessionID, next);
  }

  override createSession(req: Request, session: SessionData) {
    const held = Held.of(session);
    const created = super.createSession(req, session);
    if (held) {
      held.seen = Object.keys(created);
      Held.tie(created, held);
    }
    return created;
  }

  // Locks ---------------------------------------------------------------------------------------

  /**
   * Have a lock of the request's session while `work` runs, so that no other request which takes it comes between
   * what is read and what is written; see Session's. What was changed before is saved first. Then, as by `reload`,
   * `req.session` is another object with what is stored by now: look it up within. What `work` changes of it is
   * saved before the lock is released; where that fails it is forgotten. A session of the `legacy` store, and one
   * that holds nothing yet, has no lock.
   *
   * @throws LockTimeout when another request has it for as long as is waited; NoSession, BadArgument
   */
  async lock<R>(
    req: Request,
    name: string,
    seconds: number,
    work: (session: Request["session"]) => R | PromiseLike<R>,
    options?: LockOptions,
  ): Promise<R> {
    const held = this.#heldOf(req.sessionID, req.session);
    if (!held) return work(req.session);
    const { state } = held;
    // It may have been reloaded meanwhile, regenerated or destroyed.
    const current = () => this.#heldOf(req.sessionID, req.session);
    const isHere = () => current()?.state.token === state.token;
    const names = () => Object.keys(req.session).filter((each) => each !== "cookie");
    const shown: Shown = {
      state,
      save: () => {
        const now = current();
        // One that holds nothing but a cookie is left to express-session, which may not want to store it.
        const isToBeSaved = now && (now.state.isStored || names().length > 0);
        return isToBeSaved ? this.#save(now, req.session) : undefined;
      },
      renew: (stored) => {
        state.payloads = stored;
        if (isHere()) this.createSession(req, this.#shown(state));
      },
      forget: () => {
        const now = current()?.state;
        if (!now || !isHere()) return;
        if (now.isStored) this.createSession(req, this.#shown(now));
        else for (const each of names()) Reflect.deleteProperty(req.session, each);
      },
    };
    return Lock.during(shown, name, seconds, options, () => work(req.session));
  }

  // Owners --------------------------------------------------------------------------------------

  /**
   * Log an owner in, a label of 1 to 200 bytes such as a user's id: a new session of the owner with all that this
   * one has, under a new token, in its stead; the owner's own session gets a new token. Call it where you would
   * call `req.session.regenerate`, or after Passport's `req.login`. `limit`: how many sessions the owner may have,
   * the oldest of those beyond end.
   *
   * @throws NoSession when the session was ended meanwhile: then nobody is logged in
   */
  async login(
    req: Request,
    owner: string,
    options: { limit?: number | undefined } = {},
  ): Promise<void> {
    const { session, sessionID } = req;
    const legacy = this.#legacyOf(sessionID);
    const held =
      this.#heldOf(sessionID, session) ??
      (legacy
        ? new Held(SessionState.fresh(this.#access))
        : await Held.upsert(this.#access, sessionID));
    const { cookie, life } = this.#cookieOf(session, held);
    await held.state.login(owner, options.limit, () => held.changes({ ...session, cookie }), life);
    Held.tie(session, undefined);
    req.sessionID = held.state.token;
    this.createSession(req, this.#shown(held.state));
    if (legacy) await new Promise((resolve) => legacy.destroy(sessionID, resolve));
  }

  /** The owner's sessions, the oldest first, without the tokens; `current` is the request that asks. */
  sessions(owner: string, options: { current?: Request | undefined } = {}): Promise<Device[]> {
    return devicesOf(this.#gate, owner, options.current?.sessionID, ["cookie"]);
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
  endAll(owner: string, options: { keep?: Request | undefined } = {}): Promise<number> {
    const { keep } = options;
    // Without a session there is nothing to keep: no token, which is refused, where undefined would end all.
    return this.#gate.endAll(owner, { keep: keep && (keep.sessionID ?? "") });
  }

  // ---------------------------------------------------------------------------------------------

  #legacyOf(id: string): Store | undefined {
    return this.#legacy && !formOf(id) ? this.#legacy : undefined;
  }

  #heldOf(id: string, session: object | undefined): Held | undefined {
    const held = session && Held.of(session);
    return held?.state.token === id ? held : undefined;
  }

  #generated(req: Request): void {
    if (req.sessionID !== this.#minted) {
      Reflect.deleteProperty(req, "session"); // or the response of the error would try to save it
      throw new TypeError(
        "SessionGateStore makes the ids: session({ store, genid: store.genid, ... })",
      );
    }
    Held.tie(req.session, new Held(SessionState.fresh(this.#access, req.sessionID)));
  }

  /** A loaded session as express-session wants it; what is held goes along with it. */
  #shown(state: SessionState): SessionData {
    const values = state.payloads.values();
    const held = new Held(state, Object.keys(values));
    const cookie = cookieFrom(values.cookie);
    held.cookie = { ...cookie };
    held.maxAge = cookie.originalMaxAge;
    if (held.maxAge !== null) {
      state.life = secondsOf(held.maxAge);
      const left = state.left === undefined || state.left < 0 ? held.maxAge : 1000 * state.left;
      cookie.expires = new Date(Date.now() + Math.min(left, held.maxAge));
    }
    values.cookie = cookie;
    Held.tie(values, held);
    return values as unknown as SessionData;
  }

  #save(held: Held, session: SessionData): Promise<void> | undefined {
    const { cookie, life } = this.#cookieOf(session, held);
    held.willStore(cookie);
    return held.save({ ...session, cookie }, life);
  }

  /** The cookie as it is stored, without what changes with each request, and the life that it gives. */
  #cookieOf(session: SessionData, held?: Held) {
    const shown = session.cookie as typeof session.cookie & { toJSON?: () => object };
    const cookie = (shown?.toJSON?.() ?? { ...shown }) as SessionData["cookie"];
    cookie.expires = undefined;
    const stored = held?.maxAge;
    const { originalMaxAge } = cookie;
    if (typeof originalMaxAge !== "number") return { cookie, life: this.#access.ttl };
    if (stored != null && isDrift(originalMaxAge, stored)) cookie.originalMaxAge = stored;
    return { cookie, life: secondsOf(cookie.originalMaxAge as number) };
  }
}

/** Whether a `maxAge` that was stored has come to this one by itself. */
const isDrift = (maxAge: number, stored: number) => maxAge <= stored && stored - maxAge < DRIFT_MS;

/** Whether a touch would send nothing: to compare its cookie with the loaded one is less than to write it. */
function isAsLoaded(cookie: SessionData["cookie"], held: Held): boolean {
  const { cookie: loaded, maxAge, state } = held;
  if (!loaded || !(cookie instanceof Cookie) || state.isRefreshDue) return false;
  const shown = cookie as unknown as Record<string, unknown>;
  const { originalMaxAge } = cookie as SessionData["cookie"];
  const isLife =
    originalMaxAge === maxAge ||
    (originalMaxAge != null && maxAge != null && isDrift(originalMaxAge, maxAge));
  return isLife && COOKIE_OPTIONS.every((name) => shown[name] === loaded[name]);
}

/**
 * The cookie that was just read, to be written into. Another program may have stored it, and what else it has
 * would take the place of the cookie's methods.
 */
function cookieFrom(value: unknown): SessionData["cookie"] {
  const cookie = (typeof value === "object" && value ? value : {}) as SessionData["cookie"];
  for (const name of Object.keys(cookie)) {
    if (!COOKIE.has(name)) Reflect.deleteProperty(cookie, name);
  }
  if (typeof cookie.originalMaxAge !== "number") cookie.originalMaxAge = null;
  return cookie;
}
