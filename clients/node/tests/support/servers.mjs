/** Real servers for the tests, lent by clients/testing/serve. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SERVE = fileURLToPath(new URL("../../../testing/serve", import.meta.url));

/** The server that single servers and clusters are of; one of `tests/servers list`. */
export const SERVER = process.env.SESSIONGATE_SERVER;

/** Start servers; `stop` (or the end of this process) stops them. */
export async function serve(...args) {
  if (SERVER && !args.includes("--server")) args.unshift("--server", SERVER);
  const child = spawn(SERVE, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout });
  const waiting = [];
  lines.on("line", (line) => waiting.shift()?.resolve(JSON.parse(line)));
  const exited = once(child, "exit").then(([code]) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`serve ended with ${code}`));
  });
  const answer = () => new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  const started = await answer();
  return {
    ...started,
    port: started.nodes[0].port,
    /** Tell serve a command, and return its answer. */
    async tell(...words) {
      child.stdin.write(`${words.join(" ")}\n`);
      const reply = await answer();
      if (reply.error) throw new Error(reply.error);
      return reply;
    },
    async stop() {
      child.stdin.end();
      await exited;
    },
  };
}
