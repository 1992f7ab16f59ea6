/** One server and one connection for a test file, and what the server was sent. */
import { after } from "node:test";
import { plain } from "./drivers.mjs";
import { serve } from "./servers.mjs";

/** Start a server, which is stopped after the tests of this file. */
export async function serverUnderTest(...args) {
  const server = await serve(...args);
  const { client, close } = await plain(server.port);
  /** What else is to be closed: functions. */
  const closers = [close];
  after(async () => {
    for (const closer of closers.reverse()) await closer();
    await server.stop();
  });

  const calls = async () => {
    const stats = await client.info("commandstats");
    const lines = stats.matchAll(/cmdstat_sessiongate\.(\w+):calls=(\d+)/gi);
    return new Map(Array.from(lines, ([, name, count]) => [name.toUpperCase(), Number(count)]));
  };

  const reads = async () => {
    const [, count] = (await client.info("stats")).match(/total_reads_processed:(\d+)/);
    return Number(count);
  };

  /** The commands of SessionGate that the server was sent while `work` ran. */
  async function sent(work) {
    const earlier = await calls();
    await work();
    return [...(await calls())]
      .flatMap(([name, count]) => Array(count - (earlier.get(name) ?? 0)).fill(name))
      .sort();
  }

  return {
    server,
    client,
    closers,
    sent,

    /** That, and how often the server read from its clients meanwhile. */
    async cost(work) {
      let trips;
      const commands = await sent(async () => {
        const earlier = await reads();
        await work();
        trips = (await reads()) - earlier - 1;
      });
      return { trips, commands };
    },

    /** Why the tests of owners cannot run on this server; false when they can. */
    async withoutOwners() {
      const [known] = await client.sendCommand(["COMMAND", "INFO", "SESSIONGATE.OSTART"]);
      return known ? false : "the module has no SESSIONGATE.OSTART yet";
    },
  };
}
