/** The sign key is in nothing that is thrown, inspected or logged: not as text, hex, base64, nor decimals. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import diagnostics from "node:diagnostics_channel";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { Gate } from "sessiongate";
import { cluster, single } from "./support/drivers.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";
import { serve } from "./support/servers.mjs";
import { until } from "./support/wait.mjs";

/** Text, so that it would show in text as well, and unlike anything else. */
const KEY = `key-${randomBytes(12).toString("hex")}`;
const OLDER = randomBytes(24);

const spellings = [KEY, OLDER].flatMap((key) => {
  const bytes = Buffer.from(key);
  const base64 = bytes.toString("base64").replace(/=+$/, "").slice(0, -1);
  return [
    bytes.toString("latin1"),
    bytes.toString("utf8"),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    base64,
    bytes.toString("base64url").slice(0, -1),
    [...bytes].join(", "),
    [...bytes].join(","),
    Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" "),
    JSON.stringify([...bytes], null, 2)
      .replace(/[[\]]/g, "")
      .trim(),
  ];
});

function assertClean(text, what) {
  const unbroken = text.replace(/\s+/g, " "); // util.inspect breaks and aligns long rows of numbers
  for (const spelling of spellings) {
    for (const shown of [text, unbroken]) {
      assert.ok(!shown.includes(spelling), `${what} shows a sign key: ${text.slice(0, 500)}`);
    }
  }
}

/** What can be printed of a value, and of whatever hangs on it. */
function printed(value) {
  const all = { depth: Infinity, showHidden: true, maxArrayLength: null, maxStringLength: null };
  return `${inspect(value, all)}\n${value}`;
}

/** That, and the bytes of Buffers that have an inspection of their own. */
function everythingOf(value) {
  const texts = [
    printed(value),
    inspect(value, { depth: 8, customInspect: false, maxArrayLength: null }),
  ];
  if (value instanceof Error) {
    texts.push(
      value.stack,
      value.message,
      JSON.stringify(value, Object.getOwnPropertyNames(value)),
    );
    texts.push(...[value.cause, value.command, value.args].map((hanging) => inspect(hanging)));
  }
  return texts.join("\n");
}

const failed = async (call) => {
  try {
    await call();
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "it did not fail" });
};

/** Calls of every command that fail on a server that has no such sessions. */
function failing(gate) {
  const token = gate.mint();
  return [
    () => gate.pget(token, "a"),
    () => gate.pset(token, "", "x"),
    () => gate.pset(token, "a", "x"),
    () => gate.pmset(token, {}),
    () => gate.pmget(token, ["a"]),
    () => gate.pgetall(token),
    () => gate.pset(token, "a", "x", { ifEqual: "y", ex: 9 }),
    () => gate.pdel(token, "a"),
    () => gate.pdel(token, "a", { ifEqual: "y" }),
    () => gate.pttl(token, "a"),
    () => gate.session(token).then((session) => session.lock("", 5)),
    () => gate.ppop(token, "a"),
    () => gate.ttl(token),
    () => gate.info(token),
    () => gate.expire(token, "soon"),
    () => gate.touch(token, { minAge: -1 }),
    () => gate.rotate(token),
    () => gate.rotate(token, { grace: 1000 }),
    () => gate.end(token),
    () => gate.start({ ttl: -5 }),
    () => gate.adopt(token, { ttl: -5 }),
    () => gate.ostart("", {}),
    () => gate.olist(""),
    () => gate.oend(""),
  ];
}

const under = await serverUnderTest();
const without = await serverUnderTest("--no-module");
const nodes = await serverUnderTest("--cluster", "3");

for (const { name, connect, server } of [
  ...single.map((driver) => ({ ...driver, server: under })),
  ...cluster.map((driver) => ({ ...driver, server: nodes })),
]) {
  describe(name, () => {
    test("errors of every command, on a server with the module", async () => {
      const { client, close } = await connect(server.server.port);
      server.closers.push(close);
      for (const signKeys of [[KEY], [OLDER], [KEY, OLDER]]) {
        const gate = new Gate(client, { signKeys });
        for (const call of failing(gate)) assertClean(everythingOf(await failed(call)), call);
        const own = await failed(() => gate.pset(gate.mint(), "a", "x", { ex: 1, px: 1 }));
        assertClean(everythingOf(own), "options that exclude each other");
        const session = await gate.session();
        session.data.a = 1;
        const lock = await session.lock("cart", 60);
        assertClean(everythingOf(lock), "a lock");
        assertClean(everythingOf(await failed(() => session.lock("cart", 5, { wait: 0 }))), "none");
        await lock.release();
        await gate.end(session.token);
        assertClean(everythingOf(await failed(() => session.lock("cart", 5))), "an ended one");
        assertClean(everythingOf(gate) + everythingOf(session), "an inspected gate or session");
      }
    });
  });
}

for (const { name, connect } of single) {
  describe(name, () => {
    test("errors of every command, on a server without the module, which repeats arguments", async () => {
      const { client, close } = await connect(without.server.port);
      without.closers.push(close);
      const gate = new Gate(client, { signKeys: [KEY] });
      for (const call of failing(gate)) {
        const error = await failed(call);
        assert.equal(error.code, "NOTLOADED");
        assert.match(error.message, /SESSIONGATE\.[A-Z]+/);
        assertClean(everythingOf(error), call);
      }
    });

    test("errors in the server's own words", async () => {
      const { client, close } = await connect(under.server.port);
      under.closers.push(close);
      const gate = new Gate(client, { signKeys: [KEY] });
      await under.client.configSet("maxmemory", "1");
      try {
        const full = await failed(() => gate.start());
        assert.match(full.message, /^OOM /);
        assertClean(everythingOf(full), "OOM");
      } finally {
        await under.client.configSet("maxmemory", "0");
      }
    });
  });
}

describe("a server that is killed", () => {
  const named = (name) => single.find((driver) => driver.name === name);

  /** Kill a server that has just been sent calls, and make more while there is no connection. */
  async function killed({ connect }, more) {
    const own = await serve();
    under.closers.push(() => own.stop());
    const { client, close } = await connect(own.port, more);
    const gate = new Gate(client, { signKeys: [KEY] });
    const token = await gate.start();
    const calls = () =>
      Promise.allSettled([gate.pget(token, "a"), gate.start(), gate.session(token)]);
    await own.tell("pause", 0);
    const sent = calls();
    await own.tell("kill", 0);
    await until(() => !(client.isReady ?? client.status === "ready"), "the connection is lost");
    return { sent, queued: calls(), close };
  }

  function assertRefused(outcomes) {
    for (const { reason } of outcomes) {
      assert.ok(reason instanceof Error);
      assertClean(everythingOf(reason), "a lost connection");
    }
  }

  test("node-redis: what was sent is refused, what is queued when it is closed", async () => {
    const { sent, queued, close } = await killed(named("redis 6, RESP3"));
    assertRefused(await sent);
    close();
    assertRefused(await queued);
  });

  test("ioredis: what is queued is refused after its attempts to connect", async () => {
    const { queued, close } = await killed(named("ioredis 6, RESP3"), { maxRetriesPerRequest: 1 });
    assertRefused(await queued);
    close();
  });
});

test("a gate leaves no sign key in the memory that Buffers share", () => {
  Buffer.from("a"); // there is such memory
  const shared = [Buffer.from("a").buffer];
  const key = `key-${randomBytes(12).toString("hex")}`;
  new Gate(under.client, { signKeys: [key] });
  shared.push(Buffer.from("a").buffer);
  for (const memory of shared) assert.equal(Buffer.from(memory).indexOf(key), -1);
});

test("what the drivers publish to whoever traces them", async () => {
  const seen = [];
  const channels = ["redis", "ioredis"].flatMap((driver) =>
    ["command", "batch", "connect"].map((kind) =>
      diagnostics.tracingChannel(`${driver === "redis" ? "node-redis" : driver}:${kind}`),
    ),
  );
  const listener = (message) => seen.push(printed(message));
  const listeners = {
    start: listener,
    end: listener,
    asyncStart: listener,
    asyncEnd: listener,
    error: listener,
  };
  for (const channel of channels) channel.subscribe(listeners);
  for (const { connect } of single) {
    const { client, close } = await connect(under.server.port);
    const gate = new Gate(client, { signKeys: [KEY] });
    await failed(() => gate.pget(gate.mint(), "a"));
    await gate.start();
    close();
  }
  for (const channel of channels) channel.unsubscribe(listeners);
  assert.ok(seen.length > 0, "nothing was published");
  for (const text of seen) assertClean(text, "a trace");
});

test("what the drivers log when they are asked to log everything", async () => {
  const worker = fileURLToPath(new URL("support/logging.mjs", import.meta.url));
  const child = fork(worker, [String(under.server.port), KEY, OLDER.toString("base64url")], {
    env: { ...process.env, DEBUG: "*", NODE_DEBUG: "redis", DEBUG_HIDE_DATE: "1" },
    silent: true,
  });
  let logged = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      logged += chunk;
    });
  }
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 0, logged);
  assert.match(logged, /SESSIONGATE\.PGET/, "nothing was logged");
  assertClean(logged, "the log");
});
