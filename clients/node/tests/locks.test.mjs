/** Locks of a session: one holder at a time, released by nobody else, seen by no session. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import timers from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { BadArgument, Gate, LockTimeout, NoSession } from "sessiongate";
import { plain } from "./support/drivers.mjs";
import { gateway } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";
import { serve } from "./support/servers.mjs";
import { until } from "./support/wait.mjs";

const LOCK = "\0lock:cart";
const signKeys = ["sign key"];
const under = await serverUnderTest();
const gate = new Gate(under.client, { signKeys, ttl: 1000 });

const start = (payloads = { n: "0", a: "1" }) => gate.start({ payloads });
const all = async (token) =>
  Object.fromEntries(Array.from(await gate.pgetall(token), ([name, data]) => [name, `${data}`]));
const locksOf = async (token) =>
  Object.keys(await all(token)).filter((name) => name.startsWith("\0lock:"));
const never = () => assert.fail("two have the lock");

class Broken extends Error {}

// What it does --------------------------------------------------------------------------------------

test("a lock is a payload with a life, and a value that its holder alone knows", async () => {
  const token = await start();
  const values = new Set();
  for (let i = 0; i < 2; i++) {
    await (await gate.session(token)).lock("cart", 60.5, async () => {
      assert.deepEqual(await locksOf(token), [LOCK]);
      const left = await gate.pttl(token, LOCK);
      assert.ok(left > 40_000 && left <= 60_500, `${left} ms`);
      values.add(String(await gate.pget(token, LOCK)));
    });
    assert.deepEqual(await locksOf(token), []);
  }
  assert.equal(values.size, 2);
  for (const value of values) assert.match(value, /^[0-9a-f]{32}$/);
});

test("what was changed before is stored before the work, and the work's answer is answered", async () => {
  const session = await gate.session(await start());
  session.data.a = 2;
  const answer = await session.lock("cart", 5, async (same) => {
    assert.equal(same, session);
    assert.equal(String(await gate.pget(session.token, "a")), "2");
    return "answer";
  });
  assert.equal(answer, "answer");
  assert.equal(await session.lock("cart", 5, () => 7), 7);
});

test("the work sees what another has written, and what it writes is stored before the release", async () => {
  const token = await start({ n: "0", a: "1", same: "[1]", unread: "1" });
  const session = await gate.session(token);
  const { same } = session.data;
  assert.equal(session.data.n, 0);
  await gate.pmset(token, { n: "[7]", unread: "2", more: "3" });
  await gate.pdel(token, "a");
  await session.lock("cart", 5, () => {
    assert.deepEqual({ ...session.data }, { n: [7], same: [1], unread: 2, more: 3 });
    assert.equal(session.data.same, same, "a value that nobody has changed is another object");
    session.data.n.push(8);
    session.data.b = 1;
    delete session.data.more;
    same.push(2);
  });
  assert.deepEqual(await all(token), { n: "[7,8]", same: "[1,2]", unread: "2", b: "1" });
});

test("what is changed while the lock is waited for stays a change", async () => {
  const token = await start({ n: "0", a: "1", b: "1" });
  const session = await gate.session(token);
  const holder = await (await gate.session(token)).lock("cart", 60);
  const working = session.lock("cart", 60, () => ({ ...session.data }), { wait: 60 });
  session.data.n = "mine";
  session.data.own = 5;
  delete session.data.a;
  await gate.pmset(token, { n: "1", a: "2", b: "2", c: "3" });
  await holder.release();
  assert.deepEqual(await working, { n: "mine", own: 5, b: 2, c: 3 });
  assert.deepEqual(await all(token), { n: '"mine"', own: "5", b: "2", c: "3" });
});

test("a free lock costs two round trips around the work", async () => {
  const session = await gate.session(await start());
  const { commands, trips } = await under.cost(() => session.lock("cart", 5, () => {}));
  assert.deepEqual(commands, ["PDEL", "PGETALL", "PSET"]);
  assert.equal(trips, 2);
});

test("locks of other names and of other sessions do not wait", async () => {
  const token = await start();
  const [one, other] = [await gate.session(token), await gate.session(token)];
  await one.lock("cart", 5, () =>
    other.lock(
      "basket",
      5,
      async () => {
        assert.equal((await locksOf(token)).length, 2);
        const third = await gate.session(await start());
        await third.lock("cart", 5, () => {}, { wait: 0 });
      },
      { wait: 0 },
    ),
  );
});

test("a lock that another holds is waited for, no longer than told, with tries far between", async () => {
  const token = await start();
  await (await gate.session(token)).lock("cart", 60, async () => {
    const held = await gate.pget(token, LOCK);
    for (const wait of [0, 0.5]) {
      const session = await gate.session(token);
      const begun = performance.now();
      const commands = await under.sent(() =>
        assert.rejects(session.lock("cart", 60, never, { wait }), LockTimeout),
      );
      const tries = commands.filter((name) => name === "PSET").length;
      if (wait === 0) assert.equal(tries, 1);
      else assert.ok(tries >= 2 && tries <= 15, `${tries} tries`);
      assert.ok(performance.now() - begun >= 1000 * wait - 1);
      assert.deepEqual(await gate.pget(token, LOCK), held);
    }
    const session = await gate.session(token);
    await assert.rejects(session.lock("cart", 0.02, never), { code: "LOCKTIMEOUT" });
  });
});

test("who waits sleeps a tenth of a second at most, and never past the bound", async () => {
  const session = await gate.session(await start({ [LOCK]: "another's" }));
  const { setTimeout: sleep } = timers;
  const pauses = [];
  timers.setTimeout = (milliseconds) => {
    pauses.push(milliseconds);
    return sleep(milliseconds);
  };
  try {
    await assert.rejects(session.lock("cart", 60, never, { wait: 0.5 }), LockTimeout);
  } finally {
    timers.setTimeout = sleep;
  }
  assert.ok(pauses[0] >= 5 && pauses[0] <= 10, `${pauses[0]} ms`);
  assert.ok(Math.max(...pauses) <= 100);
  const sum = pauses.reduce((one, other) => one + other);
  assert.ok(sum <= 500, `${sum} ms`);
});

test("it is not re-entrant: a second one waits for that of the same session as well", async () => {
  const session = await gate.session(await start());
  await session.lock("cart", 60, async () => {
    session.data.a = 5;
    await assert.rejects(session.lock("cart", 60, never, { wait: 0 }), LockTimeout);
    assert.equal(session.data.a, 5);
  });
  assert.deepEqual(await all(session.token), { n: "0", a: "5" });
});

test("a lock whose holder died ends by itself", async () => {
  const token = await start();
  await gate.pset(token, LOCK, "the dead one's", { px: 40 });
  const session = await gate.session(token);
  const read = () => gate.pget(token, LOCK);
  assert.notEqual(String(await session.lock("cart", 60, read, { wait: 10 })), "the dead one's");
});

/** A process of its own that locks; `what` is "add" or "die". */
function elsewhere(token, what) {
  const file = fileURLToPath(new URL("support/locking.mjs", import.meta.url));
  return once(fork(file, [`${under.server.port}`, signKeys[0], token, what]), "exit");
}

test("a holder that was killed leaves the lock to its end", async () => {
  const token = await start();
  assert.deepEqual(await elsewhere(token, "die"), [null, "SIGKILL"]);
  const session = await gate.session(token);
  await session.lock("cart", 60, () => assert.equal(session.data.n, 0), { wait: 10 });
});

// Many at once --------------------------------------------------------------------------------------

// Without a lock some are lost: both read the same number, and both write the next.
test("two that add to one value under a lock, 100 times each, lose nothing", async () => {
  const token = await start();
  const add = async () => {
    for (let i = 0; i < 100; i++) {
      const session = await gate.session(token);
      await session.lock("cart", 60, () => session.data.n++);
    }
  };
  await Promise.all([add(), add()]);
  assert.deepEqual(await all(token), { n: "200", a: "1" });
});

test("processes take turns", async () => {
  const token = await start();
  const both = [elsewhere(token, "add"), elsewhere(token, "add")];
  assert.deepEqual(await Promise.all(both), [
    [0, null],
    [0, null],
  ]);
  assert.deepEqual(await all(token), { n: "200", a: "1" });
});

test("those that share one session take turns", async () => {
  const session = await gate.session(await start());
  const add = async () => {
    for (let i = 0; i < 10; i++) {
      await session.lock("cart", 60, async () => {
        const { n } = session.data;
        await new Promise(setImmediate);
        session.data.n = n + 1;
      });
    }
  };
  await Promise.all([add(), add(), add()]);
  assert.deepEqual(await all(session.token), { n: "30", a: "1" });
});

// How it is released --------------------------------------------------------------------------------

test("where the work fails the lock is released, and what it changed is forgotten", async () => {
  const session = await gate.session(await start({ n: "0", a: "1", list: "[1]" }));
  session.data.before = 1;
  const breaking = session.lock("cart", 5, async () => {
    session.data.n = 1;
    session.data.list.push(2);
    session.data.new = 3;
    delete session.data.a;
    throw new Broken();
  });
  await assert.rejects(breaking, Broken);
  assert.deepEqual({ ...session.data }, { n: 0, a: 1, list: [1], before: 1 });
  assert.deepEqual(await under.sent(() => session.save()), []);
  assert.deepEqual(await all(session.token), { n: "0", a: "1", list: "[1]", before: "1" });
  await assert.rejects(
    session.lock("cart", 5, () => {
      throw new Broken(); // before it is a promise
    }),
    Broken,
  );
  assert.deepEqual(await locksOf(session.token), []);
});

test("where its save fails the lock is released, and what it changed is forgotten", async () => {
  const session = await gate.session(await start());
  const breaking = session.lock("cart", 5, () => {
    session.data.n = 1n; // no JSON
  });
  await assert.rejects(breaking, TypeError);
  assert.equal(session.data.n, 0);
  assert.deepEqual(await all(session.token), { n: "0", a: "1" });
});

test("a lock that has ended meanwhile is no error, and another's is not released", async () => {
  const session = await gate.session(await start());
  await session.lock("cart", 5, async () => {
    await gate.pdel(session.token, LOCK);
    session.data.n = 1;
  });
  await session.lock("cart", 5, async () => {
    await gate.pset(session.token, LOCK, "another's");
    session.data.n = 2;
  });
  assert.deepEqual(await all(session.token), { n: "2", a: "1", [LOCK]: "another's" });
});

test("a session that was ended meanwhile stays ended", async () => {
  const token = await start();
  const session = await gate.session(token);
  await session.lock("cart", 5, () => gate.end(token));
  await assert.rejects(session.lock("cart", 5, never), NoSession);
  const other = await gate.session(await start());
  const changing = other.lock("cart", 5, async () => {
    other.data.n = 1;
    await gate.end(other.token);
  });
  await assert.rejects(changing, NoSession);
  for (const each of [token, other.token]) assert.equal(await under.client.exists(each), 0);
});

test("a session that the work ends is ended, and has no lock any more", async () => {
  const session = await gate.session(await start());
  await session.lock("cart", 5, async () => {
    session.data.n = 1;
    await session.end();
  });
  assert.deepEqual(Object.keys(session.data), []);
  assert.equal(await under.client.exists(session.token), 0);
  await assert.rejects(session.lock("cart", 5, never), NoSession);
  await assert.rejects(session.lock("cart", 5), NoSession);
  const changing = await gate.session(await start());
  const failing = changing.lock("cart", 5, async () => {
    await changing.end();
    changing.data.n = 1;
  });
  await assert.rejects(failing, NoSession);
  const ending = await gate.session(await start());
  const lock = await ending.lock("cart", 5);
  await ending.end();
  await lock.release();
  assert.deepEqual(Object.keys(ending.data), []);
});

test("a session that gets a new token meanwhile is released under that", async () => {
  const session = await gate.session(await start());
  await session.lock("cart", 5, async () => {
    await session.rotate();
    assert.deepEqual(await locksOf(session.token), [LOCK]);
    session.data.n = 1;
  });
  assert.deepEqual(await all(session.token), { n: "1", a: "1" });
  await session.lock("cart", 5, async () => {
    await session.login("new token");
    session.data.n = 2;
  });
  assert.deepEqual(await all(session.token), { n: "2", a: "1" });
});

test("a release that fails does not hide why the work failed", async () => {
  const own = await serve();
  const options = { socket: { port: own.port, reconnectStrategy: false } };
  const { client } = await plain(own.port, options);
  const lonely = new Gate(client, { signKeys });
  const session = await lonely.session(await lonely.start());
  const lock = await session.lock("cart", 5);
  const breaking = session.lock("basket", 5, async () => {
    await own.tell("kill", 0);
    await until(() => !client.isOpen, "the connection is lost");
    throw new Broken();
  });
  await assert.rejects(breaking, Broken);
  await lock.release();
  await own.tell("start", 0);
  await client.connect();
  const other = await lonely.session(await lonely.start());
  const killing = other.lock("cart", 5, async () => {
    await own.tell("kill", 0);
    await until(() => !client.isOpen, "the connection is lost");
  });
  await assert.rejects(killing, (error) => !(error instanceof Broken));
  await own.stop();
});

// Without a function --------------------------------------------------------------------------------

test("a lock in hand: what is saved before its release is stored, what is not is forgotten", async () => {
  const session = await gate.session(await start({ n: "0", list: "[1]" }));
  const { list } = session.data;
  await gate.pset(session.token, "n", "5");
  const lock = await session.lock("cart", 60);
  assert.equal(lock.name, "cart");
  assert.equal(session.data.n, 5);
  session.data.n++;
  await session.save();
  assert.deepEqual(await locksOf(session.token), [LOCK]);
  session.data.n++;
  await lock.release();
  await lock.release();
  assert.equal(session.data.n, 6);
  await session.save();
  assert.deepEqual(await all(session.token), { n: "6", list: "[1]" });
  const next = await session.lock("cart", 60, { wait: 0 });
  const same = session.data.list;
  same.push(2);
  await session.save();
  await next.release();
  assert.equal(session.data.list, same, "what was saved is another object after the release");
  assert.notEqual(session.data.list, list);
});

test("await using: to dispose of a lock is to release it", async () => {
  const session = await gate.session(await start());
  const lock = await session.lock("cart", 60);
  assert.deepEqual(await locksOf(session.token), [LOCK]);
  await lock[Symbol.asyncDispose]();
  assert.deepEqual(await locksOf(session.token), []);
});

// New sessions --------------------------------------------------------------------------------------

test("a new session is stored first if it holds something", async () => {
  const session = await gate.session();
  session.data.a = 1;
  await session.lock("cart", 5, async () => {
    assert.deepEqual(await locksOf(session.token), [LOCK]);
    session.data.b = 2;
  });
  assert.deepEqual(await all(session.token), { a: "1", b: "2" });
});

test("a new session that holds nothing needs no lock, and is saved behind the work", async () => {
  const session = await gate.session();
  const commands = await under.sent(() =>
    session.lock("cart", 5, () => {
      assert.equal(session.isNew, true);
      session.data.a = 1;
    }),
  );
  assert.deepEqual(commands, ["ADOPT"]);
  assert.deepEqual(await all(session.token), { a: "1" });
  const other = await gate.session();
  assert.deepEqual(await under.sent(() => other.lock("cart", 5, () => {})), []);
  const lock = await other.lock("cart", 5);
  other.data.a = 1;
  await lock.release();
  assert.equal(other.isNew, true);
  assert.deepEqual(Object.keys(other.data), []);
});

// Nobody sees it ------------------------------------------------------------------------------------

test("locks are no part of what a session holds", async () => {
  const token = await start();
  await gate.pset(token, LOCK, "another's");
  await gate.pset(token, Buffer.from("\0lock:\xff", "latin1"), "another's");
  const session = await gate.session(token);
  assert.deepEqual(Object.keys(session.data), ["n", "a"]);
  for (const name of Object.keys(session.data)) delete session.data[name];
  session.data.b = 1;
  await session.save();
  assert.equal((await locksOf(token)).length, 2);
  assert.equal(String(await gate.pget(token, LOCK)), "another's");
});

test("a name that is a lock's can neither be set nor taken, and nothing is sent", async () => {
  for (const name of ["\0lock:", "\0lock:cart", "\0lock:ä"]) {
    const token = await start({ a: "1", [name]: "another's" });
    const session = await gate.session(token);
    const commands = await under.sent(async () => {
      await assert.rejects(session.take(name), BadArgument);
      session.data[name] = 1;
      await assert.rejects(session.save(), BadArgument);
      delete session.data[name];
      await session.save();
    });
    assert.deepEqual(commands, []);
    const names = ["\0lock", "lock:cart", "\0LOCK:", "\0"];
    for (const other of names) session.data[other] = 1;
    await session.save();
    assert.deepEqual(Object.keys((await gate.session(token)).data).sort(), ["a", ...names].sort());
    assert.equal(String(await gate.pget(token, name)), "another's");
  }
});

test("a payload that ends while a login asks for its life does not go along", async () => {
  const token = await start();
  const slow = {
    isOpen: true,
    isReady: true,
    async sendCommand(line, options) {
      if (line[0] === "SESSIONGATE.PTTL") {
        await until(async () => !("code" in (await all(token))), "the payload has ended");
      }
      return under.client.sendCommand(line, options);
    },
  };
  await gate.pset(token, "code", "417", { px: 200 });
  const session = await new Gate(slow, { signKeys }).session(token);
  await session.login("ends");
  assert.deepEqual(await all(session.token), { n: "0", a: "1" });
  assert.equal("code" in session.data, false);
});

test("a device shows no lock", async () => {
  await gate.ostart("devices", { payloads: { n: "1", [LOCK]: '"x"' } });
  const [device] = await gate.sessions("devices");
  assert.deepEqual({ ...device.payloads }, { n: 1 });
});

// Arguments -----------------------------------------------------------------------------------------

test("names, lives and waits that are none are refused, and nothing is sent", async () => {
  const session = await gate.session(await start());
  session.data.n = 1;
  const commands = await under.sent(async () => {
    for (const name of ["", "n".repeat(195), "ä".repeat(98), "\ud800", undefined, ["cart"]]) {
      await assert.rejects(session.lock(name, 5, never), BadArgument);
    }
    for (const seconds of [0, -1, 0.0009, Infinity, NaN, "5", undefined]) {
      await assert.rejects(session.lock("cart", seconds, never, { wait: 1 }), BadArgument);
    }
    for (const wait of [-1, NaN, "1", null]) {
      await assert.rejects(session.lock("cart", 5, never, { wait }), BadArgument);
      await assert.rejects(session.lock("cart", 5, { wait }), BadArgument);
    }
  });
  assert.deepEqual(commands, []);
  for (const name of ["n", "n".repeat(194), "ä".repeat(97), "\0", "lock:"]) {
    await session.lock(name, 0.5, async () => {
      assert.deepEqual(await locksOf(session.token), [`\0lock:${name}`]);
    });
  }
  await assert.rejects(session.lock("cart", 1e15, never), BadArgument); // the server's own bound
});

test("who waits may go on with the session meanwhile", async () => {
  const token = await start();
  const holder = await (await gate.session(token)).lock("cart", 60);
  const session = await gate.session(token);
  const entered = gateway();
  const working = session.lock("cart", 60, entered.open, { wait: 60 });
  session.data.n = 3;
  await session.save();
  await session.rotate();
  await assert.rejects(gate.ttl(token), NoSession);
  await holder.release(); // of a token that is dead: the lock is released by nobody
  await gate.pdel(session.token, LOCK);
  await working;
  assert.deepEqual(await all(session.token), { n: "3", a: "1" });
});
