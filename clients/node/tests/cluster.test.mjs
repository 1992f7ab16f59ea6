import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { Gate, TryAgain } from "sessiongate";
import { cluster, plain } from "./support/drivers.mjs";
import { commands } from "./support/rules.mjs";
import { serve } from "./support/servers.mjs";
import { until } from "./support/wait.mjs";

const { slotOf } = createRequire(import.meta.url)("../dist/token.js");
const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const signKeys = ["sign key"];

let servers;
/** A plain client of each node. */
let nodes;

before(async () => {
  servers = await serve("--cluster", "3");
  nodes = await Promise.all(servers.nodes.map(({ port }) => plain(port)));
});
after(async () => {
  for (const node of nodes) node.close();
  await servers.stop();
});

/** How often the nodes have answered that error. */
async function answered(code) {
  let count = 0;
  for (const { client } of nodes) {
    const found = (await client.info("errorstats")).match(
      new RegExp(`errorstat_${code}:count=(\\d+)`),
    );
    count += Number(found?.[1] ?? 0);
  }
  return count;
}

/** The token with another pad, which puts it into that slot: the pad is not signed. */
function steered(token, slot) {
  for (const a of ALPHABET) {
    for (const b of ALPHABET) {
      for (const c of ALPHABET) {
        const candidate = token.slice(0, -3) + a + b + c;
        if (slotOf(candidate) === slot) return candidate;
      }
    }
  }
  throw new Error(`no pad leads to slot ${slot}`);
}

/** Move a slot from one node to another by hand; it stays half-moved until `half` has come true. */
async function moveSlot(slot, from, to, half) {
  await servers.tell("importing", slot, from, to);
  try {
    await half();
  } finally {
    const { client } = nodes[from];
    for (;;) {
      const keys = await client.sendCommand(["CLUSTER", "GETKEYSINSLOT", `${slot}`, "1000"]);
      if (keys.length === 0) break;
      for (const key of keys) await servers.tell("movekey", key, from, to);
    }
    await servers.tell("settle", slot, to);
  }
}

for (const { name, connect } of cluster) {
  describe(name, () => {
    let connection;
    let gate;
    before(async () => {
      connection = await connect(servers.port);
      gate = new Gate(connection.client, { signKeys });
    });
    after(() => connection.close());

    commands(async () => connection.client);

    test("each command goes to the node of its token, and sessions are spread over all", async () => {
      const sizes = () => Promise.all(nodes.map(({ client }) => client.dbSize()));
      const [moved, earlier] = [await answered("MOVED"), await sizes()];
      const tokens = await Promise.all(Array.from({ length: 60 }, () => gate.start()));
      for (const token of tokens) {
        await gate.pset(token, "a", "1");
        await gate.touch(token);
        await (await gate.session(token)).rotate();
      }
      assert.equal(await answered("MOVED"), moved);
      for (const [node, size] of (await sizes()).entries()) {
        assert.ok(size > earlier[node], `node ${node} has none`);
      }
    });

    test("TRYAGAIN is repeated until the slot has moved", async () => {
      const token = steered(gate.mint(), 7);
      await gate.adopt(token, { payloads: { a: "1" } });
      const { node: from } = await servers.tell("slot", token);
      const to = (from + 1) % 3;
      const met = await answered("TRYAGAIN");
      let rotating;
      await moveSlot(7, from, to, async () => {
        rotating = gate.rotate(token);
        await until(async () => (await answered("TRYAGAIN")) > met, "a TRYAGAIN");
      });
      const rotated = await rotating;
      assert.equal(slotOf(rotated), 7);
      assert.equal(String(await gate.pget(rotated, "a")), "1");
      await gate.end(rotated);
    });

    test("slots are moved under load: TRYAGAIN is met, and no session and no write is lost", async (t) => {
      const slots = [11, 22, 33];
      const met = await answered("TRYAGAIN");
      let running = true;
      const workers = Array.from({ length: 12 }, async (_, i) => {
        let token = steered(gate.mint(), slots[i % slots.length]);
        await gate.adopt(token, { payloads: { n: "0" } });
        let written = 0;
        while (running) {
          const session = await gate.session(token);
          assert.equal(session.isNew, false, "a session is lost");
          assert.equal(session.data.n, written, "a write is lost");
          session.data.n = ++written;
          await session.save();
          await session.rotate();
          token = session.token;
        }
        return { token, written };
      });
      const failed = Promise.all(workers); // observed at the end; until then its errors are ours
      failed.catch(() => {});
      for (const slot of slots) {
        for (let round = 0; round < 2; round++) {
          const { node: from } = await servers.tell("slot", steered(gate.mint(), slot));
          const before = await answered("TRYAGAIN");
          await moveSlot(slot, from, (from + 1) % 3, () =>
            until(async () => (await answered("TRYAGAIN")) > before, "a TRYAGAIN"),
          );
        }
      }
      running = false;
      for (const { token, written } of await failed) {
        assert.ok(written > 0);
        assert.equal(String(await gate.pget(token, "n")), String(written));
      }
      t.diagnostic(`${(await answered("TRYAGAIN")) - met} answers of TRYAGAIN in 6 moved slots`);
    });

    test("a slot that goes on moving is given up after a bounded time", async () => {
      const token = steered(gate.mint(), 44);
      await gate.adopt(token);
      const { node: from } = await servers.tell("slot", token);
      await moveSlot(44, from, (from + 1) % 3, () => assert.rejects(gate.rotate(token), TryAgain));
      await gate.rotate(token);
    });
  });
}

test("locks and logins read from the master, even where reads go to replicas", async () => {
  const own = await serve("--cluster", "1", "--replicas", "1");
  const master = await plain(own.port);
  const known = async () => (await master.client.sendCommand(["CLUSTER", "SLOTS"]))[0].length > 3;
  await until(known, "the master tells of its replica");
  const replica = own.nodes.findIndex(({ role }) => role === "replica");
  for (const name of ["redis 6, cluster", "ioredis 6, cluster"]) {
    const { connect } = cluster.find((driver) => driver.name === name);
    const { client, close } = await connect(own.port, { scaleReads: "slave", useReplicas: true });
    const gate = new Gate(client, { signKeys });
    const token = await gate.start({ payloads: { n: "0" } });
    const loaded = async () => !(await gate.session(token)).isNew;
    await until(loaded, "the replica has the session");
    const session = await gate.session(token);
    await own.tell("pause", replica);
    const work = (async () => {
      await session.lock("n", 60, () => session.data.n++, { wait: 1 });
      await session.login(name);
    })();
    const late = new Promise((resolve) => setTimeout(resolve, 10_000, "late").unref());
    assert.equal(await Promise.race([work, late]), undefined);
    await own.tell("resume", replica);
    assert.deepEqual({ ...session.data }, { n: 1 });
    close();
  }
  master.close();
  await own.stop();
});
