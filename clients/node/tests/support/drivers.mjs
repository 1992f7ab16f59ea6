/** Every way to connect that is promised: both drivers, their last two majors, RESP2 and RESP3, pool, cluster. */
import * as ioredis6 from "ioredis";
import * as ioredis5 from "ioredis5";
import * as redis6 from "redis";
import * as redis5 from "redis5";

const noop = () => {};

async function nodeRedis({ createClient }, port, options = {}) {
  const client = createClient({ socket: { host: "127.0.0.1", port }, ...options });
  client.on("error", noop);
  await client.connect();
  return { client, close: () => client.destroy() };
}

async function nodeRedisPool({ createClientPool }, port) {
  const client = createClientPool(
    { socket: { host: "127.0.0.1", port } },
    { minimum: 2, maximum: 4 },
  );
  client.on("error", noop);
  await client.connect();
  return { client, close: () => client.destroy() };
}

async function nodeRedisCluster({ createCluster }, port, options = {}) {
  const client = createCluster({
    rootNodes: [{ socket: { host: "127.0.0.1", port } }],
    ...options,
  });
  client.on("error", noop);
  await client.connect();
  return { client, close: () => client.destroy() };
}

async function ioRedis({ Redis }, port, options = {}) {
  const client = new Redis({ host: "127.0.0.1", port, ...options });
  client.on("error", noop);
  await new Promise((resolve) => client.once("ready", resolve));
  return { client, close: () => client.disconnect() };
}

async function ioRedisCluster({ Cluster }, port, options = {}) {
  const client = new Cluster([{ host: "127.0.0.1", port }], options);
  client.on("error", noop);
  await new Promise((resolve) => client.once("ready", resolve));
  return { client, close: () => client.disconnect() };
}

/** { name, connect(port, more) } of each way to a single server; `more` are options of ioredis. */
export const single = [
  { name: "redis 5, RESP2", connect: (port) => nodeRedis(redis5, port) },
  { name: "redis 5, RESP3", connect: (port) => nodeRedis(redis5, port, { RESP: 3 }) },
  { name: "redis 6, RESP2", connect: (port) => nodeRedis(redis6, port, { RESP: 2 }) },
  { name: "redis 6, RESP3", connect: (port) => nodeRedis(redis6, port, { RESP: 3 }) },
  { name: "redis 5, pool", connect: (port) => nodeRedisPool(redis5, port) },
  { name: "redis 6, pool", connect: (port) => nodeRedisPool(redis6, port) },
  { name: "ioredis 5", connect: (port, more) => ioRedis(ioredis5, port, more) },
  {
    name: "ioredis 6, RESP2",
    connect: (port, more) => ioRedis(ioredis6, port, { protocol: 2, ...more }),
  },
  {
    name: "ioredis 6, RESP3",
    connect: (port, more) => ioRedis(ioredis6, port, { protocol: 3, ...more }),
  },
  {
    name: "ioredis 6, RESP3's own shapes",
    connect: (port, more) =>
      ioRedis(ioredis6, port, { protocol: 3, replyMapping: "resp3", ...more }),
  },
  {
    name: "ioredis 6, automatic pipelines",
    connect: (port, more) => ioRedis(ioredis6, port, { enableAutoPipelining: true, ...more }),
  },
];

/** The same of each way to a cluster; `more` are options of its driver. */
export const cluster = [
  { name: "redis 5, cluster", connect: (port, more) => nodeRedisCluster(redis5, port, more) },
  { name: "redis 6, cluster", connect: (port, more) => nodeRedisCluster(redis6, port, more) },
  { name: "ioredis 5, cluster", connect: (port, more) => ioRedisCluster(ioredis5, port, more) },
  { name: "ioredis 6, cluster", connect: (port, more) => ioRedisCluster(ioredis6, port, more) },
];

/** The one that tests use where the driver does not matter. */
export const plain = (port, options) => nodeRedis(redis6, port, options);
