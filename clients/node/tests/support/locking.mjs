/** Lock a session in a process of its own: port, sign key, token, and whether to add 100 to `n` or to die of it. */
import { Gate } from "sessiongate";
import { plain } from "./drivers.mjs";

const [port, key, token, what] = process.argv.slice(2);
const { client, close } = await plain(Number(port));
const gate = new Gate(client, { signKeys: [key] });
if (what === "die") {
  const session = await gate.session(token);
  await session.lock("cart", 0.4, () => {
    session.data.n = "never saved";
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => {});
  });
}
for (let i = 0; i < 100; i++) {
  const session = await gate.session(token);
  await session.lock("cart", 60, () => session.data.n++);
}
close();
process.exit();
