/** Passport 0.7's login and logout, which regenerate the session, on Express 5. */
import assert from "node:assert/strict";
import { test } from "node:test";
import express from "express";
import session from "express-session";
import passport from "passport";
import Strategy from "passport-local";
import { Gate, NoSession } from "sessiongate";
import { SessionGateStore } from "sessiongate/express";
import { Browser, listen } from "./support/http.mjs";
import { serverUnderTest } from "./support/server-under-test.mjs";

const under = await serverUnderTest();
const gate = new Gate(under.client, { signKeys: ["sign key"] });
const store = new SessionGateStore(gate);

passport.use(new Strategy((username, _password, done) => done(null, { id: username })));
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => done(null, { id }));

const app = express();
const options = { store, genid: store.genid, secret: "s", resave: false, saveUninitialized: false };
app.use(session(options), passport.initialize(), passport.session());
app.get("/set", (req, res) => {
  Object.assign(req.session, req.query);
  res.send("set");
});
app.get("/login", (req, res, next) => {
  const keepSessionInfo = req.query.keep === "1";
  passport.authenticate("local", { keepSessionInfo })(req, res, (error) => {
    if (error || !req.query.owner) return error ? next(error) : res.send("in");
    store.login(req, req.query.owner).then(() => res.send("in"), next);
  });
});
app.get("/logout", (req, res, next) => {
  req.logout((error) => (error ? next(error) : res.send("out")));
});
app.get("/who", (req, res) => res.json({ user: req.user?.id, cart: req.session.cart }));
const { url, close } = await listen(app);
under.closers.push(close);

const idOf = (browser) =>
  decodeURIComponent(browser.cookies.get("connect.sid")).slice(2).split(".").slice(0, 3).join(".");

test("a login changes the id, and the old one is dead", async () => {
  const browser = new Browser(url);
  await browser.get("/set?cart=full");
  const visitor = idOf(browser);
  await browser.get("/login?username=ada&password=x");
  assert.notEqual(idOf(browser), visitor);
  assert.deepEqual(await browser.json("/who"), { user: "ada" });
  await assert.rejects(gate.ttl(visitor), NoSession);
});

test("keepSessionInfo keeps what the visitor had", async () => {
  const browser = new Browser(url);
  await browser.get("/set?cart=full");
  await browser.get("/login?username=ada&password=x&keep=1");
  assert.deepEqual(await browser.json("/who"), { user: "ada", cart: "full" });
});

test("a logout ends the user's session, and the id is another", async () => {
  const browser = new Browser(url);
  await browser.get("/login?username=ada&password=x");
  const thief = browser.clone();
  const id = idOf(browser);
  await browser.get("/logout");
  assert.deepEqual(await browser.json("/who"), {});
  assert.deepEqual(await thief.json("/who"), {});
  await assert.rejects(gate.ttl(id), NoSession);
});

test("store.login after Passport's gives the session an owner", async (t) => {
  const why = await under.withoutOwners();
  if (why) return t.skip(why);
  const browser = new Browser(url);
  await browser.get("/set?cart=full");
  await browser.get("/login?username=ada&password=x&keep=1&owner=user:ada");
  assert.deepEqual(await browser.json("/who"), { user: "ada", cart: "full" });
  assert.equal((await gate.info(idOf(browser))).owner, "user:ada");
  await store.endAll("user:ada");
  assert.deepEqual(await browser.json("/who"), {});
});
