/**
 * The application that is measured: Express 5 with express-session on connect-redis 9 or on SessionGate.
 *
 *     node app.mjs <connect-redis|sessiongate> <redis5|redis6|ioredis> <port of the server> <rolling: 0|1>
 *
 * GET /read reads a session, /write changes one value of it, /set?name=value sets one. It tells its parent
 * its port, and its CPU time whenever it is asked.
 */
import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { Redis } from "ioredis";
import * as redis6 from "redis";
import * as redis5 from "redis5";
import { Gate } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";

const [kind, driver, port, rolling] = process.argv.slice(2);

async function connect() {
  const socket = { host: "127.0.0.1", port: Number(port) };
  if (driver === "ioredis") return new Redis(socket);
  return await { redis5, redis6 }[driver].createClient({ socket }).connect();
}

const client = await connect();

/** connect-redis 9 speaks node-redis: what it calls, in ioredis' words. */
const inNodeRedisWords = {
  get: (key) => client.get(key),
  set: (key, value, { expiration }) => client.set(key, value, "EX", expiration.value),
  expire: (key, seconds) => client.expire(key, seconds),
  del: (keys) => client.del(keys),
};

const options = { secret: "a secret of the benchmark", resave: false, saveUninitialized: false };
options.cookie = { maxAge: 3_600_000 };
options.rolling = rolling === "1";
if (kind === "sessiongate") {
  const gate = new Gate(client, { signKeys: ["a sign key of the benchmark, 32 b"], ttl: 3600 });
  options.store = new SessionGateStore(gate);
  options.genid = options.store.genid;
} else {
  options.store = new RedisStore({ client: driver === "ioredis" ? inNodeRedisWords : client });
}

const app = express();
app.disable("etag");
app.disable("x-powered-by");
app.use(session(options));
app.get("/read", (req, res) => {
  res.type("text").send(String(req.session.user?.name));
});
app.get("/write", (req, res) => {
  req.session.count = (req.session.count ?? 0) + 1;
  res.type("text").send("written");
});
app.get("/login", (req, res) => {
  req.session.user = { name: "Ada", roles: ["author", "editor"] };
  req.session.csrf = "jW8aK3pQ0xLr2mNb";
  res.type("text").send("welcome");
});
app.get("/set", (req, res) => {
  // A request that takes its time: what it loaded is old when it saves.
  setTimeout(() => {
    Object.assign(req.session, req.query);
    res.type("text").send("set");
  }, 5);
});
app.get("/all", (req, res) => {
  res.json(req.session);
});

const server = app.listen(0, "127.0.0.1", () => process.send({ port: server.address().port }));
process.on("message", () => process.send({ cpu: process.cpuUsage() }));
process.on("disconnect", () => process.exit());
