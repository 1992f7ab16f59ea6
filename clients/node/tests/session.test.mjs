import assert from "node:assert/strict";
import { test } from "node:test";
import { BadArgument, BadPayload, Gate, NoSession } from "sessiongate";
import { serverUnderTest } from "./support/server-under-test.mjs";
import { until } from "./support/wait.mjs";

const signKeys = ["sign key"];
const under = await serverUnderTest();
const { cost } = under;
const gate = new Gate(under.client, { signKeys, ttl: 1000 });

async function stored(payloads) {
  return gate.start({ payloads });
}

test("a new session is stored by its first save that has something", async () => {
  const session = await gate.session();
  assert.equal(session.isNew, true);
  await session.save();
  assert.equal(session.isNew, true);
  await assert.rejects(gate.info(session.token), NoSession);
  session.data.user = { id: 7 };
  await session.save();
  assert.equal(session.isNew, false);
  assert.equal(await gate.ttl(session.token), 1000);
  assert.deepEqual((await gate.session(session.token)).data.user, { id: 7 });
});

test("what is no session's token gives a new session of another token", async () => {
  const ended = await gate.start();
  await gate.end(ended);
  const foreign = new Gate(under.client, { signKeys: ["another"] }).mint();
  for (const token of [undefined, null, "", "no token", ended, foreign, gate.mint()]) {
    const session = await gate.session(token);
    assert.equal(session.isNew, true);
    assert.notEqual(session.token, token);
    assert.deepEqual(Object.keys(session.data), []);
  }
});

test("round trips: forged 0, read 1, read and write 2, first write 1, the same value again 1", async () => {
  const token = await stored({ a: "1" });
  const foreign = new Gate(under.client, { signKeys: ["another"] }).mint();
  assert.equal((await cost(() => gate.session(foreign))).trips, 0);
  assert.equal((await cost(async () => (await gate.session(token)).data.a)).trips, 1);
  const write = async () => {
    const session = await gate.session(token);
    session.data.a = 2;
    await session.save();
  };
  assert.equal((await cost(write)).trips, 2);
  assert.equal((await cost(write)).trips, 1);
  const first = async () => {
    const session = await gate.session();
    session.data.a = 1;
    await session.save();
  };
  assert.equal((await cost(first)).trips, 1);
});

test("only what has changed is sent, deep inside too", async () => {
  const token = await stored({ user: '{"name":"Ada","roles":["a"]}', cart: "[1]", lang: '"en"' });
  const session = await gate.session(token);
  session.data.user.roles.push("b");
  session.data.cart.push(2);
  session.data.cart.pop();
  delete session.data.lang;
  session.data.seen = true;
  assert.deepEqual((await cost(() => session.save())).commands, ["PDEL", "PMSET"]);
  assert.deepEqual(
    await gate.pgetall(token),
    new Map([
      ["user", Buffer.from('{"name":"Ada","roles":["a","b"]}')],
      ["cart", Buffer.from("[1]")],
      ["seen", Buffer.from("true")],
    ]),
  );
  assert.deepEqual((await cost(() => session.save())).commands, []);
});

test("another language's spelling of the same value is no change", async () => {
  const token = await stored({ user: '{ "name": "\\u0041da" , "n": 1.0 }' });
  const session = await gate.session(token);
  assert.equal(session.data.user.name, "Ada");
  assert.deepEqual((await cost(() => session.save())).commands, []);
});

test("two requests that change different payloads both win", async () => {
  const token = await stored({ a: "0", b: "0", c: "0" });
  const [one, other] = await Promise.all([gate.session(token), gate.session(token)]);
  one.data.a = 1;
  other.data.b = 1;
  delete other.data.c;
  await Promise.all([one.save(), other.save()]);
  assert.deepEqual({ ...(await gate.session(token)).data }, { a: 1, b: 1 });
});

test("a session that was ended stays ended: save throws NoSession and stores nothing", async () => {
  const token = await stored({ a: "1" });
  const session = await gate.session(token);
  await gate.end(token);
  session.data.a = 2;
  await assert.rejects(session.save(), NoSession);
  await assert.rejects(session.save(), NoSession);
  await assert.rejects(session.rotate(), NoSession);
  assert.equal(await under.client.exists(token), 0);
});

test("after end the session is over, and its values are forgotten", async () => {
  const session = await gate.session(await stored({ a: "1" }));
  const { token } = session;
  await session.end();
  assert.deepEqual(Object.keys(session.data), []);
  session.data.b = 1;
  await assert.rejects(session.save(), NoSession);
  await session.end();
  assert.equal(await under.client.exists(token), 0);
});

test("a payload that the serializer cannot read hides no other, and may be replaced", async () => {
  const token = await stored({ broken: Buffer.from([0xff, 0]), good: "1" });
  const session = await gate.session(token);
  assert.throws(() => session.data.broken, BadPayload);
  assert.equal(session.data.good, 1);
  session.data.good = 2;
  await session.save();
  assert.deepEqual(await gate.pget(token, "broken"), Buffer.from([0xff, 0]));
  session.data.broken = "mended";
  await session.save();
  assert.equal((await gate.session(token)).data.broken, "mended");
});

test("a payload whose name is no UTF-8 is left alone", async () => {
  const name = Buffer.from([0xff]);
  const token = await stored(
    new Map([
      [name, "1"],
      ["a", "1"],
    ]),
  );
  const session = await gate.session(token);
  assert.deepEqual(Object.keys(session.data), ["a"]);
  delete session.data.a;
  await session.save();
  assert.deepEqual(await gate.pget(token, name), Buffer.from("1"));
});

test("names and values that cannot be stored are refused, and nothing is sent", async () => {
  const wrong = { "": 1, ["n".repeat(201)]: 1, "\ud800": 1, big: "x".repeat(8_000_000) };
  for (const [name, value] of Object.entries(wrong)) {
    const session = await gate.session(await stored({ a: "1", b: "1" }));
    session.data[name] = value;
    delete session.data.a;
    const { commands } = await cost(() => assert.rejects(session.save(), BadArgument));
    assert.deepEqual(commands, []);
  }
});

test("undefined, functions and symbols are no values: the payload goes", async () => {
  const session = await gate.session(await stored({ a: "1", b: "1", c: "1" }));
  session.data.a = undefined;
  session.data.b = () => {};
  session.data.d = Symbol("d");
  await session.save();
  assert.deepEqual({ ...(await gate.session(session.token)).data }, { c: 1 });
});

test("values are decoded when they are first read", async () => {
  const parsed = [];
  const serializer = {
    stringify: JSON.stringify,
    parse(text) {
      parsed.push(text);
      return JSON.parse(text);
    },
  };
  const own = new Gate(under.client, { signKeys, serializer });
  const session = await own.session(await stored({ a: "1", b: "2" }));
  assert.deepEqual(parsed, []);
  assert.equal(session.data.a + session.data.a, 2);
  assert.deepEqual(parsed, ["1"]);
  await session.save();
  assert.deepEqual(parsed, ["1"]);
});

test("the serializer can be replaced", async () => {
  const serializer = {
    stringify: (value) => `n:${value}`,
    parse: (text) => Number(text.slice(2)),
  };
  const own = new Gate(under.client, { signKeys, serializer });
  const session = await own.session();
  session.data.a = 5;
  await session.save();
  assert.equal(String(await own.pget(session.token, "a")), "n:5");
  assert.equal((await own.session(session.token)).data.a, 5);
});

test("take: of many who take a value one gets it", async () => {
  const token = await stored({ flash: '"hello"' });
  const sessions = await Promise.all([1, 2, 3].map(() => gate.session(token)));
  const taken = await Promise.all(sessions.map((session) => session.take("flash")));
  assert.deepEqual(
    taken.filter((value) => value !== undefined),
    ["hello"],
  );
  for (const session of sessions) assert.equal("flash" in session.data, false);
  const { commands } = await cost(() => Promise.all(sessions.map((session) => session.save())));
  assert.deepEqual(commands, []);
  const unsaved = await gate.session();
  unsaved.data.flash = "here";
  assert.equal(await unsaved.take("flash"), "here");
  assert.equal(await unsaved.take("flash"), undefined);
});

test("rotate: a new token of the newest key, the old one is dead at once", async () => {
  const older = new Gate(under.client, { signKeys: ["older"] });
  const token = await older.start({ payloads: { a: "1" } });
  const both = new Gate(under.client, { signKeys: ["newer", "older"] });
  const session = await both.session(token);
  await session.rotate();
  assert.notEqual(session.token, token);
  assert.equal(both.verify(session.token).position, 0);
  assert.equal(await under.client.exists(token), 0);
  session.data.a = 2;
  await session.save();
  assert.equal((await both.session(session.token)).data.a, 2);
});

test("rotating a session that is not stored changes its token", async () => {
  const session = await gate.session();
  const { token } = session;
  await session.rotate();
  assert.notEqual(session.token, token);
});

test("saves of one session are queued: the second sends what the first left", async () => {
  const session = await gate.session();
  session.data.a = 1;
  const first = session.save();
  session.data.b = 2;
  const second = session.save();
  delete session.data.a;
  await Promise.all([first, second, session.save()]);
  assert.deepEqual({ ...(await gate.session(session.token)).data }, { b: 2 });
});

test("a load refreshes the life when that is due, not more than once in `refresh` seconds", async () => {
  const token = await gate.start({ ttl: 1000 });
  await under.client.expire(token, 500);
  await new Gate(under.client, { signKeys, ttl: 1000, refresh: 600 }).session(token);
  assert.ok((await gate.ttl(token)) > 990, "a tenth of the life is over");
  const fresh = await gate.start({ ttl: 1000 });
  await under.client.expire(fresh, 970);
  await gate.session(fresh);
  assert.ok((await gate.ttl(fresh)) <= 970, "30 s of 60 are over");
});

test("a refresh that would change nothing is not asked for again", async () => {
  const loads = (loading, token) => under.sent(() => loading.session(token));
  const own = new Gate(under.client, { signKeys, ttl: 1000, refresh: 2 });
  const token = await own.start();
  const since = performance.now();
  assert.deepEqual(await loads(own, token), ["PGETALL", "TOUCH"]);
  assert.deepEqual(await loads(own, token), ["PGETALL"]);
  await until(async () => (await loads(own, token)).includes("TOUCH"), "a refresh that is due");
  assert.ok(performance.now() - since > 1900);

  const old = await gate.start({ ttl: 1000 });
  await under.client.expire(old, 935);
  assert.deepEqual(await loads(gate, old), ["PGETALL", "TOUCH"], "65 s are over, of 60");
  assert.deepEqual(await loads(gate, old), ["PGETALL"]);
  await gate.expire(old, 990);
  assert.deepEqual(await loads(gate, old), ["PGETALL", "TOUCH"]);
});

test("where a refresh may be due at any time, each load asks for one", async () => {
  const always = new Gate(under.client, { signKeys, ttl: 1000, refresh: 0 });
  const lives = [
    [always, await gate.start({ ttl: 1000 })],
    [gate, await gate.start({ ttl: 500 })],
    [gate, await gate.start({ ttl: 2000 })],
    [gate, await gate.start({ ttl: 1000, maxTtl: 500 })],
  ];
  for (const [own, token] of lives) {
    const twice = () => own.session(token).then(() => own.session(token));
    assert.deepEqual(await under.sent(twice), ["PGETALL", "PGETALL", "TOUCH", "TOUCH"]);
  }
});

test("a refresh that fails does not fail the load", async () => {
  const token = await stored({ a: "1" });
  await under.client.configSet("maxmemory", "1");
  try {
    assert.equal((await gate.session(token)).data.a, 1);
  } finally {
    await under.client.configSet("maxmemory", "0");
  }
});

test("a first save whose reply was lost is stored once, with what the next save has", async () => {
  let lose = true;
  const lossy = {
    isOpen: true,
    isReady: true,
    async sendCommand(line, options) {
      const reply = await under.client.sendCommand(line, options);
      if (lose && line[0] === "SESSIONGATE.ADOPT") {
        lose = false;
        throw new Error("Socket closed unexpectedly");
      }
      return reply;
    },
  };
  const own = new Gate(lossy, { signKeys });
  const session = await own.session();
  session.data.a = 1;
  await assert.rejects(session.save(), /Socket closed/);
  session.data.a = 2;
  await session.save();
  assert.deepEqual({ ...(await gate.session(session.token)).data }, { a: 2 });
});
