/** Owners: OSTART, OLIST, OEND, and what sessions and stores make of them. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import express from "express";
import session from "express-session";
import { BadSignature, BadToken, Gate, NoSession, NotLoaded } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";
import { cluster, single } from "./support/drivers.mjs";
import { Browser, gateway, listen } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";

const under = await serverUnderTest();
const nodes = await serverUnderTest("--cluster", "3");
const skip = await under.withoutOwners();
const gate = new Gate(under.client, { signKeys: ["sign key"], ttl: 1000 });

test("a module without owners says so", { skip: !skip && "the module has them" }, async () => {
  await assert.rejects(gate.olist("owner"), NotLoaded);
  await assert.rejects(gate.ostart("owner"), NotLoaded);
});

for (const { name, connect, server } of [
  ...single.map((driver) => ({ ...driver, server: under })),
  ...cluster.map((driver) => ({ ...driver, server: nodes })),
]) {
  describe(`owners, ${name}`, { skip }, () => {
    let own;
    before(async () => {
      const { client, close } = await connect(server.server.port);
      server.closers.push(close);
      own = new Gate(client, { signKeys: ["sign key"], ttl: 1000 });
    });

    test("sessions of an owner are listed, limited and ended", async () => {
      const owner = `${name} {é} 1`;
      const tokens = [];
      for (let i = 0; i < 3; i++) tokens.push(await own.ostart(owner, { payloads: { n: `${i}` } }));
      assert.deepEqual(await own.olist(owner), tokens);
      assert.equal((await own.info(tokens[0])).owner, owner);
      assert.equal((await own.info(await own.start())).owner, null);
      assert.equal(await own.oend(owner, { keep: tokens[1] }), 2);
      assert.deepEqual(await own.olist(owner), [tokens[1]]);
      const last = await own.ostart(owner, { limit: 1, ttl: 50, maxTtl: 60 });
      assert.deepEqual(await own.olist(owner), [last]);
      assert.equal(await own.ttl(last), 50);
      assert.equal(await own.oend(owner), 1);
      assert.deepEqual(await own.olist(owner), []);
      assert.equal(await own.oend(owner), 0);
    });

    test("a login moves what the visitor had to a session of the owner", async () => {
      const owner = `${name} login`;
      const visitor = await own.session(await own.start({ payloads: { cart: "[1]", seen: "1" } }));
      visitor.data.cart.push(2);
      await own.pset(visitor.token, "other", "3");
      const former = visitor.token;
      await visitor.login(owner);
      await assert.rejects(own.ttl(former), NoSession);
      assert.deepEqual({ ...visitor.data }, { cart: [1, 2], seen: 1, other: 3 });
      assert.equal((await own.info(visitor.token)).owner, owner);
      const again = visitor.token;
      visitor.data.seen = 2;
      await visitor.login(owner);
      await assert.rejects(own.ttl(again), NoSession);
      assert.deepEqual(await own.olist(owner), [visitor.token]);
      assert.deepEqual(
        { ...(await own.session(visitor.token)).data },
        { cart: [1, 2], seen: 2, other: 3 },
      );
      await visitor.login(`${owner} 2`);
      assert.deepEqual(await own.olist(owner), []);
    });
  });
}

describe("owners", { skip }, () => {
  test("a keep that is no session of the owner's ends nothing", async () => {
    const token = await gate.ostart("keeping");
    const foreign = new Gate(under.client, { signKeys: ["another"] }).mint();
    const cases = [
      ["no token", BadToken],
      [foreign, BadSignature],
      [gate.mint(), NoSession],
      [await gate.start(), NoSession],
    ];
    for (const [keep, type] of cases) await assert.rejects(gate.oend("keeping", { keep }), type);
    assert.deepEqual(await gate.olist("keeping"), [token]);
  });

  test("every sign key has its list: all are listed and ended, the kept one by its own key", async () => {
    const old = await new Gate(under.client, { signKeys: ["old"] }).ostart("keys");
    const both = new Gate(under.client, { signKeys: ["new", "old"] });
    const fresh = await both.ostart("keys");
    assert.deepEqual(await both.olist("keys"), [fresh, old]);
    assert.equal(await both.oend("keys", { keep: old }), 1);
    assert.deepEqual(await both.olist("keys"), [old]);
    assert.equal(await both.oend("keys"), 1);
  });

  test("devices: ids that may be shown, the oldest first, and one is ended by its id", async () => {
    const owner = "devices";
    const [one, two] = [
      await gate.ostart(owner, { payloads: { browser: '"a"', broken: "{" } }),
      await gate.ostart(owner, { payloads: { browser: '"b"' } }),
    ];
    const devices = await gate.sessions(owner, { current: two });
    assert.deepEqual(
      devices.map(({ current, payloads }) => [current, { ...payloads }]),
      [
        [false, { browser: "a" }],
        [true, { browser: "b" }],
      ],
    );
    for (const { id, started } of devices) {
      assert.match(id, /^[0-9a-f]{32}$/);
      assert.ok(Math.abs(started.getTime() - Date.now()) < 60_000);
      assert.ok(!one.includes(id) && !two.includes(id));
    }
    assert.equal(await gate.endSession(owner, devices[0].id), true);
    assert.equal(await gate.endSession(owner, devices[0].id), false);
    assert.equal(await gate.endSession("another", devices[1].id), false);
    assert.deepEqual(await gate.olist(owner), [two]);
    assert.equal(await gate.endAll(owner), 1);
    assert.deepEqual(await gate.sessions(owner), []);
  });

  test("a login takes along what is no text as well", async () => {
    const bytes = Buffer.from([0xff, 0, 0xfe]);
    const payloads = new Map([
      [bytes, bytes],
      ["broken", "{"],
      ["gone", "1"],
    ]);
    const visitor = await gate.session(await gate.start({ payloads }));
    delete visitor.data.gone;
    await visitor.login("bytes");
    assert.deepEqual(await gate.pget(visitor.token, bytes), bytes);
    assert.equal(String(await gate.pget(visitor.token, "broken")), "{");
    assert.equal((await gate.info(visitor.token)).payloads, 2);
  });

  test("a visitor whose session was ended is not logged in", async () => {
    const visitor = await gate.session(await gate.start({ payloads: { a: "1" } }));
    await gate.end(visitor.token);
    await assert.rejects(visitor.login("nobody"), NoSession);
    assert.deepEqual(await gate.olist("nobody"), []);
  });

  test("a visitor without a session is logged in at once", async () => {
    const visitor = await gate.session();
    visitor.data.a = 1;
    assert.deepEqual(await under.sent(() => visitor.login("at once")), ["OSTART"]);
    assert.deepEqual({ ...(await gate.session(visitor.token)).data }, { a: 1 });
    await visitor.login("at once", { limit: 1 });
  });
});

describe("owners in Express", { skip }, () => {
  const store = new SessionGateStore(gate);
  const slow = { arrived: gateway(), leave: gateway() };
  let url;

  before(async () => {
    const app = express();
    const options = {
      store,
      genid: store.genid,
      secret: "s",
      resave: false,
      saveUninitialized: false,
    };
    app.use(session({ ...options, cookie: { maxAge: 50_000 } }));
    app.get("/set", (req, res) => {
      Object.assign(req.session, req.query);
      res.send("set");
    });
    app.get("/login", async (req, res) => {
      req.session.user = req.query.user;
      await store.login(req, `user:${req.query.user}`, { limit: 2 });
      res.json({ ...req.session, cookie: undefined });
    });
    app.get("/slow-login", async (req, res) => {
      slow.arrived.open();
      await slow.leave.opened;
      await store.login(req, "user:late").then(
        () => res.send("in"),
        (error) => res.send(error.code),
      );
    });
    app.get("/who", (req, res) => res.json({ user: req.session.user, cart: req.session.cart }));
    app.get("/devices", async (req, res) => {
      res.json(await store.sessions(`user:${req.session.user}`, { current: req }));
    });
    app.get("/end", async (req, res) => {
      res.json(await store.endSession(`user:${req.session.user}`, req.query.id));
    });
    app.get("/end-others", async (req, res) => {
      res.json(await store.endAll(`user:${req.session.user}`, { keep: req }));
    });
    const listening = await listen(app);
    under.closers.push(listening.close);
    url = listening.url;
  });

  test("log in, look at the devices, end one, log out everywhere else", async () => {
    const [one, two, three] = [new Browser(url), new Browser(url), new Browser(url)];
    await one.get("/set?cart=full");
    const visitor = one.clone();
    const { user, cart } = await one.json("/login?user=ada");
    assert.deepEqual([user, cart], ["ada", "full"]);
    assert.deepEqual(await one.json("/who"), { user: "ada", cart: "full" });
    assert.deepEqual(await visitor.json("/who"), {});
    await two.get("/login?user=ada");
    const devices = await one.json("/devices");
    assert.deepEqual(
      devices.map(({ current }) => current),
      [true, false],
    );
    assert.deepEqual(devices[0].payloads, { user: "ada", cart: "full" });
    assert.equal(await one.json(`/end?id=${devices[1].id}`), true);
    assert.deepEqual(await two.json("/who"), {});
    await two.get("/login?user=ada");
    await three.get("/login?user=ada"); // limit: 2
    assert.deepEqual(await one.json("/who"), {});
    assert.equal(await three.json("/end-others"), 1);
    assert.deepEqual(await two.json("/who"), {});
    assert.deepEqual(await three.json("/who"), { user: "ada" });
  });

  test("logged out during the login: nobody is logged in", async () => {
    const browser = new Browser(url);
    await browser.get("/set?cart=full");
    const late = browser.clone().get("/slow-login");
    await slow.arrived.opened;
    const cookie = decodeURIComponent(browser.cookies.get("connect.sid")).slice(2);
    await gate.end(cookie.split(".").slice(0, 3).join("."));
    slow.leave.open();
    assert.equal((await late).text, "NOSESSION");
    assert.deepEqual(await gate.olist("user:late"), []);
  });
});
