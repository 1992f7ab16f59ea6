// The shop on Express. ../README.md has the API; ./run.sh --shop express starts it.
import { createHmac, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import express from "express";
import session from "express-session";
import { createClient } from "redis";
import { Gate, NoPayload, NoSession } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";

const { PORT, REDIS_PORT, SIGN_KEY, RUN_SH_PID } = process.env;
const GOODS = ["tea", "coffee", "honey", "cup"];
const CART_LIMIT = 100;
const COOKIE = "session";

const url = `redis://127.0.0.1:${REDIS_PORT}`;
const client = await createClient({ url, disableOfflineQueue: true })
  .on("error", ({ message }) => console.error(message)) // it connects again by itself
  .connect();
const gate = new Gate(client, { signKeys: [SIGN_KEY], ttl: 600, refresh: 5 });
const store = new SessionGateStore(gate);
const lost = new WeakSet(); // requests that wrote into a session which was ended meanwhile
store.on("lost", ({ req }) => lost.add(req));

const app = express();
app.use(express.static(fileURLToPath(new URL("../page", import.meta.url))));
app.use((req, res, next) => {
  // Another site's form cannot send this type: no request of another site does anything here.
  if (req.method === "POST" && !/^application\/json *(;|$)/i.test(req.get("content-type") ?? "")) {
    return fail(res, 415, "send application/json");
  }
  res.set("Cache-Control", "no-store");
  next();
});
app.use(express.json({ limit: 1000 }), (req, res, next) => {
  if (Array.isArray(req.body)) return fail(res, 400, "this body is not read");
  next();
});
app.use(
  session({
    store,
    name: COOKIE,
    genid: store.genid, // ids are tokens
    secret: createHmac("sha256", SIGN_KEY).update("cookie").digest("hex"),
    resave: false,
    saveUninitialized: false,
    cookie: { httpOnly: true, sameSite: "lax", secure: false }, // secure: true, or "auto", where there is TLS
  }),
);

const fail = (res, status, error) => res.status(status).json({ error });

/** The goods in the cart: each is a payload of its own, so that parallel requests lose none. */
const goodsOf = (values) => Object.keys(values).filter((name) => name.startsWith("item:"));

/** A promise of what the server answers, or undefined where it refuses by that error. */
const unless = (refusal, answer) =>
  answer.catch((error) => {
    if (!(error instanceof refusal)) throw error;
  });

const loggedIn = (req, res, next) => (req.session.user ? next() : fail(res, 401, "log in first"));

app.get("/api/session", async (req, res) => {
  const ttl = await unless(NoSession, gate.ttl(req.sessionID));
  const cart = {};
  for (const name of goodsOf(req.session)) {
    cart[req.session[name]] = (cart[req.session[name]] ?? 0) + 1;
  }
  let flash; // popped: of all who ask, one gets it
  if (req.session.flash) flash = await unless(NoPayload, gate.ppop(req.sessionID, "flash"));
  res.json({
    user: req.session.user ?? null,
    cart,
    flash: flash ? JSON.parse(flash) : null,
    ttl: ttl ?? null,
    token: ttl === undefined ? null : req.sessionID.slice(0, 10),
  });
});

app.get("/api/payloads", async (req, res) => {
  const payloads = (await unless(NoSession, gate.pgetall(req.sessionID))) ?? [];
  res.json(Array.from(payloads, ([name, data]) => ({ name, bytes: data.length })));
});

app.post("/api/cart", async (req, res) => {
  const { item, slow } = req.body ?? {};
  if (!GOODS.includes(item)) return fail(res, 400, `item is one of ${GOODS.join(", ")}`);
  if (goodsOf(req.session).length >= CART_LIMIT) return fail(res, 409, "the cart is full");
  if (slow) {
    if (Object.keys(req.session).length === 1) return res.json({ answer: "NOSESSION" }); // the cookie alone
    await sleep(1000); // time for another request, between what this one has read and what it writes
  }
  req.session[`item:${randomUUID().slice(0, 8)}`] = item;
  await new Promise((resolve, reject) => {
    req.session.save((error) => (error ? reject(error) : resolve()));
  });
  res.json({ answer: lost.has(req) ? "NOSESSION" : "OK" });
});

app.post("/api/login", async (req, res) => {
  const { user, password } = req.body ?? {};
  if (!/^[A-Za-z]{1,20}$/.test(user)) return fail(res, 400, "user is 1 to 20 letters");
  if (password !== "demo") return fail(res, 401, "the password is demo");
  if (req.session.user) return fail(res, 409, "log out first");
  const agent = (req.get("user-agent") ?? "").slice(0, 200);
  Object.assign(req.session, { user, agent, flash: `Welcome, ${user}` });
  await store.login(req, `user:${user}`, { limit: 5 }); // a new token; the cart comes along
  res.json({ answer: "OK" });
});

app.post("/api/logout", async (req, res) => {
  await new Promise((resolve, reject) => {
    req.session.destroy((error) => (error ? reject(error) : resolve()));
  });
  res.clearCookie(COOKIE).json({ answer: "OK" });
});

app.get("/api/devices", loggedIn, async (req, res) => {
  const devices = await store.sessions(`user:${req.session.user}`, { current: req });
  res.json(
    devices.map(({ id, current, started, payloads }) => {
      return { id, current, started: started.getTime(), agent: payloads.agent };
    }),
  );
});

app.post("/api/devices/end-others", loggedIn, async (req, res) => {
  res.json({ ended: await store.endAll(`user:${req.session.user}`, { keep: req }) });
});

app.post("/api/devices/:id/end", loggedIn, async (req, res) => {
  const ended = await store.endSession(`user:${req.session.user}`, req.params.id);
  if (!ended) return fail(res, 404, "you have no such device");
  res.json({ answer: "OK" });
});

app.get("/api/server", async (_req, res) => res.json(await counters()));

app.post("/api/kill", async (_req, res) => {
  if (!RUN_SH_PID) return fail(res, 404, "only run.sh can start Redis again");
  const before = (await counters()).process_id;
  process.kill(Number(RUN_SH_PID), "SIGUSR1"); // asks run.sh for kill -9 and a start
  for (let tries = 0; tries < 100; tries++) {
    await sleep(100);
    const after = (await counters().catch(() => undefined))?.process_id;
    if (after && after !== before) return res.json({ before, after });
  }
  fail(res, 503, "Redis is not back after ten seconds");
});

/** What Redis counts of sessions, and the number of its process. */
async function counters() {
  const info = (await client.info("server")) + (await client.info("sessiongate"));
  const counts = {};
  for (const [, name, value] of info.matchAll(/^(process_id|sessiongate_\w+):(\d+)\r?$/gm)) {
    counts[name.replace("sessiongate_", "")] = Number(value);
  }
  return counts;
}

app.use((error, _req, res, _next) => {
  if (error instanceof NoSession) return fail(res, 409, "your session has ended meanwhile");
  if (error.status) return fail(res, 400, "this body is not read");
  console.error(error.message);
  fail(res, 503, "there are no sessions now");
});

app.listen(Number(PORT), "127.0.0.1");
