import { after, before, describe } from "node:test";
import { single } from "./support/drivers.mjs";
import { commands } from "./support/rules.mjs";
import { serve } from "./support/servers.mjs";

let server;
before(async () => {
  server = await serve();
});
after(() => server.stop());

for (const { name, connect } of single) {
  describe(name, () => {
    let connection;
    before(async () => {
      connection = await connect(server.port);
    });
    after(() => connection.close());
    commands(async () => connection.client);
  });
}
