/** The README's applications are typed in and used: ESM and CommonJS, Express, Fastify, Koa. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Browser } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";
import { until } from "./support/wait.mjs";

const under = await serverUnderTest();
const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
const applications = [...readme.matchAll(/```js\n(.*?)```/gs)]
  .map(([, code]) => code)
  .filter((code) => code.includes("listen("));

// Inside the package, so that "sessiongate" is this one.
const directory = await mkdtemp(fileURLToPath(new URL(".readme-", import.meta.url)));
after(() => rm(directory, { recursive: true }));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

test("there are four", () => assert.equal(applications.length, 4));

for (const [index, code] of applications.entries()) {
  const [name] = /sessiongate\/\w+/.exec(code);
  const extension = code.includes("require(") ? "cjs" : "mjs";
  test(`${name}, ${extension}`, async () => {
    const port = await freePort();
    const file = join(directory, `${index}.${extension}`);
    await writeFile(file, code.replace("6379", under.server.port).replace("3000", port));
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "ignore", "inherit"] });
    under.closers.push(() => child.kill());
    const [one, other] = [1, 2].map(() => new Browser(`http://127.0.0.1:${port}`));
    const up = () =>
      fetch(one.url)
        .then(() => true)
        .catch(() => false);
    await until(up, "the application");
    for (const visit of [1, 2, 3]) assert.equal((await one.get("/")).text, `visit ${visit}\n`);
    assert.equal((await other.get("/")).text, "visit 1\n");
  });
}
