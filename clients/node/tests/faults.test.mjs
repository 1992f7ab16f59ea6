/** A server that is killed in the middle of the work: what was acknowledged is there, what was ended stays ended. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Gate, NoSession } from "sessiongate";
import { single } from "./support/drivers.mjs";
import { losesReplies } from "./support/lossy.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";
import { until } from "./support/wait.mjs";

const under = await serverUnderTest("--config", "appendonly=yes", "appendfsync=always");

for (const { name, connect } of single) {
  if (
    ![
      "redis 5, RESP3",
      "redis 6, RESP3",
      "redis 6, pool",
      "ioredis 5",
      "ioredis 6, RESP3",
    ].includes(name)
  ) {
    continue;
  }
  describe(name, () => {
    test("killed under load", async () => {
      const { client, close } = await connect(under.server.port);
      const gate = new Gate(client, { signKeys: ["sign key"] });
      let running = true;
      const workers = Array.from({ length: 8 }, async () => {
        const session = await gate.session();
        session.data.n = 0;
        await session.save();
        const ended = await gate.session(await gate.start({ payloads: { a: "1" } }));
        await gate.end(ended.token);
        let acknowledged = 0;
        let refused = 0;
        for (let n = 1; running; n++) {
          session.data.n = n;
          try {
            await session.save();
            acknowledged = n;
          } catch (error) {
            refused++;
            assert.ok(!(error instanceof NoSession), "a living session is called ended");
            await new Promise((resolve) => setImmediate(resolve));
          }
          ended.data.a = -n;
          await assert.rejects(ended.save());
        }
        return { session, ended, acknowledged, refused };
      });
      const work = Promise.all(workers);
      work.catch(() => {});
      const progress = async () =>
        Number((await under.client.info("stats")).match(/commands_processed:(\d+)/)[1]);
      const start = await progress();
      await until(async () => (await progress()) > start + 200, "200 commands");
      await under.server.tell("kill", 0);
      await under.server.tell("start", 0);
      await until(() => under.client.isReady, "the connection is back");
      await until(async () => (await progress()) > 200, "200 commands more");
      running = false;
      for (const { session, ended, acknowledged } of await work) {
        const { n } = (await gate.session(session.token)).data;
        assert.ok(n >= acknowledged, `${acknowledged} was acknowledged, ${n} is there`);
        await assert.rejects(gate.ttl(ended.token), NoSession);
      }
      close();
    });
  });
}

/** A gate whose connection loses the reply to the next command that has these words. */
async function losing(name) {
  const proxy = await losesReplies(under.server.port);
  const { connect } = single.find((driver) => driver.name === name);
  const { client, close } = await connect(proxy.port);
  under.closers.push(proxy.close, close);
  return { proxy, gate: new Gate(client, { signKeys: ["sign key"] }) };
}

for (const name of ["ioredis 5", "ioredis 6, RESP3"]) {
  describe(`${name}, which sends again`, () => {
    test("a lock whose reply was lost is had by who asked, and released", async () => {
      const { proxy, gate } = await losing(name);
      const token = await gate.start({ payloads: { n: "0" } });
      const session = await gate.session(token);
      proxy.lose = "SESSIONGATE.PSET";
      const add = async () => {
        assert.equal(proxy.lost, 1);
        session.data.n++;
        await gate.pset(token, "other", "2");
        proxy.lose = "SESSIONGATE.PDEL";
      };
      await session.lock("cart", 60, add, { wait: 0 });
      assert.equal(proxy.lost, 2);
      const all = await gate.pgetall(token);
      assert.deepEqual([...all.keys()].sort(), ["n", "other"]);
      assert.equal(String(all.get("n")), "1");
    });

    test("a condition whose reply was lost says false, as the README has it", async () => {
      const { proxy, gate } = await losing(name);
      const token = await gate.start({ payloads: { n: "0" } });
      proxy.lose = "SESSIONGATE.PSET";
      assert.equal(await gate.pset(token, "n", "1", { ifEqual: "0" }), false);
      proxy.lose = "SESSIONGATE.PDEL";
      assert.equal(await gate.pdel(token, "n", { ifEqual: "1" }), false);
      assert.equal(proxy.lost, 2);
      assert.equal((await gate.pgetall(token)).size, 0);
    });
  });
}

for (const name of ["redis 5, RESP3", "redis 6, RESP3", "redis 6, pool"]) {
  describe(`${name}, which does not send again`, () => {
    test("a lock that was set and whose reply was lost is released", async () => {
      const { proxy, gate } = await losing(name);
      const token = await gate.start({ payloads: { n: "0" } });
      const session = await gate.session(token);
      proxy.lose = "SESSIONGATE.PSET";
      await assert.rejects(
        session.lock("cart", 60, () => assert.fail("it was told that the reply is lost")),
        (error) => error.code !== "ERR_ASSERTION",
      );
      assert.equal(proxy.lost, 1);
      assert.deepEqual([...(await gate.pgetall(token)).keys()], ["n"]);
    });

    test("a login that fails halfway logs nobody in, and may be tried again", async () => {
      const { proxy, gate } = await losing(name);
      const token = await gate.start({ payloads: { n: "0" } });
      await gate.pset(token, "code", "417", { ex: 100 });
      const session = await gate.session(token);
      const owner = `${name} halfway`;
      proxy.lose = "SESSIONGATE.PSET";
      await assert.rejects(session.login(owner));
      assert.equal(proxy.lost, 1);
      assert.deepEqual(await gate.olist(owner), []);
      assert.equal(session.token, token);
      for (let i = 0; i < 2; i++) {
        const left = await gate.pttl(session.token, "code");
        assert.ok(left > 0 && left <= 100_000, `${left} ms`);
        if (i === 0) await session.login(owner);
      }
      assert.deepEqual(await gate.olist(owner), [session.token]);
    });
  });
}
