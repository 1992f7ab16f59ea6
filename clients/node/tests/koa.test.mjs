import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import Koa from "koa";
import session from "koa-session";
import { Gate, NoSession } from "sessiongate";
import { SessionGateStore } from "sessiongate/koa";
import { adapterRules } from "./support/adapter-rules.mjs";
import { Browser, gateway, listen } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";

const under = await serverUnderTest();
const { sent } = under;
const createSession = session.createSession ?? session.default ?? session;
const gate = new Gate(under.client, { signKeys: ["sign key"], ttl: 1000 });
let browser;

/** An application with the routes of the tests, and its store. */
async function application(options = {}, storeOptions = {}) {
  const store = new SessionGateStore(gate, storeOptions);
  const koa = new Koa();
  koa.keys = ["a secret of the tests"];
  koa.silent = true;
  const gates = new Map();
  koa.use(createSession({ store, genid: store.genid, ...options }, koa));
  const routes = {
    "/read": (ctx) => {
      ctx.body = { ...ctx.session.toJSON(), id: ctx.session.externalKey };
    },
    "/set": (ctx) => {
      Object.assign(ctx.session, ctx.query);
      ctx.body = "set";
    },
    "/delete": (ctx) => {
      delete ctx.session[ctx.query.name];
      ctx.body = "deleted";
    },
    "/slow": async (ctx) => {
      const { arrived, leave } = gates.get(ctx.query.gate);
      ctx.session.slow = "saved";
      arrived.open();
      await leave.opened;
      ctx.body = "slow";
    },
    "/idle": async (ctx) => {
      const { arrived, leave } = gates.get(ctx.query.gate);
      arrived.open();
      await leave.opened;
      ctx.body = "idle";
    },
    "/regenerate": async (ctx) => {
      await ctx.session.regenerate();
      ctx.body = "regenerated";
    },
    "/destroy": (ctx) => {
      ctx.session = null;
      ctx.body = "destroyed";
    },
    "/max-age": (ctx) => {
      ctx.session.maxAge = ctx.query.ms === "session" ? "session" : Number(ctx.query.ms);
      ctx.body = "set";
    },
    "/login": async (ctx) => {
      ctx.session.user = ctx.query.user;
      await store.login(ctx, `user:${ctx.query.user}`);
      ctx.body = ctx.session.toJSON();
    },
    "/devices": async (ctx) => {
      ctx.body = await store.sessions(ctx.query.owner, { current: ctx });
    },
    "/end-all": async (ctx) => {
      ctx.body = String(await store.endAll(ctx.query.owner, { keep: ctx }));
    },
  };
  koa.use((ctx) => routes[ctx.path]?.(ctx));
  const { url, close } = await listen(koa.callback());
  under.closers.push(close);
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

const idOf = (one) => one.cookies.get("koa.sess");

const app = await application();
beforeEach(() => {
  browser = app.browser();
});

// Its lives are longer than the gate's, so that each load asks for the refresh.
adapterRules({ app: () => app, gate, under, idOf, load: ["PGETALL", "TOUCH"] });

test("regenerate gives another id, and the old one is dead", async () => {
  await browser.get("/set?a=1");
  const former = idOf(browser);
  await browser.get("/regenerate");
  assert.notEqual(idOf(browser), former);
  await assert.rejects(gate.ttl(former), NoSession);
  assert.equal((await browser.json("/read")).a, "1");
});

test("names that koa-session hides are neither shown nor deleted", async () => {
  await browser.get("/set?a=1");
  const id = idOf(browser);
  const hidden = [
    "constructor",
    "isNew",
    "save",
    "toJSON",
    "commit",
    "maxAge",
    "length",
    "__proto__",
  ];
  await gate.pmset(id, new Map([...hidden, "_private"].map((name) => [name, "{}"])));
  assert.equal((await browser.get("/set?a=2")).status, 200);
  assert.equal((await browser.json("/read")).a, "2");
  const names = [...(await gate.pgetall(id)).keys()].sort();
  assert.deepEqual(names, [...hidden, "_private", "_expire", "_maxAge", "a"].sort());
});

test("maxAge is the life, and koa-session's ten seconds more; 'session' is the gate's ttl", async () => {
  const own = await application({ maxAge: 20_500 });
  const visitor = own.browser();
  await visitor.get("/set?a=1");
  assert.equal(await gate.ttl(idOf(visitor)), 31);
  await visitor.get("/max-age?ms=60000");
  assert.equal(await gate.ttl(idOf(visitor)), 70);
  assert.deepEqual(await sent(() => visitor.get("/read")), ["PGETALL", "TOUCH"]);
  await visitor.get("/max-age?ms=session");
  assert.equal(await gate.ttl(idOf(visitor)), 1000);
  assert.equal((await visitor.json("/read")).a, "1");
});

test("rolling: a response that changed nothing does not take the place of a newer session's either", async () => {
  const own = await application({ rolling: true });
  const visitor = own.browser();
  await visitor.get("/set?user=Ada");
  const former = idOf(visitor);
  const slow = own.slow("rolling");
  const response = visitor.get("/idle?gate=rolling");
  await slow.arrived.opened;
  await gate.end(former);
  await visitor.get("/set?user=Grace");
  const newer = idOf(visitor);
  slow.leave.open();
  await response;
  assert.equal(idOf(visitor), newer);
});

test("rolling: the cookie is set with each response, which costs no write", async () => {
  const own = await application({ rolling: true, maxAge: 60_000 });
  const visitor = own.browser();
  await visitor.get("/set?a=1");
  const commands = await sent(async () => {
    const { set } = await visitor.get("/read");
    assert.match(set[0], /expires/);
  });
  assert.deepEqual(commands, ["PGETALL", "TOUCH", "TOUCH"]);
});

test("genid forgotten: the first session to be stored says so", async () => {
  const own = await application({ genid: undefined });
  assert.equal((await own.browser().get("/set?a=1")).status, 500);
});

test("a former store's sessions live out", async () => {
  const kept = new Map();
  const legacy = {
    get: (id) => kept.get(id),
    set: (id, value) => kept.set(id, { ...value }),
    destroy: (id) => kept.delete(id),
  };
  const former = await application({ store: legacy, genid: () => "a-former-id" });
  const visitor = former.browser();
  await visitor.get("/set?keep=1");
  assert.deepEqual([...kept.keys()], ["a-former-id"]);
  visitor.url = (await application({}, { legacy })).browser().url;
  assert.equal((await visitor.json("/read")).keep, "1");
  await visitor.get("/regenerate");
  assert.equal(kept.size, 0);
  assert.ok(gate.verify(idOf(visitor)));
  assert.equal((await visitor.json("/read")).keep, "1");
});
