/** What npm publishes: the files, both kinds of modules as one, and types for both. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const HERE = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => join(HERE, "node_modules", ".bin", name);
const directory = await mkdtemp(join(tmpdir(), "sessiongate-"));
after(() => rm(directory, { recursive: true }));
const npm = ["pack", "--ignore-scripts", "--json", "--pack-destination", directory];
const [packed] = JSON.parse((await run("npm", npm, { cwd: HERE })).stdout);
const tarball = join(directory, packed.filename);

test("the package has the build, its types, README and license, and nothing else", () => {
  const files = packed.files.map(({ path }) => path);
  const other = files.filter((path) => !/^dist\/\w+\.(js|mjs|d\.ts|d\.mts)$/.test(path));
  assert.deepEqual(other.sort(), ["LICENSE", "README.md", "package.json"]);
});

test("no dependency, and no host in the lock file", async () => {
  const manifest = JSON.parse(await readFile(join(HERE, "package.json")));
  assert.equal(manifest.dependencies, undefined);
  for (const peer of Object.keys(manifest.peerDependencies)) {
    assert.equal(manifest.peerDependenciesMeta[peer].optional, true);
  }
  assert.doesNotMatch(await readFile(join(HERE, "package-lock.json"), "utf8"), /"resolved"/);
});

for (const entry of ["", "/express", "/fastify", "/koa"]) {
  test(`sessiongate${entry}: what ESM imports is what CommonJS requires`, async () => {
    const [esm, cjs] = [await import(`sessiongate${entry}`), require(`sessiongate${entry}`)];
    const names = Object.keys(esm).filter((name) => name !== "__esModule");
    assert.deepEqual(names.sort(), Object.keys(cjs).sort());
    for (const name of Object.keys(cjs)) assert.equal(esm[name], cjs[name]);
  });
}

test("publint has nothing to say", async () => {
  const { stdout } = await run(bin("publint"), ["--strict", tarball]);
  assert.match(stdout, /All good/);
});

test("are the types wrong? They are not", async () => {
  await run(bin("attw"), [tarball, "--profile", "node16"]);
});

test("the types fit the drivers and the frameworks, in ESM and in CommonJS", async () => {
  await run(bin("tsc"), ["--project", join(HERE, "tests", "types")]).catch((error) => {
    assert.fail(error.stdout);
  });
});
