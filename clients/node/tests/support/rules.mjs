/** What commands must do whatever the driver and whatever the server: tests to run on each. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import * as sessiongate from "sessiongate";
import { Gate } from "sessiongate";

const { BadArgument, BadSignature, BadToken, BusyToken, NoPayload, NoSession } = sessiongate;

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
    await gate.pdel(token, "bytes");
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

  test("NX and XX", async () => {
    const gate = await gates();
    const token = await gate.start();
    assert.equal(await gate.pset(token, "a", "1", { xx: true }), false);
    assert.equal(await gate.pset(token, "a", "1", { nx: true }), true);
    assert.equal(await gate.pset(token, "a", "2", { nx: true }), false);
    assert.equal(await gate.pset(token, "a", "3", { xx: true }), true);
    assert.equal(String(await gate.pget(token, "a")), "3");
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
