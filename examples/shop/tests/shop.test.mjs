// What a visitor sees, in a real browser; the same for each server. ../test runs it.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const TOP = fileURLToPath(new URL("../../../", import.meta.url));
const TOKEN = /v2\.[A-Za-z0-9]{22}\.[0-9a-f]{32}[A-Za-z0-9]{3}/;
/** With a profile that is empty, and removed afterwards. */
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"].concat([
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ]),
});
after(() => browser.close());
process.once("SIGTERM", () => process.exit(1));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** run.sh with a shop, in a directory of its own. */
class Shop {
  static async start(name) {
    const shop = new Shop();
    shop.directory = mkdtempSync(join(tmpdir(), "sessiongate-shop-"));
    const [port, shopPort] = [await freePort(), await freePort()];
    shop.url = `http://127.0.0.1:${shopPort}`;
    const options = ["--shop", name, "--port", port, "--shop-port", shopPort, "--dir", shop.directory];
    shop.process = spawn(join(TOP, "run.sh"), options, { stdio: ["ignore", "pipe", "pipe"] });
    process.once("exit", () => shop.process.kill()); // should the tests end otherwise than they ought to
    shop.printed = "";
    shop.ended = new Promise((resolve) => shop.process.once("close", resolve));
    const ready = new Promise((resolve) => {
      const hear = (some) => {
        shop.printed += some;
        if (shop.printed.includes("Ctrl-C stops")) resolve();
      };
      shop.process.stdout.on("data", hear);
      shop.process.stderr.on("data", hear);
    });
    await Promise.race([ready, shop.ended.then(() => assert.fail(`run.sh ended: ${shop.printed}`))]);
    return shop;
  }

  async stop() {
    this.process.kill("SIGINT");
    const status = await this.ended;
    rmSync(this.directory, { recursive: true });
    return status;
  }
}

/** Somebody with cookies and storage of his own, and his page. */
class Visitor {
  static async come(url) {
    const visitor = new Visitor();
    visitor.context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
    visitor.page = await visitor.context.newPage();
    visitor.complaints = [];
    visitor.page.on("console", (said) => {
      if (said.type() === "error" || said.type() === "warning") visitor.complaints.push(said.text());
    });
    visitor.page.on("pageerror", (error) => visitor.complaints.push(error.message));
    await visitor.page.goto(url);
    await visitor.rest();
    return visitor;
  }

  /** Waits until the page has shown what the last click led to. */
  rest() {
    return this.page.waitForSelector('body[aria-busy="false"]');
  }

  async click(name) {
    await this.page.getByRole("button", { name, exact: true }).click();
    await this.rest();
  }

  async login(user) {
    await this.page.fill("input[name=user]", user);
    await this.page.fill("input[name=password]", "demo");
    await this.click("Log in");
  }

  async text(selector) {
    return (await this.page.innerText(selector)).trim();
  }

  texts(selector) {
    return this.page.locator(selector).allInnerTexts();
  }

  /** GET, or with a body POST, with this visitor's cookie: what the page's own requests get. */
  ask(path, body, type = "application/json") {
    const options = { method: body === undefined ? "GET" : "POST", headers: { "content-type": type } };
    if (body !== undefined) options.data = Buffer.from(body);
    return this.context.request.fetch(new URL(`/api/${path}`, this.page.url()).href, options);
  }

  async json(path) {
    return (await this.ask(path)).json();
  }

  async cookie() {
    return (await this.context.cookies()).find(({ name }) => name === "session");
  }

  leave() {
    return this.context.close();
  }
}

/** The colours of a screenshot, counted in the browser that made it. */
function colours(page, png) {
  return page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
    return { width: image.width, colours: new Set(pixels).size };
  }, png.toString("base64"));
}

for (const name of process.env.SHOPS?.split(" ") ?? ["express", "django", "go"]) {
  const installed = spawnSync(join(TOP, "examples/shop/serve"), ["--install", name], { encoding: "utf8" });
  const skip = installed.status === 77 && installed.stderr.trim().split("\n").at(-1);
  if (skip) console.log(`skipped ${name}: ${skip}`);

  describe(name, { skip }, () => {
    let shop;
    let ada; // a visitor; the tests are her visit, in its order
    let second; // her other device

    before(async () => {
      assert.equal(installed.status, 0, installed.stderr);
      shop = await Shop.start(name);
    });

    after(async () => {
      await ada?.leave();
      await second?.leave();
      await shop?.stop();
    });

    test("a first visit has no session and no cookie", async () => {
      ada = await Visitor.come(shop.url);
      assert.deepEqual(await ada.json("session"), {
        user: null,
        cart: {},
        flash: null,
        ttl: null,
        token: null,
      });
      assert.equal(await ada.cookie(), undefined);
      assert.ok(await ada.page.isVisible("#none"));
      assert.ok(await ada.page.isDisabled("#tabs"));
    });

    test("the first item starts the session, and the cart counts", async () => {
      await ada.click("Add: Green tea");
      await ada.click("Add: Green tea");
      await ada.click("Add: A cup");
      const { cart, ttl, token } = await ada.json("session");
      assert.deepEqual(cart, { tea: 2, cup: 1 });
      assert.ok(ttl > 500 && ttl <= 600, `ttl ${ttl}`);
      assert.match(token, /^v2\.[A-Za-z0-9]{7}$/);
      assert.deepEqual(await ada.texts("#goods b"), ["× 2", "", "", "× 1"]);
    });

    test("the page shows the session: its life, its payloads with their sizes, its token's anatomy", async () => {
      const { token } = await ada.json("session");
      assert.match(await ada.text("#ttl"), /^(9:\d\d|10:00)$/);
      assert.ok((await ada.page.locator("#life").evaluate((life) => life.value)) > 500);
      const rows = await ada.texts("#payloads li");
      assert.equal(rows.filter((row) => /^item:[0-9a-f]{8}\s+5$/.test(row)).length, 3); // "tea" and "cup", quoted
      assert.match(await ada.text("#token .id b"), new RegExp(`^${token.slice(3)}•{15}$`));
      assert.ok(Number(await ada.text("#counters div:first-child dd")) >= 1);
    });

    test("the life of the session runs down while nobody uses it, and is restored", async () => {
      const shown = await ada.text("#ttl");
      await ada.page.waitForFunction((was) => document.getElementById("ttl").textContent !== was, shown);
      await ada.page.waitForFunction(() => document.getElementById("life").value < 593);
      await ada.click("Add: Coffee");
      assert.match(await ada.text("#refreshed"), /^restored from 9:\d\d$/);
      assert.ok((await ada.page.locator("#life").evaluate((life) => life.value)) > 596);
    });

    test("only JSON is read, and only what is meant", async () => {
      for (const path of ["cart", "login", "logout", "devices/end-others", "devices/x/end", "kill"]) {
        assert.equal(
          (await ada.ask(path, "item=tea", "application/x-www-form-urlencoded")).status(),
          415,
          path,
        );
      }
      for (const body of ["{", "[]", JSON.stringify({ item: "tea".repeat(1000) })]) {
        assert.equal((await ada.ask("cart", body)).status(), 400, body.slice(0, 10));
      }
      assert.equal((await ada.ask("cart", '{"item":"gold"}')).status(), 400);
      assert.equal((await ada.ask("login", '{"user":"ada","password":"guess"}')).status(), 401);
      assert.equal((await ada.ask("devices")).status(), 401);
      assert.deepEqual((await ada.json("session")).cart, { tea: 2, cup: 1, coffee: 1 });
    });

    test("parallel requests that add the same item lose none", async () => {
      const added = await Promise.all(Array.from({ length: 8 }, () => ada.ask("cart", '{"item":"honey"}')));
      assert.deepEqual(
        added.map((response) => response.status()),
        Array(8).fill(200),
      );
      assert.equal((await ada.json("session")).cart.honey, 8);
    });

    test("a login keeps the cart, under a new token, and is greeted once", async () => {
      const former = await ada.cookie();
      await ada.login("ada");
      assert.equal(await ada.text("#flash"), "Welcome, ada");
      assert.equal(await ada.text("#user"), "ada");
      const { user, cart, flash } = await ada.json("session");
      assert.deepEqual(
        { user, cart, flash },
        { user: "ada", cart: { tea: 2, cup: 1, coffee: 1, honey: 8 }, flash: null },
      );
      assert.notEqual((await ada.cookie()).value, former.value);
      await ada.page.reload();
      await ada.rest();
      assert.ok(await ada.page.isHidden("#flash"));
      const old = await fetch(`${shop.url}/api/session`, { headers: { cookie: `session=${former.value}` } });
      assert.equal((await old.json()).token, null);
    });

    test("the cookie is HttpOnly and SameSite=Lax, and no script, page or storage has the token", async () => {
      const { httpOnly, sameSite, secure, value } = await ada.cookie();
      assert.deepEqual({ httpOnly, sameSite, secure }, { httpOnly: true, sameSite: "Lax", secure: false });
      const [token] = TOKEN.exec(decodeURIComponent(value));
      const seen = await ada.page.evaluate(() =>
        [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join(),
      );
      const html = await ada.page.content();
      for (const text of [seen, html]) {
        assert.ok(!text.includes(token.slice(0, 11)));
        assert.doesNotMatch(text, TOKEN);
      }
      assert.match(html, new RegExp(token.slice(3, 10)));
    });

    test("a second browser is a second device", async () => {
      second = await Visitor.come(shop.url);
      await second.login("ada");
      await ada.page.reload();
      await ada.rest();
      const devices = await ada.json("devices");
      assert.deepEqual(
        devices.map(({ current }) => current),
        [true, false],
      );
      for (const { id, started, agent } of devices) {
        assert.doesNotMatch(id, TOKEN);
        assert.ok(Math.abs(Date.now() - started) < 600_000);
        assert.ok(agent.includes("Chrome"));
      }
      assert.equal(await ada.page.locator("#devices li").count(), 2);
    });

    test("nobody ends what is not his own", async () => {
      const [{ id }] = await ada.json("devices");
      const bob = await Visitor.come(shop.url);
      await bob.login("bob");
      assert.equal((await bob.ask(`devices/${id}/end`, "{}")).status(), 404);
      assert.equal((await ada.json("session")).user, "ada");
      await bob.leave();
    });

    test("a device is ended from the other", async () => {
      await ada.click("End");
      assert.equal(await ada.page.locator("#devices li").count(), 1);
      await second.page.reload();
      await second.rest();
      assert.ok(await second.page.isVisible("#login"));
      assert.equal((await second.json("session")).token, null);
    });

    test("all others are ended at once", async () => {
      await second.login("ada");
      await ada.page.reload();
      await ada.rest();
      await ada.click("End all others");
      assert.equal((await ada.json("devices")).length, 1);
      assert.equal((await second.json("session")).user, null);
    });

    test("two tabs at once: both writes are kept", async () => {
      const { cart } = await ada.json("session");
      await ada.click("Two tabs at once");
      const said = await ada.texts("#tabs-said li");
      assert.deepEqual(said.slice(1, 3), ["One writes tea: OK", "One writes honey: OK"]);
      const now = (await ada.json("session")).cart;
      assert.deepEqual(now, { ...cart, tea: cart.tea + 1, honey: cart.honey + 1 });
      assert.equal(said[3], "In the cart: 12 before, 14 now.");
    });

    for (const width of [400, 1200]) {
      test(`at ${width} pixels nothing is cut off, and the picture is not blank`, async () => {
        for (const colorScheme of ["light", "dark"]) {
          await ada.page.emulateMedia({ colorScheme });
          await ada.page.setViewportSize({ width, height: 900 });
          const overflow = await ada.page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          assert.equal(overflow, 0);
          const path =
            process.env.SCREENSHOTS && `${process.env.SCREENSHOTS}/${name}-${width}-${colorScheme}.png`;
          const png = await ada.page.screenshot({ fullPage: true, path: path || undefined });
          const seen = await colours(ada.page, png);
          assert.equal(seen.width, width);
          assert.ok(seen.colours > 50, `${seen.colours} colours`);
        }
      });
    }

    test("kill Redis: still logged in, with all in the cart", async () => {
      const was = await ada.json("server");
      await ada.click("Kill Redis");
      const said = await ada.texts("#kill-said li");
      assert.match(
        said[1],
        new RegExp(`^Process ${was.process_id} is dead; \\d+ serves, [\\d.]+ s later\\.$`),
      );
      assert.equal(said[2], "Still logged in as ada; 14 in the cart.");
      const is = await ada.json("server");
      assert.notEqual(is.process_id, was.process_id);
      assert.equal(is.sessions_live, was.sessions_live);
    });

    test("a late request: NOSESSION, and nothing comes back", async () => {
      await ada.click("A late request");
      assert.deepEqual(await ada.texts("#late-said li"), [
        "A request reads the session, and waits a second.",
        "Meanwhile another logs out: OK",
        "The first one writes honey: NOSESSION",
        "Nothing came back: no session, no cart.",
      ]);
      await ada.page.reload();
      await ada.rest();
      assert.ok(await ada.page.isVisible("#login"));
      assert.equal((await ada.json("session")).token, null);
    });

    test("a logout ends the session", async () => {
      await ada.login("ada");
      const { value } = await ada.cookie();
      await ada.click("Log out");
      assert.ok(await ada.page.isVisible("#login"));
      const old = await fetch(`${shop.url}/api/session`, { headers: { cookie: `session=${value}` } });
      assert.equal((await old.json()).user, null);
    });

    test("the browser's console had nothing to complain of", () => {
      assert.deepEqual(ada.complaints, []);
      assert.deepEqual(second.complaints, []);
    });

    test("Ctrl-C ends the shop and Redis", async () => {
      const { process_id } = await ada.json("server");
      assert.equal(await shop.stop(), 0, shop.printed);
      shop = undefined;
      await assert.rejects(fetch(ada.page.url()));
      assert.throws(() => process.kill(process_id, 0), { code: "ESRCH" });
    });
  });
}

test("Redis that ends otherwise than by the button is not started again, and the shop ends with it", async () => {
  const shop = await Shop.start("express");
  const { process_id } = await (await fetch(`${shop.url}/api/server`)).json();
  process.kill(process_id, "SIGKILL");
  assert.equal(await shop.ended, 1);
  assert.match(shop.printed, /^run\.sh: the server ended by itself/m);
  await assert.rejects(fetch(shop.url));
  await shop.stop();
});
