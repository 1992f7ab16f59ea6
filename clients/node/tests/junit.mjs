// junit.mjs PRINTED FILE: what `node --test` printed by its reporter "spec", as JUnit XML: a test case for each test
// that passed or failed, by number, and for each that was skipped, with its reason.
import { readFileSync, writeFileSync } from "node:fs";

const [printed, file] = process.argv.slice(2);
const text = readFileSync(printed, "utf8");
const count = (what) => Number(text.match(new RegExp(`^ℹ ${what} (\\d+)$`, "m"))?.[1] ?? 0);
const escaped = (words) => words.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
const reasons = [...text.matchAll(/^\s*﹣ (.*)$/gm)].map(([, words]) => words);

const cases = [];
for (let i = 0; i < count("pass"); i++) cases.push(`<testcase name="passed ${i}"/>`);
for (let i = 0; i < count("fail") + count("cancelled"); i++) {
  cases.push(`<testcase name="failed ${i}"><failure/></testcase>`);
}
for (let i = 0; i < count("skipped"); i++) {
  const reason = escaped(reasons[i] ?? "no reason given");
  cases.push(`<testcase name="skipped ${i}"><skipped message="${reason}"/></testcase>`);
}
writeFileSync(file, `<testsuites>\n${cases.join("\n")}\n</testsuites>\n`);
