import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { before, beforeEach, describe, test } from "node:test";
import express5 from "express";
import session from "express-session";
import express4 from "express4";
import { Gate, NoSession } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";
import { adapterRules } from "./support/adapter-rules.mjs";
import { plain, single } from "./support/drivers.mjs";
import { Browser, gateway, listen } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";
import { serve } from "./support/servers.mjs";
import { until } from "./support/wait.mjs";

const SECRET = "a secret of the tests";
const signKeys = ["sign key"];
const under = await serverUnderTest();
const { sent } = under;
const gate = new Gate(under.client, { signKeys, ttl: 1000 });

/** What cookie-signature does. */
const sign = (id) =>
  encodeURIComponent(
    `s:${id}.${createHmac("sha256", SECRET).update(id).digest("base64").replace(/=+$/, "")}`,
  );
const idOf = (browser) =>
  decodeURIComponent(browser.cookies.get("connect.sid")).slice(2).split(".").slice(0, 3).join(".");

/** An application with the routes of the tests, its store, and a browser for it. */
async function application(express, options = {}, storeOptions = {}, routes = () => {}) {
  const store = new SessionGateStore(options.gate ?? gate, storeOptions);
  const { gate: _, ...rest } = options;
  const app = express();
  const gates = new Map();
  app.use(
    session({
      store,
      genid: store.genid,
      secret: SECRET,
      resave: false,
      saveUninitialized: false,
      ...rest,
    }),
  );
  app.get("/read", (req, res) =>
    res.json({ ...req.session, cookie: undefined, id: req.sessionID }),
  );
  app.get("/set", (req, res) => {
    Object.assign(req.session, req.query);
    res.send("set");
  });
  app.get("/delete", (req, res) => {
    delete req.session[req.query.name];
    res.send("deleted");
  });
  app.get("/push", (req, res) => {
    req.session.list ??= [];
    req.session.list.push({ n: req.session.list.length });
    res.send("pushed");
  });
  app.get("/slow", async (req, res) => {
    const { arrived, leave } = gates.get(req.query.gate);
    req.session.slow = "saved";
    arrived.open();
    await leave.opened;
    res.send("slow");
  });
  app.get("/regenerate", (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error);
      req.session.user = req.query.user;
      res.send("regenerated");
    });
  });
  app.get("/destroy", (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.send("destroyed")));
  });
  app.get("/max-age", (req, res) => {
    req.session.cookie.maxAge = Number(req.query.ms);
    if (req.query.write) req.session.written = true;
    res.send("set");
  });
  app.get("/there-and-back", (req, res, next) => {
    const { maxAge } = req.query;
    req.session.cookie.maxAge = Number(maxAge);
    store.touch(req.sessionID, req.session, (error) => {
      req.session.cookie.maxAge = 60_000;
      if (error) next(error);
      else res.send("set");
    });
  });
  app.get("/same-site", (req, res) => {
    req.session.cookie.sameSite = "strict";
    res.send("set");
  });
  app.get("/reload", (req, res, next) => {
    req.session.unsaved = true;
    req.session.reload((error) =>
      error ? next(error) : res.json({ ...req.session, cookie: undefined }),
    );
  });
  app.get("/login", (req, res, next) => {
    req.session.user = req.query.user;
    store.login(req, `user:${req.query.user}`).then(() => res.json({ ...req.session }), next);
  });
  app.get("/devices", (req, res, next) => {
    store.sessions(req.query.owner, { current: req }).then((devices) => res.json(devices), next);
  });
  app.get("/end-all", (req, res, next) => {
    store.endAll(req.query.owner, { keep: req }).then((count) => res.send(`${count}`), next);
  });
  app.get("/add", (req, res, next) => {
    const add = (session) => {
      session.n = Number(session.n ?? 0) + 1;
    };
    store.lock(req, "n", 60, add, { wait: 30 }).then(() => res.send("added"), next);
  });
  app.get("/locked", (req, res, next) => {
    const before = req.session;
    const { wait = "30", then, fail, ...values } = req.query;
    Object.assign(before, values);
    const call = (method) =>
      new Promise((resolve, reject) => {
        req.session[method]((error) => (error ? reject(error) : resolve()));
      });
    const work = async (session) => {
      assert.equal(session, req.session);
      const { arrived, leave } = gates.get("locked") ?? {};
      arrived?.open();
      await leave?.opened;
      if (then === "login") await store.login(req, "user:locked");
      else if (then) await call(then);
      if (req.session) req.session.within = "saved";
      if (fail) throw new Error("failed");
      return { ...session, cookie: undefined };
    };
    const catching = fail ? (error) => res.send(error.message) : next;
    store
      .lock(req, "n", 60, work, { wait: Number(wait) })
      .then((answer) => res.json(answer), catching);
  });
  app.get("/cookie", (req, res) => res.json(req.session.cookie));
  app.get("/twice", (req, res, next) => {
    req.session.a = 1;
    req.session.save((error) => {
      if (error) return next(error);
      req.session.b = 2;
      res.send("twice");
    });
  });
  routes(app, store);
  app.use((error, _req, res, _next) => res.status(500).send(error.code ?? error.message));
  const { url, close } = await listen(app);
  under.closers.push(close);
  return {
    store,
    url,
    browser: () => new Browser(url),
    slow(name) {
      const pair = { arrived: gateway(), leave: gateway() };
      gates.set(name, pair);
      return pair;
    },
  };
}

for (const [name, express] of [
  ["Express 4", express4],
  ["Express 5", express5],
]) {
  describe(name, () => {
    let app;
    let browser;
    before(async () => {
      app = await application(express);
    });
    beforeEach(() => {
      browser = app.browser();
    });

    adapterRules({ app: () => app, gate, under, idOf });

    test("values that are changed inside are written, the same value again is not", async () => {
      await browser.get("/push");
      await browser.get("/push");
      assert.deepEqual((await browser.json("/read")).list, [{ n: 0 }, { n: 1 }]);
      await browser.get("/set?a=2");
      assert.deepEqual(await sent(() => browser.get("/set?a=2")), ["PGETALL"]);
    });

    test("the event `lost` has the request, and its cookie is left alone", async () => {
      await browser.get("/set?user=Ada");
      const slow = app.slow("lost");
      const lost = once(app.store, "lost");
      const late = browser.get("/slow?gate=lost");
      await slow.arrived.opened;
      await gate.end(idOf(browser));
      slow.leave.open();
      assert.deepEqual((await late).set, []);
      assert.equal((await lost)[0].req.sessionID, idOf(browser));
    });

    test("two saves in one request: what the first stored the second does not send again", async () => {
      assert.deepEqual(await sent(() => browser.get("/twice")), ["ADOPT", "PMSET"]);
      const { a, b } = await browser.json("/read");
      assert.deepEqual([a, b], [1, 2]);
    });

    test("regenerate: another id, the old one is dead, and who is not stored yet costs no END", async () => {
      await browser.get("/set?cart=full");
      const former = browser.clone();
      await browser.get("/regenerate?user=Ada");
      assert.notEqual(idOf(browser), idOf(former));
      const { user, cart } = await browser.json("/read");
      assert.deepEqual([user, cart], ["Ada", undefined]);
      assert.equal((await former.json("/read")).cart, undefined);
      assert.deepEqual(await sent(() => app.browser().get("/regenerate?user=Ada")), ["ADOPT"]);
    });

    test("reload drops what was not saved", async () => {
      await browser.get("/set?a=1");
      const { a, unsaved } = await browser.json("/reload");
      assert.deepEqual([a, unsaved], ["1", undefined]);
    });

    test("lock: requests that add to one value at once lose nothing", async () => {
      await browser.get("/set?n=0");
      const add = async () => {
        for (let i = 0; i < 20; i++) assert.equal((await browser.get("/add")).status, 200);
      };
      await Promise.all([add(), add()]);
      assert.equal((await browser.json("/read")).n, 40);
      assert.deepEqual(await sent(() => browser.get("/add")), [
        ...["PDEL", "PGETALL", "PGETALL", "PMSET", "PSET"],
      ]);
    });

    test("lock: what was changed before is stored, and the work sees what others wrote", async () => {
      await browser.get("/set?a=1&b=1");
      const id = idOf(browser);
      await gate.pset(id, "\0lock:n", "another's");
      const late = browser.json("/locked?own=2");
      await until(async () => (await gate.pgetall(id)).has("own"), "what was changed is stored");
      await gate.pset(id, "b", '"other"');
      await gate.pdel(id, "\0lock:n");
      const { a, b, own } = await late;
      assert.deepEqual([a, b, own], ["1", "other", "2"]);
      assert.deepEqual([...(await gate.pgetall(id)).keys()].sort(), [
        ...["a", "b", "cookie", "own", "within"],
      ]);
    });

    test("lock: another's is waited for, and no longer than told", async () => {
      await browser.get("/set?a=1");
      await gate.pset(idOf(browser), "\0lock:n", "another's");
      const { status, text } = await browser.get("/locked?wait=0");
      assert.deepEqual([status, text], [500, "LOCKTIMEOUT"]);
      assert.equal(String(await gate.pget(idOf(browser), "\0lock:n")), "another's");
    });

    test("lock: where the work fails its changes are forgotten, those before are not", async () => {
      await browser.get("/set?a=1");
      assert.equal((await browser.get("/locked?a=2&fail=1")).text, "failed");
      assert.equal((await browser.get("/locked?a=3&fail=1&then=reload")).text, "failed");
      const { a, within } = await browser.json("/read");
      assert.deepEqual([a, within], ["3", undefined]);
      assert.deepEqual([...(await gate.pgetall(idOf(browser))).keys()].sort(), ["a", "cookie"]);
    });

    test("lock: who is new has one if there is something to store", async () => {
      const { own, within } = await browser.json("/locked?own=1");
      assert.deepEqual([own, within], ["1", "saved"]);
      assert.equal((await browser.json("/read")).own, "1");
      const other = app.browser();
      assert.deepEqual(await sent(() => other.get("/locked")), ["ADOPT"]);
      assert.equal((await other.json("/read")).within, "saved");
      const none = app.browser();
      assert.deepEqual(await sent(() => none.get("/locked?fail=1")), []);
      assert.equal(none.cookies.size, 0);
    });

    test("lock: the work may reload, regenerate, destroy, log in", async () => {
      for (const then of ["reload", "save", "regenerate", "destroy", "login"]) {
        await browser.get("/set?a=1");
        const id = idOf(browser);
        const { status, text } = await browser.get(`/locked?then=${then}`);
        assert.equal(status, 200, `${then}: ${text}`);
        const { a, within } = await browser.json("/read");
        const isKept = then !== "regenerate" && then !== "destroy";
        assert.equal(a, isKept ? "1" : undefined, then);
        assert.equal(within, then === "destroy" ? undefined : "saved", then);
        if (then === "reload" || then === "save") {
          assert.equal((await gate.pgetall(id)).has("\0lock:n"), false);
        } else {
          await assert.rejects(gate.ttl(id), NoSession);
        }
        browser = app.browser();
      }
    });

    test("lock: a session that is ended meanwhile stays ended, and the request hears of it", async () => {
      await browser.get("/set?a=1");
      const id = idOf(browser);
      const slow = app.slow("locked");
      const late = browser.get("/locked");
      await slow.arrived.opened;
      app.slow("locked").leave.open();
      await gate.end(id);
      slow.leave.open();
      const { status, text } = await late;
      assert.deepEqual([status, text], [500, "NOSESSION"]);
      assert.equal(await under.client.exists(id), 0);
    });

    test("cookies rightly signed whose token is forged, ended or none start anew", async () => {
      await browser.get("/set?a=1");
      const ended = idOf(browser);
      await gate.end(ended);
      const foreign = new Gate(under.client, { signKeys: ["another"] }).mint();
      const ids = [ended, gate.mint(), foreign, "none", "../../etc", "x".repeat(4000), "__proto__"];
      for (const id of ids) {
        const other = app.browser();
        other.cookies.set("connect.sid", sign(id));
        const commands = await sent(async () => {
          const read = await other.get("/read");
          assert.equal(read.status, 200);
          assert.notEqual(read.json().id, id);
        });
        // The two that are signed with the sign key are looked up; of the others the server hears nothing.
        assert.deepEqual(commands, gate.verify(id) ? ["PGETALL", "TOUCH"] : [], id.slice(0, 10));
        await other.get("/set?b=1");
        assert.notEqual(idOf(other), id);
        assert.equal((await other.json("/read")).b, "1");
      }
    });

    test("names that express-session hides are neither shown nor deleted", async () => {
      await browser.get("/set?a=1");
      const id = idOf(browser);
      await gate.pmset(id, { constructor: "1", save: "2", ["__proto__"]: "3", broken: "{" });
      await browser.get("/set?a=2");
      await browser.get("/delete?name=a");
      assert.deepEqual([...(await gate.pgetall(id)).keys()].sort(), [
        "__proto__",
        "broken",
        "constructor",
        "cookie",
        "save",
      ]);
      await browser.get("/set?broken=mended");
      assert.equal((await browser.json("/read")).broken, "mended");
    });

    test("a cookie that another program has stored wrongly fails no request", async () => {
      const wrong = [
        { originalMaxAge: "x" },
        { maxAge: "x" },
        { toJSON: 1, data: 2 },
        JSON.parse('{"__proto__":{"data":1}}'),
        [1],
        "x",
        null,
      ].map((cookie) => JSON.stringify(cookie));
      for (const cookie of [...wrong, "{"]) {
        browser.cookies.set(
          "connect.sid",
          sign(await gate.start({ payloads: { cookie, a: "1" } })),
        );
        const { status, text } = await browser.get("/set?b=2");
        assert.equal(status, 200, `${cookie}: ${text}`);
        const { a, b } = await browser.json("/read");
        assert.deepEqual([a, b], [1, "2"], cookie);
      }
    });

    test("without cookie.maxAge the life is the gate's ttl", async () => {
      const { set } = await browser.get("/set?a=1");
      assert.doesNotMatch(set[0], /expires/i);
      assert.equal(await gate.ttl(idOf(browser)), 1000);
    });

    test("a maxAge that a request sets is the session's life from then on", async () => {
      await browser.get("/set?a=1");
      const id = idOf(browser);
      assert.deepEqual(await sent(() => browser.get("/max-age?ms=30500")), [
        "EXPIRE",
        "PGETALL",
        "PMSET",
        "TOUCH",
      ]);
      assert.equal(await gate.ttl(id), 31);
      const { originalMaxAge } = await browser.json("/cookie");
      assert.ok(originalMaxAge >= 30_499 && originalMaxAge <= 30_500, originalMaxAge); // express rounds by its clock
      assert.deepEqual(await sent(() => browser.get("/read")), ["PGETALL", "TOUCH"]);
      await browser.get("/max-age?ms=90000&write=1");
      assert.equal(await gate.ttl(id), 90);
      await browser.get("/max-age?ms=0");
      await assert.rejects(gate.ttl(id), NoSession);
    });

    test("an option of the cookie that a request sets is kept, and written once", async () => {
      await browser.get("/set?a=1");
      const { set } = await browser.get("/same-site");
      assert.deepEqual(set, []);
      assert.equal((await browser.json("/cookie")).sameSite, "strict");
      assert.deepEqual(await sent(() => browser.get("/same-site")), ["PGETALL"]);
    });

    test("a session that another program started is an Express session too", async () => {
      browser.cookies.set("connect.sid", sign(await gate.start({ payloads: { user: '"Ada"' } })));
      assert.equal((await browser.json("/read")).user, "Ada");
      await browser.get("/set?lang=en");
      const { user, lang } = await browser.json("/read");
      assert.deepEqual([user, lang], ["Ada", "en"]);
    });
  });
}

describe("options of express-session", () => {
  test("cookie.maxAge is the life in whole seconds, rounded up, and every request renews it", async () => {
    const app = await application(express5, { cookie: { maxAge: 20_500 } });
    const browser = app.browser();
    const { set } = await browser.get("/set?a=1");
    assert.match(set[0], /Expires=/);
    const id = idOf(browser);
    assert.equal(await gate.ttl(id), 21);
    await gate.pset(id, "other", "1");
    await under.client.expire(id, 10);
    await browser.get("/read");
    assert.equal(await gate.ttl(id), 21);
    assert.deepEqual(await sent(() => browser.get("/read")), ["PGETALL", "TOUCH"]);
    await under.client.expire(id, 15); // not half of it is over, which the load asks for, but a tenth
    assert.deepEqual(await sent(() => browser.get("/read")), ["PGETALL", "TOUCH", "TOUCH"]);
    assert.equal(await gate.ttl(id), 21);
  });

  test("a life that a touch by hand has stored can be changed back in the same request", async () => {
    const app = await application(express5, { cookie: { maxAge: 60_000 } });
    const browser = app.browser();
    await browser.get("/set?a=1");
    await browser.get("/there-and-back?maxAge=30000");
    assert.equal(await gate.ttl(idOf(browser)), 60);
    assert.equal((await browser.json("/cookie")).originalMaxAge, 60_000);
  });

  test("a lock leaves the cookie and the life as they are", async () => {
    const cookie = { maxAge: 20_500, sameSite: "lax" };
    const app = await application(express5, { cookie });
    const browser = app.browser();
    for (const path of ["/locked?own=1", "/locked?own=2", "/set?own=3"]) {
      const { set } = await browser.get(path);
      assert.match(set[0], /Expires=.*SameSite=Lax/);
      assert.equal(await gate.ttl(idOf(browser)), 21);
    }
    const { originalMaxAge, sameSite } = await browser.json("/cookie");
    assert.deepEqual([originalMaxAge, sameSite], [20_500, "lax"]);
    const other = app.browser();
    await other.get("/locked?fail=1");
    assert.equal(other.cookies.size, 0);
  });

  test("close to the deadline that the gate sets, a request costs no more", async () => {
    const own = new Gate(under.client, { signKeys, ttl: 100, maxTtl: 50 });
    const app = await application(express5, { gate: own, cookie: { maxAge: 100_000 } });
    const browser = app.browser();
    await browser.get("/set?a=1");
    assert.equal(await gate.ttl(idOf(browser)), 50);
    assert.deepEqual(await sent(() => browser.get("/read")), ["PGETALL", "TOUCH"]);
  });

  test("saveUninitialized: everybody has a session", async () => {
    const app = await application(express5, { saveUninitialized: true });
    const browser = app.browser();
    assert.deepEqual(await sent(() => browser.get("/read")), ["ADOPT"]);
    assert.equal((await browser.json("/read")).id, idOf(browser));
  });

  test("resave: no write where nothing has changed", async () => {
    const app = await application(express5, { resave: true, cookie: { maxAge: 60_000 } });
    const browser = app.browser();
    await browser.get("/set?a=1");
    assert.deepEqual(await sent(() => browser.get("/read")), ["PGETALL", "TOUCH"]);
  });

  test("rolling: the cookie is set with each response, which costs no write", async () => {
    const app = await application(express5, { rolling: true, cookie: { maxAge: 60_000 } });
    const browser = app.browser();
    await browser.get("/set?a=1");
    assert.deepEqual(
      await sent(async () => {
        const { set } = await browser.get("/read");
        assert.match(set[0], /Expires=/);
      }),
      ["PGETALL", "TOUCH"],
    );
  });

  test("unset: destroy ends the session that a request removes", async () => {
    const app = await application(express5, { unset: "destroy" }, {}, (app) =>
      app.get("/unset", (req, res) => {
        req.session = null;
        res.send("unset");
      }),
    );
    const browser = app.browser();
    await browser.get("/set?a=1");
    const id = idOf(browser);
    await browser.get("/unset");
    await assert.rejects(gate.ttl(id), NoSession);
  });

  test("genid forgotten: the first request says so", async () => {
    const app = await application(express5, { genid: undefined });
    const { status, text } = await app.browser().get("/read");
    assert.equal(status, 500);
    assert.match(text, /genid: store\.genid/);
  });
});

describe("the store by hand", () => {
  const call = (store, method, ...args) =>
    new Promise((resolve, reject) => {
      store[method](...args, (error, result) => (error ? reject(error) : resolve(result)));
    });

  test("get, set, touch and destroy of plain objects, as every store", async () => {
    const store = new SessionGateStore(gate);
    const id = store.genid();
    assert.equal(await call(store, "get", id), null);
    await call(store, "touch", id, { cookie: { originalMaxAge: 5000 } });
    assert.equal(await under.client.exists(id), 0);
    await call(store, "set", id, { cookie: { originalMaxAge: 5000, path: "/" }, a: 1, b: 2 });
    assert.equal(await gate.ttl(id), 5);
    await call(store, "set", id, { cookie: { originalMaxAge: 9000, path: "/" }, a: 3 });
    assert.equal(await gate.ttl(id), 9);
    const { a, b, cookie } = await call(store, "get", id);
    assert.deepEqual([a, b, cookie.originalMaxAge], [3, undefined, 9000]);
    await call(store, "touch", id, { cookie: { originalMaxAge: 20_000 } });
    assert.equal(await gate.ttl(id), 20);
    await call(store, "destroy", id);
    await call(store, "destroy", id);
    assert.equal(await call(store, "get", id), null);
    await assert.rejects(call(store, "set", "no token", { cookie: {} }), { code: "BADTOKEN" });
  });

  test("what a save that failed would have deleted the next save deletes", async () => {
    let lose = true;
    const lossy = {
      isOpen: true,
      isReady: true,
      async sendCommand(line, options) {
        if (lose && line[0] === "SESSIONGATE.PDEL") {
          lose = false;
          throw new Error("Socket closed unexpectedly");
        }
        return under.client.sendCommand(line, options);
      },
    };
    const store = new SessionGateStore(new Gate(lossy, { signKeys }));
    const id = await gate.start({ payloads: { cookie: "{}", a: "1", b: "2" } });
    const session = store.createSession({ sessionID: id }, await call(store, "get", id));
    delete session.a;
    await assert.rejects(call(store, "set", id, session), /Socket closed/);
    await call(store, "set", id, session);
    assert.deepEqual([...(await gate.pgetall(id)).keys()].sort(), ["b", "cookie"]);
  });

  test("load", async () => {
    const store = new SessionGateStore(gate);
    const id = store.genid();
    await call(store, "set", id, { cookie: { path: "/" }, a: 1 });
    assert.equal((await call(store, "load", id)).a, 1);
  });
});

test("a former store's sessions live out, and a login moves them over", async () => {
  const legacy = new session.MemoryStore();
  const former = express5();
  former.use(session({ store: legacy, secret: SECRET, resave: false, saveUninitialized: false }));
  former.get("/set", (req, res) => {
    Object.assign(req.session, req.query);
    res.send("set");
  });
  const old = await listen(former);
  const browser = new Browser(old.url);
  await browser.get("/set?user=Ada&lang=en");
  await old.close();
  const app = await application(express5, {}, { legacy });
  browser.url = app.url;
  const id = browser.cookies.get("connect.sid");
  assert.deepEqual(await sent(() => browser.get("/set?lang=fr")), []);
  assert.equal((await browser.json("/read")).lang, "fr");
  assert.deepEqual(await sent(() => browser.get("/add")), []);
  assert.equal((await browser.json("/read")).n, 1);
  assert.equal(browser.cookies.get("connect.sid"), id);
  await browser.get("/regenerate?user=Grace");
  assert.ok(gate.verify(idOf(browser)));
  assert.equal((await browser.json("/read")).user, "Grace");
  assert.equal(await new Promise((resolve) => legacy.length((_, length) => resolve(length))), 0);
});

for (const { name, connect } of single) {
  test(`Express 5 on ${name}`, async () => {
    const own = await connect(under.server.port);
    const app = await application(express5, { gate: new Gate(own.client, { signKeys }) });
    const browser = app.browser();
    await browser.get("/set?user=Ada");
    await browser.get("/push");
    const { user, list } = await browser.json("/read");
    assert.deepEqual([user, list], ["Ada", [{ n: 0 }]]);
    await browser.get("/destroy");
    assert.equal((await browser.json("/read")).user, undefined);
    own.close();
  });
}

test("of 100 pairs of parallel writes none is lost", async () => {
  const app = await application(express5);
  for (let i = 0; i < 100; i++) {
    const browser = app.browser();
    await browser.get("/set?a=0&b=0");
    await Promise.all([browser.get("/set?a=1"), browser.get("/set?b=1")]);
    const { a, b } = await browser.json("/read");
    assert.deepEqual([a, b], ["1", "1"]);
  }
});

test("Redis is killed and comes back: requests fail meanwhile, and go on afterwards", async () => {
  const own = await serve("--config", "appendonly=yes", "appendfsync=always");
  const client = await plain(own.port, {
    disableOfflineQueue: true,
    socket: { host: "127.0.0.1", port: own.port, reconnectStrategy: 20 },
  });
  const app = await application(express5, { gate: new Gate(client.client, { signKeys }) });
  const browser = app.browser();
  await browser.get("/set?user=Ada");
  await own.tell("kill", 0);
  await until(() => !client.client.isReady, "the connection is lost");
  assert.equal((await browser.get("/read")).status, 500);
  await own.tell("start", 0);
  await until(() => client.client.isReady, "the connection is back");
  assert.equal((await browser.json("/read")).user, "Ada");
  client.close();
  await own.stop();
});
