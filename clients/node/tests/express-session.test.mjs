/** express-session's own tests, those of its release 1.0.0, on the present version with our store in place of memory. */
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import session from "express-session";
import { Gate } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";
import { serverUnderTest } from "./support/server-under-test.mjs";

const require = createRequire(import.meta.url);
const under = await serverUnderTest();
const gate = new Gate(under.client, { signKeys: ["sign key"] });

/** What the tests know as `require("../")`. */
function withOurStore(options) {
  const store = new SessionGateStore(gate);
  return session({ store, genid: store.genid, resave: true, saveUninitialized: true, ...options });
}
Object.assign(withOurStore, session);

/** mocha's words: a function with a parameter is told when it is done. */
const withDone = (register) => (name, run) =>
  register(name, run.length === 0 ? run : (_, done) => run(done));
Object.assign(globalThis, { describe, before, after, it: withDone(it) });

const tests = require.resolve("express-session-1.0.0/test/session.js");
const theirs = require.resolve("express-session-1.0.0");
require.cache[theirs] = { id: theirs, filename: theirs, loaded: true, exports: withOurStore };
require(tests);
