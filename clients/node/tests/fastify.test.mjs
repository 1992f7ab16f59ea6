import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import cookie from "@fastify/cookie";
import session from "@fastify/session";
import fastify from "fastify";
import { Gate, NoSession } from "sessiongate";
import { SessionGateStore } from "sessiongate/fastify";
import { adapterRules } from "./support/adapter-rules.mjs";
import { Browser, gateway } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";

const under = await serverUnderTest();
const { sent } = under;
const SECRET = "a secret of the tests, of 32 bytes or more";
const gate = new Gate(under.client, { signKeys: ["sign key"], ttl: 1000 });
let browser;

/** An application with the routes of the tests, and its store. */
async function application(options = {}, storeOptions = {}) {
  const store = new SessionGateStore(gate, storeOptions);
  const server = fastify({ forceCloseConnections: true });
  const gates = new Map();
  await server.register(cookie);
  await server.register(session, {
    store,
    idGenerator: store.idGenerator,
    secret: SECRET,
    saveUninitialized: false,
    cookie: { secure: false },
    ...options,
  });
  const shown = (request) => {
    const { cookie: _, ...values } = request.session;
    return { ...values, id: request.session.sessionId };
  };
  server.get("/read", async (request) => shown(request));
  server.get("/set", async (request) => {
    for (const [name, value] of Object.entries(request.query)) request.session.set(name, value);
    return "set";
  });
  server.get("/delete", async (request) => {
    delete request.session[request.query.name];
    return "deleted";
  });
  server.get("/twice", async (request) => {
    request.session.set("a", 1);
    await request.session.save();
    request.session.set("b", 2);
    await request.session.save();
    return "twice";
  });
  server.get("/slow", async (request) => {
    const { arrived, leave } = gates.get(request.query.gate);
    request.session.set("slow", "saved");
    arrived.open();
    await leave.opened;
    return "slow";
  });
  server.get("/idle", async (request) => {
    const { arrived, leave } = gates.get(request.query.gate);
    arrived.open();
    await leave.opened;
    return "idle";
  });
  server.get("/regenerate", async (request) => {
    await request.session.regenerate(["keep"]);
    return "regenerated";
  });
  server.get("/reload", async (request) => {
    request.session.set("unsaved", true);
    await request.session.reload();
    return shown(request);
  });
  server.get("/destroy", async (request) => {
    await request.session.destroy();
    return "destroyed";
  });
  server.get("/login", async (request) => {
    request.session.set("user", request.query.user);
    await store.login(request, `user:${request.query.user}`);
    return shown(request);
  });
  server.get("/devices", async (request) =>
    store.sessions(request.query.owner, { current: request }),
  );
  server.get("/end-all", async (request) =>
    String(await store.endAll(request.query.owner, { keep: request })),
  );
  const url = await server.listen({ host: "127.0.0.1", port: 0 });
  under.closers.push(() => server.close());
  return {
    store,
    browser: () => new Browser(url),
    slow(name) {
      const pair = { arrived: gateway(), leave: gateway() };
      gates.set(name, pair);
      return pair;
    },
  };
}

const idOf = (one) =>
  decodeURIComponent(one.cookies.get("sessionId")).split(".").slice(0, 3).join(".");

const app = await application();
beforeEach(() => {
  browser = app.browser();
});

// Its `rolling` sets the cookie with each response, unless it is false: one more question to the server.
const asks = ["TOUCH"];
adapterRules({ app: () => app, gate, under, idOf, asks });

test("two saves in one request: what the first stored the second does not send again", async () => {
  assert.deepEqual(await sent(() => browser.get("/twice")), ["ADOPT", "PMSET"]);
});

test("regenerate keeps what it is told, under another id; reload drops what was not saved", async () => {
  await browser.get("/set?keep=1&cart=2");
  const former = idOf(browser);
  await browser.get("/regenerate");
  assert.notEqual(idOf(browser), former);
  await assert.rejects(gate.ttl(former), NoSession);
  const { keep, cart } = await browser.json("/read");
  assert.deepEqual([keep, cart], ["1", undefined]);
  assert.equal((await browser.json("/reload")).unsaved, undefined);
});

test("rolling: a response that changed nothing does not take the place of a newer session's either", async () => {
  await browser.get("/set?user=Ada");
  const slow = app.slow("rolling");
  const response = browser.get("/idle?gate=rolling");
  await slow.arrived.opened;
  await gate.end(idOf(browser));
  await browser.get("/set?user=Grace");
  const newer = idOf(browser);
  slow.leave.open();
  await response;
  assert.equal(idOf(browser), newer);
});

test("set by hand of a session that lives already changes it", async () => {
  await browser.get("/set?a=1");
  const id = idOf(browser);
  const session = { cookie: { toJSON: () => ({}) }, a: "2" };
  await new Promise((resolve) => app.store.set(id, session, resolve));
  assert.equal((await browser.json("/read")).a, "2");
});

test("names that would take a method's place are neither shown nor deleted", async () => {
  await browser.get("/set?a=1");
  const id = idOf(browser);
  await gate.pmset(id, { save: "1", constructor: "2", ["__proto__"]: "3" });
  await browser.get("/set?a=2");
  assert.deepEqual([...(await gate.pgetall(id)).keys()].sort(), [
    "__proto__",
    "a",
    "constructor",
    "cookie",
    "save",
  ]);
});

test("cookie.maxAge is the life in whole seconds, rounded up", async () => {
  const own = await application({ cookie: { secure: false, maxAge: 20_500 } });
  const visitor = own.browser();
  await visitor.get("/set?a=1");
  assert.equal(await gate.ttl(idOf(visitor)), 21);
  assert.deepEqual(await sent(() => visitor.get("/read")), ["PGETALL", "TOUCH", ...asks]);
  assert.deepEqual(await sent(() => visitor.get("/set?a=2")), ["PGETALL", "PMSET", "TOUCH"]);
});

test("a former store's sessions live out", async () => {
  const kept = new Map();
  const legacy = {
    get: (id, callback) => callback(null, kept.get(id)),
    set: (id, value, callback) => callback(kept.set(id, { ...value }) && null),
    destroy: (id, callback) => callback(kept.delete(id) && null),
  };
  const former = await application({ store: legacy, idGenerator: () => "a-former-id" });
  const visitor = former.browser();
  await visitor.get("/set?keep=1");
  assert.deepEqual([...kept.keys()], ["a-former-id"]);
  visitor.url = (await application({}, { legacy })).browser().url;
  assert.equal((await visitor.json("/read")).keep, "1");
  await visitor.get("/regenerate");
  assert.equal(kept.size, 0);
  assert.ok(gate.verify(idOf(visitor)));
});
