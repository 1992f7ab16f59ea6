/** Thousands of sessions over HTTP leave nothing behind in the application. */
import assert from "node:assert/strict";
import { Agent, get } from "node:http";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import express from "express";
import session from "express-session";
import { Gate } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";
import { single } from "./support/drivers.mjs";
import { listen } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
const under = await serverUnderTest();

for (const [name, sessions] of [
  ["redis 6, RESP3", 20_000],
  ["ioredis 6, RESP3", 20_000], // fewer, and what the collector leaves is most of the figure
]) {
  test(`${sessions} sessions on ${name}`, async (t) => {
    const { connect } = single.find((driver) => driver.name === name);
    const { client, close } = await connect(under.server.port);
    const store = new SessionGateStore(new Gate(client, { signKeys: ["sign key"] }));
    const app = express();
    const options = {
      store,
      genid: store.genid,
      secret: "s",
      resave: false,
      saveUninitialized: false,
    };
    app.use(session(options));
    app.get("/", (req, res) => {
      req.session.user = { name: "Ada", data: "x".repeat(500) };
      res.send("set");
    });
    const { url, close: stop } = await listen(app);
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const visit = () =>
      new Promise((resolve, reject) => {
        get(url, { agent }, (response) => {
          response.resume().on("end", () => resolve(response.headers["set-cookie"]));
        }).on("error", reject);
      });

    const used = async (visits) => {
      let left = visits;
      const visitor = async () => {
        while (left-- > 0) assert.ok(await visit());
      };
      await Promise.all(Array.from({ length: 16 }, visitor));
      collect();
      return process.memoryUsage().heapUsed;
    };

    const early = await used(4_000); // code is compiled, pools are filled
    const late = await used(sessions - 4_000);
    const each = (late - early) / (sessions - 4_000);
    t.diagnostic(`${each.toFixed(1)} bytes a session`);
    assert.ok(each < 30, `${each} bytes of each session are still there`);
    assert.ok((await under.client.dbSize()) >= sessions);
    agent.destroy();
    await stop();
    close();
  });
}
