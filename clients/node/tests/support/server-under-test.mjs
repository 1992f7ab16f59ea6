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

  return {
    server,
    client,
    closers,

    /** The commands of SessionGate that the server was sent while `work` ran. */
    async sent(work) {
      const earlier = await calls();
      await work();
      return [...(await calls())]
        .flatMap(([name, count]) => Array(count - (earlier.get(name) ?? 0)).fill(name))
        .sort();
    },

    /** Why the tests of owners cannot run on this server; false when they can. */
    async withoutOwners() {
      const [known] = await client.sendCommand(["COMMAND", "INFO", "SESSIONGATE.OSTART"]);
      return known ? false : "the module has no SESSIONGATE.OSTART yet";
    },
  };
}
