/** What commands must do whatever the driver and whatever the server: tests to run on each. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import * as sessiongate from "sessiongate";
import { Gate } from "sessiongate";
import { until } from "./wait.mjs";

const { BadArgument, BadSignature, BadToken, BusyToken, LockTimeout, NoPayload, NoSession } =
  sessiongate;

/** Names that a plain object would lose, or mistake for its own. */
export const NAMES = [
  "__proto__",
  "constructor",
  "toString",
  "hasOwnProperty",
  "then",
  "toJSON",
  "ключ",
  "a b",
];

/** @param connect answers a client of the server under test; it is closed by whoever asked for it */
export function commands(connect) {
  const gates = async (options) =>
    new Gate(await connect(), { signKeys: ["sign key"], ...options });

  test("a session from its start to its end", async () => {
    const gate = await gates({ ttl: 100 });
    const token = await gate.start();
    assert.equal(gate.verify(token).form, "v2");
    assert.equal(await gate.pset(token, "name", "data"), true);
    assert.deepEqual(await gate.pget(token, "name"), Buffer.from("data"));
    assert.equal(await gate.ttl(token), 100);
    await gate.expire(token, 50);
    assert.equal(await gate.ttl(token), 50);
    assert.equal(await gate.touch(token), 50);
    assert.equal(await gate.touch(token, { minAge: 10 }), 50);
    await gate.end(token);
    await assert.rejects(gate.pget(token, "name"), NoSession);
    await assert.rejects(gate.end(token), NoSession);
  });

  test("payloads are bytes, in and out", async () => {
    const gate = await gates();
    const bytes = randomBytes(4096);
    const name = Buffer.from([0, 255, 1]);
    const token = await gate.start({ payloads: new Map([[name, bytes]]) });
    assert.deepEqual(await gate.pget(token, name), bytes);
    await gate.pmset(token, { bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, 10) });
    assert.deepEqual(await gate.pget(token, "bytes"), bytes.subarray(0, 10));
    assert.deepEqual(await gate.pmget(token, ["none", name]), [null, bytes]);
    assert.deepEqual(await gate.ppop(token, name), bytes);
    await assert.rejects(gate.ppop(token, name), NoPayload);
    await assert.rejects(gate.pget(token, name), NoPayload);
    assert.equal(await gate.pdel(token, "bytes"), true);
    await assert.rejects(gate.pdel(token, "bytes"), NoPayload);
    assert.deepEqual(await gate.pgetall(token), new Map());
  });

  test("payloads of any name arrive as data", async () => {
    const gate = await gates();
    const payloads = new Map(NAMES.map((name) => [name, `of ${name}`]));
    const token = await gate.start({ payloads });
    const all = await gate.pgetall(token);
    assert.deepEqual([...all.keys()].sort(), [...NAMES].sort());
    for (const name of NAMES) assert.equal(String(all.get(name)), `of ${name}`);
    await gate.pmset(token, JSON.parse('{"__proto__": "set from an object"}'));
    assert.equal(String(await gate.pget(token, "__proto__")), "set from an object");
    const session = await gate.session(
      await gate.start({ payloads: { ["__proto__"]: "[1]", x: "2" } }),
    );
    assert.deepEqual(session.data.__proto__, [1]);
    session.data.__proto__.push(2);
    await session.save();
    assert.equal(String(await gate.pget(session.token, "__proto__")), "[1,2]");
  });

  test("NX, XX and IFEQ", async () => {
    const gate = await gates();
    const token = await gate.start();
    assert.equal(await gate.pset(token, "a", "1", { xx: true }), false);
    assert.equal(await gate.pset(token, "a", "1", { nx: true }), true);
    assert.equal(await gate.pset(token, "a", "2", { nx: true }), false);
    assert.equal(await gate.pset(token, "a", "3", { xx: true }), true);
    assert.equal(await gate.pset(token, "a", "4", { ifEqual: "2" }), false);
    assert.equal(await gate.pset(token, "none", "4", { ifEqual: "2" }), false);
    assert.equal(await gate.pset(token, "a", "4", { ifEqual: "3" }), true);
    assert.deepEqual(await gate.pgetall(token), new Map([["a", Buffer.from("4")]]));
  });

  test("conditions compare bytes", async () => {
    const gate = await gates();
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const token = await gate.start({ payloads: { n: all } });
    const others = [
      all.subarray(0, 255),
      Buffer.concat([all, Buffer.alloc(1)]),
      Buffer.from(all).reverse(),
      Buffer.alloc(1),
      all.toString("latin1"),
    ];
    for (const ifEqual of others) {
      assert.equal(await gate.pset(token, "n", "x", { ifEqual }), false);
      assert.equal(await gate.pdel(token, "n", { ifEqual }), false);
    }
    assert.equal(await gate.pset(token, "n", "ä", { ifEqual: new Uint8Array(all) }), true);
    assert.equal(await gate.pdel(token, "n", { ifEqual: "ä" }), true);
    assert.equal(await gate.pdel(token, "n", { ifEqual: "ä" }), false);
    await assert.rejects(gate.pget(token, "n"), NoPayload);
  });

  test("a payload may live shorter than its session", async () => {
    const gate = await gates();
    const token = await gate.start({ payloads: { n: "x" } });
    const left = async (least, most) => {
      const milliseconds = await gate.pttl(token, "n");
      assert.ok(milliseconds > least && milliseconds <= most, `${milliseconds} ms`);
    };
    assert.equal(await gate.pttl(token, "n"), -1);
    assert.equal(await gate.pset(token, "n", "x", { ex: 100 }), true);
    await left(90_000, 100_000);
    assert.equal(await gate.pset(token, "n", "y", { ifEqual: "x", px: 50_000 }), true);
    await left(40_000, 50_000);
    await gate.pset(token, "n", "z");
    assert.equal(await gate.pttl(token, "n"), -1);
    await gate.pset(token, "code", "417", { nx: true, px: 30 });
    await until(async () => !(await gate.pgetall(token)).has("code"), "the payload has ended");
    for (const method of ["pttl", "pget", "pdel", "ppop"]) {
      await assert.rejects(gate[method](token, "code"), NoPayload);
    }
    assert.equal(await gate.pdel(token, "code", { ifEqual: "417" }), false);
    assert.equal(await gate.pset(token, "code", "x", { xx: true }), false);
    assert.equal(await gate.pset(token, "code", "418", { nx: true }), true);
  });

  test("a lock lets one at a time change a value, so nothing is lost", async () => {
    const gate = await gates();
    const token = await gate.start({ payloads: { n: "0" } });
    const add = async () => {
      for (let i = 0; i < 10; i++) {
        const session = await gate.session(token);
        await session.lock("n", 60, () => session.data.n++);
      }
    };
    await Promise.all([add(), add()]);
    assert.deepEqual(await gate.pgetall(token), new Map([["n", Buffer.from("20")]]));
    const holder = await (await gate.session(token)).lock("n", 60);
    await assert.rejects((await gate.session(token)).lock("n", 60, { wait: 0 }), LockTimeout);
    await holder.release();
    assert.deepEqual(await gate.pgetall(token), new Map([["n", Buffer.from("20")]]));
  });

  test("a login takes no lock along, and payloads keep the life that they have left", async () => {
    const gate = await gates();
    const token = await gate.start({ payloads: { n: "0", "\0lock:cart": "another's" } });
    await gate.pset(token, "code", "417", { ex: 100 });
    await gate.pset(token, "gone", "1", { ex: 200 });
    const session = await gate.session(token);
    await gate.pset(token, "late", "1", { ex: 300 });
    await gate.pset(token, "\0lock:n", "another's", { ex: 300 });
    session.data.n = 1;
    delete session.data.gone;
    await session.login("o");
    const all = await gate.pgetall(session.token);
    assert.deepEqual([...all.keys()].sort(), ["code", "late", "n"]);
    assert.deepEqual({ ...session.data }, { n: 1, code: 417, late: 1 });
    assert.equal(await gate.pttl(session.token, "n"), -1);
    for (const [name, seconds] of [
      ["code", 100],
      ["late", 300],
    ]) {
      const left = await gate.pttl(session.token, name);
      assert.ok(left > 1000 * (seconds - 10) && left <= 1000 * seconds, `${name}: ${left} ms`);
    }
    session.data.code = 418;
    await session.login("another");
    assert.equal(await gate.pttl(session.token, "code"), -1);
    await session.login("another");
    assert.deepEqual({ ...session.data }, { n: 1, code: 418, late: 1 });
  });

  test("INFO has numbers", async () => {
    const gate = await gates({ ttl: 100, maxTtl: 1000 });
    const before = Date.now();
    const token = await gate.start({ payloads: { a: "bc" } });
    const info = await gate.info(token);
    assert.ok(info.created >= before - 1000 && info.created <= Date.now() + 1000);
    assert.ok(info.ttl > 0 && info.ttl <= 100_000);
    assert.equal(info.idle, 100_000);
    assert.ok(info.deadline >= before + 990_000 && info.deadline <= Date.now() + 1_001_000);
    assert.equal(info.payloads, 1);
    assert.equal(info.bytes, 3);
  });

  test("what a start does not say the gate does, and ttl 0 stores nothing", async () => {
    const gate = await gates({ ttl: 70, maxTtl: 80 });
    assert.equal(await gate.ttl(await gate.start()), 70);
    assert.equal(await gate.ttl(await gate.start({ ttl: 100 })), 80);
    assert.equal(await gate.ttl(await gate.start({ ttl: 100, maxTtl: 90 })), 90);
    await assert.rejects(gate.ttl(await gate.start({ ttl: 0 })), NoSession);
  });

  test("adopt takes a minted token once", async () => {
    const gate = await gates();
    const token = gate.mint();
    await gate.adopt(token, { payloads: { a: "1" } });
    await assert.rejects(gate.adopt(token), BusyToken);
    assert.equal(String(await gate.pget(token, "a")), "1");
  });

  test("a v1 gate starts and mints v1 tokens, and opens v2 ones", async () => {
    const [v1, v2] = [await gates({ tokenFormat: "v1" }), await gates()];
    const token = v1.mint();
    assert.equal(v1.verify(token).form, "v1");
    await v1.adopt(token);
    assert.equal(v1.verify(await v1.start()).form, "v1");
    assert.equal(await v1.ttl(await v2.start()), 1800);
  });

  test("rotate: the old token is dead at once, with grace it leads to the session", async () => {
    const gate = await gates();
    const first = await gate.start({ payloads: { a: "1" } });
    const second = await gate.rotate(first);
    await assert.rejects(gate.pget(first, "a"), NoSession);
    const third = await gate.rotate(second, { grace: 30, ttl: 100, maxTtl: 200 });
    assert.equal(String(await gate.pget(second, "a")), "1");
    assert.equal(await gate.ttl(third), 100);
  });

  test("tokens of an older key go on working, and a rotation moves them to the newest", async () => {
    const old = await gates({ signKeys: ["old"] });
    const token = await old.start({ payloads: { a: "1" } });
    const both = await gates({ signKeys: ["new", "old"] });
    assert.equal(String(await both.pget(token, "a")), "1");
    const rotated = await both.rotate(token);
    assert.equal(both.verify(rotated).position, 0);
    const now = await gates({ signKeys: ["new"] });
    assert.equal(String(await now.pget(rotated, "a")), "1");
    await assert.rejects(now.pget(token, "a"), BadSignature);
  });

  test("errors are classes with a code, and say what was wrong", async () => {
    const gate = await gates();
    const token = await gate.start();
    const foreign = (await gates({ signKeys: ["another"] })).mint();
    const cases = [
      [() => gate.pget("no token", "a"), BadToken, "BADTOKEN"],
      [() => gate.pget(foreign, "a"), BadSignature, "BADSIGNATURE"],
      [() => gate.pget(gate.mint(), "a"), NoSession, "NOSESSION"],
      [() => gate.pget(token, "a"), NoPayload, "NOPAYLOAD"],
      [() => gate.pset(token, "", "data"), BadArgument, "ERR"],
      [() => gate.pset(token, "a".repeat(201), "data"), BadArgument, "ERR"],
      [() => gate.pset(token, "a", ""), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { nx: true, xx: true }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { nx: true, ifEqual: "x" }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { xx: true, ifEqual: "" }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { ex: 1, px: 1000 }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { ex: 0 }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { ex: 1.5 }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { px: -1 }), BadArgument, "ERR"],
      [() => gate.pset(token, "a", "x", { ifEqual: "" }), BadArgument, "ERR"],
      [() => gate.pdel(token, "a", { ifEqual: "" }), BadArgument, "ERR"],
      [() => gate.pttl(token, "a"), NoPayload, "NOPAYLOAD"],
      [() => gate.pttl(gate.mint(), "a"), NoSession, "NOSESSION"],
      [() => gate.pdel(gate.mint(), "a", { ifEqual: "x" }), NoSession, "NOSESSION"],
      [() => gate.expire(token, -1), BadArgument, "ERR"],
      [() => gate.expire(token, 1.5), BadArgument, "ERR"],
      [() => gate.start({ ttl: -1 }), BadArgument, "ERR"],
      [() => gate.rotate(token, { grace: 301 }), BadArgument, "ERR"],
      [() => gate.oend(["owner", "KEEP", token]), BadArgument, "ERR"],
      [() => gate.olist("\ud800"), BadArgument, "ERR"],
    ];
    for (const [call, type, code] of cases) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof type, `${error} is no ${type.name}`);
        assert.ok(error instanceof sessiongate.SessionGateError);
        assert.equal(error.code, code);
        assert.equal(error.name, type.name);
        assert.ok(error.message.length > 10, error.message);
        return true;
      });
    }
    assert.equal((await gate.info(token)).payloads, 0, "a refused call has left something");
  });

  test("a hundred calls in parallel each have their own answer", async () => {
    const gate = await gates();
    const tokens = await Promise.all(Array.from({ length: 60 }, () => gate.start()));
    assert.equal(new Set(tokens).size, 60);
    await Promise.all(tokens.map((token) => gate.pset(token, "own", token)));
    const read = await Promise.all(tokens.map((token) => gate.pget(token, "own")));
    assert.deepEqual(read.map(String), tokens);
  });
}
