/** A server that is killed in the middle of the work: what was acknowledged is there, what was ended stays ended. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Gate, NoSession } from "sessiongate";
import { single } from "./support/drivers.mjs";
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
