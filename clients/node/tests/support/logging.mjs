/** Use every driver, while DEBUG logs all: port, a sign key as text, another as base64url. */
import { Gate } from "sessiongate";
import { single } from "./drivers.mjs";

const [port, key, older] = process.argv.slice(2);
for (const { connect } of single) {
  const { client, close } = await connect(Number(port));
  for (const signKeys of [[key], [Buffer.from(older, "base64url"), key]]) {
    const gate = new Gate(client, { signKeys });
    const token = await gate.start({ payloads: { a: "1" } });
    await gate.pget(token, "a");
    const session = await gate.session(token);
    await session.rotate();
    await gate.pget(token, "a").catch((error) => console.error(error));
    console.log(gate, session);
  }
  close();
}
process.exit();
