/** What every adapter must do, over HTTP: tests to run on each framework's application with the same routes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { BadToken } from "sessiongate";

/**
 * @param app what `application` of a framework's test answers: `store`, `browser()`, `slow(name)`
 * @param idOf answers the token in a browser's cookies
 * @param load what a load sends in a moment after another one
 * @param asks what a response sends that changed nothing
 */
export function adapterRules({ app, gate, under, idOf, load = ["PGETALL"], asks = [] }) {
  const { sent } = under;
  const firstRead = ["PGETALL", "TOUCH", ...asks];
  const laterRead = [...load, ...asks];

  test("a session is read and written, and nothing is stored of who writes nothing", async () => {
    const browser = app().browser();
    assert.deepEqual(await sent(() => browser.get("/read")), []);
    assert.deepEqual(await sent(() => browser.get("/set?user=Ada&lang=en")), ["ADOPT"]);
    assert.ok(gate.verify(idOf(browser)));
    assert.deepEqual(await sent(() => browser.get("/read")), firstRead);
    assert.deepEqual(await sent(() => browser.get("/read")), laterRead);
    assert.deepEqual(await sent(() => browser.get("/set?lang=fr")), [...load, "PMSET"].sort());
    await browser.get("/delete?name=lang");
    const { user, lang } = await browser.json("/read");
    assert.deepEqual([user, lang], ["Ada", undefined]);
  });

  test("parallel requests that change what was there before do not undo each other", async () => {
    const browser = app().browser();
    await browser.get("/set?a=0&b=0&c=0");
    const slow = app().slow("parallel");
    const late = browser.get("/slow?gate=parallel");
    await slow.arrived.opened;
    await browser.get("/set?a=1");
    await browser.get("/delete?name=c");
    slow.leave.open();
    await late;
    const { a, b, c, slow: saved } = await browser.json("/read");
    assert.deepEqual({ a, b, c, saved }, { a: "1", b: "0", c: undefined, saved: "saved" });
  });

  test("a logout during a slow request is final: the session is lost, the response is not", async () => {
    const browser = app().browser();
    await browser.get("/set?user=Ada");
    const id = idOf(browser);
    const late = browser.clone();
    const slow = app().slow("logout");
    const lost = once(app().store, "lost");
    const response = late.get("/slow?gate=logout");
    await slow.arrived.opened;
    await browser.get("/destroy");
    slow.leave.open();
    assert.equal((await response).status, 200);
    assert.match((await lost)[0].id, /^[0-9a-f]{32}$/);
    assert.equal(await under.client.exists(id), 0);
    assert.equal((await late.json("/read")).user, undefined);
  });

  test("a lock is neither seen nor deleted by requests", async () => {
    const browser = app().browser();
    await browser.get("/set?a=1");
    const id = idOf(browser);
    await gate.pset(id, "\0lock:cart", "1"); // which would be shown if it were none
    assert.equal((await browser.json("/read"))["\0lock:cart"], undefined);
    await browser.get("/delete?name=a");
    await browser.get("/delete?name=%00lock:cart");
    await browser.get("/set?b=2");
    assert.deepEqual(await sent(() => browser.get("/read")), laterRead);
    const all = await gate.pgetall(id);
    assert.equal(String(all.get("\0lock:cart")), "1");
    assert.equal(all.has("a"), false);
    assert.equal(all.has("b"), true);
  });

  test("a response of a session that was ended meanwhile does not take the place of a newer one", async () => {
    const browser = app().browser();
    await browser.get("/set?user=Ada");
    const slow = app().slow("newer");
    const response = browser.get("/slow?gate=newer");
    await slow.arrived.opened;
    await gate.end(idOf(browser));
    await browser.get("/set?user=Grace");
    const newer = idOf(browser);
    slow.leave.open();
    await response;
    assert.equal(idOf(browser), newer);
    assert.equal((await browser.json("/read")).user, "Grace");
  });

  test("owners: whoever has no session to keep ends no other", async (t) => {
    const why = await under.withoutOwners();
    if (why) return t.skip(why);
    const browser = app().browser();
    await browser.get("/login?user=eve");
    for (const keep of [{}, { session: null }, { session: {} }]) {
      await assert.rejects(async () => app().store.endAll("user:eve", { keep }), BadToken);
    }
    assert.equal((await browser.json("/read")).user, "eve");
  });

  test("owners: log in, look at the devices, log out everywhere else", async (t) => {
    const why = await under.withoutOwners();
    if (why) return t.skip(why);
    const browser = app().browser();
    await browser.get("/set?cart=full");
    const former = browser.clone();
    const { user, cart } = await browser.json("/login?user=ada");
    assert.deepEqual([user, cart], ["ada", "full"]);
    assert.notEqual(idOf(browser), idOf(former));
    assert.equal((await browser.json("/read")).id, idOf(browser));
    assert.equal((await former.json("/read")).cart, undefined);
    const other = app().browser();
    await other.get("/login?user=ada");
    const devices = await browser.json("/devices?owner=user:ada");
    assert.deepEqual(
      devices.map((device) => device.current),
      [true, false],
    );
    assert.deepEqual(devices[0].payloads, { user: "ada", cart: "full" });
    assert.equal((await browser.get("/end-all?owner=user:ada")).text, "1");
    assert.equal((await other.json("/read")).user, undefined);
    assert.equal((await browser.json("/read")).user, "ada");
    await app().store.endAll("user:ada");
  });
}
