/** A way to a server that can lose a reply, and the connection with it. */
import { once } from "node:events";
import { connect, createServer } from "node:net";

export async function losesReplies(target) {
  const sockets = new Set();
  const listener = createServer((client) => {
    const server = connect(target, "127.0.0.1");
    let isToBeLost = false;
    client.on("data", (commands) => {
      if (proxy.lose && commands.includes(proxy.lose)) {
        proxy.lose = undefined;
        isToBeLost = true;
      }
      server.write(commands);
    });
    server.on("data", (replies) => {
      if (!isToBeLost) client.write(replies);
      else {
        proxy.lost++;
        client.destroy();
        server.destroy();
      }
    });
    for (const [one, other] of [
      [client, server],
      [server, client],
    ]) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const proxy = {
    port: listener.address().port,
    /** The reply to the next commands that hold these bytes is lost. */
    lose: undefined,
    /** How many were. */
    lost: 0,
    close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
  return proxy;
}
