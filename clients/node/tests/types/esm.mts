import cookie from "@fastify/cookie";
import fastifySession from "@fastify/session";
import express from "express";
import session from "express-session";
import fastify from "fastify";
import { Cluster, Redis } from "ioredis";
import * as ioredis5 from "ioredis5";
import Koa from "koa";
import koaSession from "koa-session";
import { createClient, createClientPool, createCluster, createSentinel } from "redis";
import * as redis5 from "redis5";
import {
  type Device,
  Gate,
  type Info,
  type Lock,
  LockTimeout,
  NoSession,
  type Session,
} from "sessiongate";
import { type Lost, SessionGateStore } from "sessiongate/express";
import { SessionGateStore as FastifyStore } from "sessiongate/fastify";
import { SessionGateStore as KoaStore } from "sessiongate/koa";

const signKeys = ["key", Buffer.from("key"), new Uint8Array(1)];
new Gate(createClient(), { signKeys });
new Gate(createClient({ RESP: 3 }), { signKeys });
new Gate(createClientPool(), { signKeys });
new Gate(createCluster({ rootNodes: [] }), { signKeys });
new Gate(createSentinel({ name: "", sentinelRootNodes: [] }), { signKeys });
new Gate(redis5.createClient(), { signKeys });
new Gate(redis5.createClientPool(), { signKeys });
new Gate(redis5.createCluster({ rootNodes: [] }), { signKeys });
new Gate(new Redis(), { signKeys });
new Gate(new Cluster([]), { signKeys });
new Gate(new ioredis5.Redis(), { signKeys });
new Gate(new ioredis5.Cluster([]), { signKeys });
// @ts-expect-error: sign keys are needed
new Gate(createClient(), {});

const gate = new Gate(createClient(), {
  signKeys,
  ttl: 1,
  maxTtl: 2,
  refresh: 0,
  tokenFormat: "v1",
});
const token: string = await gate.start({ ttl: 1, payloads: { a: "b", c: Buffer.alloc(1) } });
const all: Map<string, Buffer> = await gate.pgetall(token);
const info: Info = await gate.info(token);
const devices: Device[] = await gate.sessions("owner", { current: token });
const typed: Session<{ user?: { id: number } }> = await gate.session<{ user?: { id: number } }>(
  token,
);
typed.data.user = { id: 1 };
// @ts-expect-error: a user's id is a number
typed.data.user = { id: "1" };
const { data }: Session = await gate.session();
data.anything = [all, info, devices];
try {
  await typed.save();
} catch (error) {
  if (error instanceof NoSession || error instanceof LockTimeout) error.code satisfies string;
}

const held: boolean = await gate.pset(token, "a", "b", { ifEqual: Buffer.alloc(1), ex: 300 });
const deleted: boolean = await gate.pdel(token, "a", { ifEqual: "b" });
const left: number = await gate.pttl(token, "a");
// @ts-expect-error: a life is a number
await gate.pset(token, "a", "b", { px: "1" });
const answer: string = await typed.lock("user", 5, async (same) => `${same.data.user?.id}`);
await typed.lock("user", 5, () => {}, { wait: 0.5 });
const lock: Lock = await typed.lock("user", 5, { wait: 1 });
await lock.release();
{
  await using own = await typed.lock("user", 5);
  own.name satisfies string;
}
console.log(held, deleted, left, answer);

const store = new SessionGateStore(gate, { legacy: new session.MemoryStore() });
store.on("lost", ({ id, req }: Lost) => console.warn(id, req.path));
const app = express();
app.use(
  session({ store, genid: store.genid, secret: "s", resave: false, saveUninitialized: false }),
);
app.get("/", async (req, res) => {
  await store.login(req, "owner", { limit: 3 });
  await store.endAll("owner", { keep: req });
  const count: number = await store.lock(req, "cart", 5, (same) => same.cookie.path?.length ?? 0);
  await store.lock(req, "cart", 5, async () => {}, { wait: 1 });
  res.json([count, await store.sessions("owner", { current: req })]);
});

const server = fastify();
const fastifyStore = new FastifyStore(gate);
fastifyStore.on("lost", ({ id }) => console.warn(id));
await server.register(cookie);
await server.register(fastifySession, {
  store: fastifyStore,
  idGenerator: fastifyStore.idGenerator,
  secret: "s",
});
server.get("/", async (request) => {
  await fastifyStore.login(request, "owner");
  return fastifyStore.endAll("owner", { keep: request });
});

const koa = new Koa();
const koaStore = new KoaStore(gate);
koaStore.on("lost", ({ id }) => console.warn(id));
koa.use(koaSession({ store: koaStore, genid: koaStore.genid }, koa));
