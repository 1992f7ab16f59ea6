#!/usr/bin/env node
/**
 * SessionGate beside connect-redis 9 in the same Express application, as Markdown.
 *
 *     taskset -c 0 node bench/bench.mjs [--rounds N] [--requests N] [--only NAME]
 *
 * Both stores run at once, each in a process of its own on one server; short rounds of requests go to one and to
 * the other by turns, and what is compared is CPU time a request, as the median of the rounds' ratios, so that
 * whatever else the machine does falls on both. Above 1.00 SessionGate takes less. Half of the rounds are with
 * processes that were started in the other order: those that start first take up to a tenth less.
 *
 * On one core, as above, an application pays for its own work alone; on several also for waking the others,
 * the more the longer they wait for it. It needs the module in build/ and ./clients/node/test once before (which
 * installs what it needs).
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import autocannon from "autocannon";
import { createClient } from "redis";
import { serve } from "../tests/support/servers.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "120" },
    requests: { type: "string", default: "400" },
    only: { type: "string" },
    help: { type: "boolean", short: "h" },
  },
});
if (options.help) {
  console.log(
    "usage: node bench/bench.mjs [--rounds 120] [--requests 400] [--only redis6|redis5|ioredis]",
  );
  process.exit();
}
const ROUNDS = 2 * Math.ceil(Number(options.rounds) / 2);
const REQUESTS = Number(options.requests);
const CONNECTIONS = 16;
const SESSIONS = 64;
const STORES = ["connect-redis", "sessiongate"];
const PATHS = ["/read", "/write"];
/** In which order the stores' processes are started, each for half of the rounds; and have their turns. */
const ORDERS = [
  [0, 1],
  [1, 0],
];
/** So many requests warm a process up. */
const WARM_UP = 4000;

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

const server = await serve();
const redis = await createClient({ socket: { host: "127.0.0.1", port: server.port } }).connect();

async function serverUse() {
  const info = Object.fromEntries(
    (await redis.info()).split("\r\n").map((line) => line.split(":")),
  );
  return {
    cpu: 1e6 * (Number(info.used_cpu_user) + Number(info.used_cpu_sys)),
    commands: Number(info.total_commands_processed),
    bytes: Number(info.total_net_input_bytes) + Number(info.total_net_output_bytes),
  };
}

async function startApp(store, driver, rolling) {
  const child = fork(new URL("app.mjs", import.meta.url), [
    store,
    driver,
    server.port,
    rolling ? "1" : "0",
  ]);
  const [{ port }] = await once(child, "message");
  const url = `http://127.0.0.1:${port}`;
  return {
    store,
    url,
    async cpu() {
      child.send("cpu");
      const [{ cpu }] = await once(child, "message");
      return cpu.user + cpu.system;
    },
    async login() {
      const response = await fetch(`${url}/login`);
      return response.headers.getSetCookie()[0].split(";")[0];
    },
    stop: () => child.kill(),
  };
}

/** One round: so many requests, and what they took, each. */
async function load(app, path, cookies, requests = REQUESTS) {
  const before = { app: await app.cpu(), server: await serverUse() };
  const result = await autocannon({
    url: app.url,
    connections: CONNECTIONS,
    amount: requests,
    sampleInt: 20, // it ends with a sample
    requests: cookies.map((cookie) => ({ path, headers: { cookie } })),
  });
  if (result.non2xx || result.errors) throw new Error(`${app.store}: ${result.non2xx} refused`);
  const after = { app: await app.cpu(), server: await serverUse() };
  return {
    rate: result.requests.total / result.duration,
    p99: result.latency.p99,
    app: (after.app - before.app) / requests,
    server: (after.server.cpu - before.server.cpu) / requests,
    commands: (after.server.commands - before.server.commands) / requests,
    bytes: (after.server.bytes - before.server.bytes) / requests,
  };
}

/** Of 200 pairs of parallel requests that each set a name of their own, in how many one is lost. */
async function lostOfPairs(app) {
  let lost = 0;
  for (let i = 0; i < 200; i++) {
    const cookie = await app.login();
    const get = (path) => fetch(app.url + path, { headers: { cookie } });
    await Promise.all([get("/set?a=1"), get("/set?b=1")]);
    const session = await (await get("/all")).json();
    if (session.a !== "1" || session.b !== "1") lost++;
  }
  return lost;
}

const columns = [
  ["CPU app, µs", (round) => round.app.toFixed(0)],
  ["CPU server, µs", (round) => round.server.toFixed(0)],
  ["requests/s", (round) => round.rate.toFixed(0)],
  ["p99, ms", (round) => round.p99.toFixed(0)],
  ["commands", (round) => round.commands.toFixed(1)],
  ["bytes", (round) => round.bytes.toFixed(0)],
];
const row = (cells) => console.log(`| ${cells.join(" | ")} |`);

/** Rounds of both, by turns, with processes of their own: for each path and store what each round took. */
async function measure(driver, rolling) {
  const rounds = PATHS.map(() => STORES.map(() => []));
  for (const order of ORDERS) {
    const apps = [];
    for (const which of order) apps[which] = await startApp(STORES[which], driver, rolling);
    const cookies = await Promise.all(
      apps.map((app) => Promise.all(Array.from({ length: SESSIONS }, () => app.login()))),
    );
    for (const [index, path] of PATHS.entries()) {
      for (const which of order) await load(apps[which], path, cookies[which], WARM_UP);
      for (let i = 0; i < ROUNDS / ORDERS.length; i++) {
        for (const which of ORDERS[i % 2]) {
          rounds[index][which].push(await load(apps[which], path, cookies[which]));
        }
      }
    }
    for (const app of apps) app.stop();
  }
  return rounds;
}

const cores = availableParallelism();
console.log(
  `Node ${process.version}, server ${server.version}, ${cores} × ${cpus()[0].model.trim()}`,
);
console.log(
  `${ROUNDS} rounds of ${REQUESTS} requests by ${CONNECTIONS} connections for ${SESSIONS} sessions.\n`,
);
row(["driver", "request", "CPU app: ratio", "store", ...columns.map(([title]) => title)]);
row(["---", "---", "---", "---", ...columns.map(() => "---")]);
const drivers = ["redis6", "redis5", "ioredis"].filter(
  (it) => !options.only || options.only === it,
);
for (const driver of drivers) {
  for (const rolling of [false, true]) {
    const measured = await measure(driver, rolling);
    PATHS.forEach((path, index) => {
      const [theirs, ours] = measured[index];
      const ratio = median(theirs.map((round, i) => round.app / ours[i].app));
      const request = `${path.slice(1)}${rolling ? ", rolling" : ""}`;
      STORES.forEach((store, which) => {
        const cells = columns.map(([, cell]) =>
          median(measured[index][which].map((round) => Number(cell(round)))),
        );
        row([driver, request, which ? `**${ratio.toFixed(2)}**` : "", store, ...cells]);
      });
    });
  }
}
console.log("\nOf 200 pairs of parallel writes, one was lost in\n");
for (const driver of drivers) {
  for (const store of STORES) {
    const app = await startApp(store, driver, false);
    console.log(`- ${driver}, ${store}: ${await lostOfPairs(app)}`);
    app.stop();
  }
}
redis.destroy();
await server.stop();
