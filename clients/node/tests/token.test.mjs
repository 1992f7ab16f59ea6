import assert from "node:assert/strict";
import { createSecretKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { BadSignature, BadToken, Gate } from "sessiongate";

const require = createRequire(import.meta.url);
const { mint, slotOf } = require("../dist/token.js");
const vectors = JSON.parse(readFileSync(new URL("../../testing/vectors.json", import.meta.url)));

/** A client that fails the test when it is used: what is tested here costs no round trip. */
const unused = { isOpen: true, sendCommand: () => assert.fail("a round trip") };
const gateOf = (hex) => new Gate(unused, { signKeys: [Buffer.from(hex, "hex")] });

describe("the vectors that all clients share", () => {
  for (const { what, sign_key_hex: key, token, form } of vectors.good) {
    test(`good: ${form}, ${what}`, () => {
      assert.deepEqual(gateOf(key).verify(token), { position: 0, form });
    });
  }

  for (const { what, sign_key_hex: key, token_hex: hex, error } of vectors.bad) {
    test(`bad: ${what}`, async () => {
      const bytes = Buffer.from(hex, "hex");
      const token = bytes.toString("utf8");
      const expected = { BADTOKEN: BadToken, BADSIGNATURE: BadSignature }[error];
      assert.equal(gateOf(key).verify(token), undefined);
      await assert.rejects(gateOf(key).pget(token, "name"), expected);
    });
  }

  for (const { token, slot } of vectors.slots) {
    test(`slot ${slot}`, () => assert.equal(slotOf(token), slot));
  }
});

test("hash tags count as the server counts them", () => {
  assert.equal(slotOf("123456789"), 0x31c3);
  assert.equal(slotOf("{user1000}.following"), slotOf("user1000"));
  assert.notEqual(slotOf("foo{}{bar}"), slotOf("bar"));
  assert.equal(slotOf("foo{{bar}}"), slotOf("{bar"));
});

test("a sign key given as text is its UTF-8", () => {
  const token = new Gate(unused, { signKeys: ["Schlüssel"] }).mint();
  assert.ok(new Gate(unused, { signKeys: [Buffer.from("Schlüssel")] }).verify(token));
});

test("of several sign keys the one that fits is found, and new tokens are signed with the first", () => {
  const [first, second] = ["first", "second"].map((key) =>
    new Gate(unused, { signKeys: [key] }).mint(),
  );
  const gate = new Gate(unused, { signKeys: ["first", "second"] });
  assert.equal(gate.verify(first)?.position, 0);
  assert.equal(gate.verify(second)?.position, 1);
  assert.equal(gate.verify(gate.mint())?.position, 0);
});

test("what is no string is no token", async () => {
  const gate = gateOf("00");
  for (const value of [undefined, null, 0, {}, [gate.mint()], Buffer.from(gate.mint())]) {
    assert.equal(gate.verify(value), undefined);
    await assert.rejects(gate.info(value), BadToken);
  }
});

for (const form of ["v1", "v2"]) {
  test(`${form} tokens are minted with every character of the alphabet alike, and none twice`, () => {
    const key = createSecretKey(Buffer.from("key"));
    const tokens = new Set();
    const counts = new Map();
    for (let i = 0; i < 20_000; i++) {
      const token = mint(form, key);
      tokens.add(token);
      for (const c of token.split(".")[1]) counts.set(c, (counts.get(c) ?? 0) + 1);
    }
    assert.equal(tokens.size, 20_000);
    assert.equal(counts.size, 62);
    const expected = (20_000 * (form === "v1" ? 16 : 22)) / 62;
    let chi = 0;
    for (const count of counts.values()) chi += (count - expected) ** 2 / expected;
    assert.ok(chi < 150, `chi-square of 61 degrees of freedom: ${chi}`); // 1e-9 of honest runs exceed it
  });
}

test("options that make no sense are refused where the gate is made", () => {
  const wrong = [
    [{}, /signKeys/],
    [{ signKeys: [] }, /signKeys/],
    [{ signKeys: "key" }, /signKeys/],
    [{ signKeys: [""] }, /sign key/],
    [{ signKeys: [7] }, /sign key/],
    [{ signKeys: ["key"], ttl: 0 }, /ttl/],
    [{ signKeys: ["key"], ttl: 1.5 }, /ttl/],
    [{ signKeys: ["key"], maxTtl: -1 }, /maxTtl/],
    [{ signKeys: ["key"], refresh: "60" }, /refresh/],
    [{ signKeys: ["key"], tokenFormat: "v3" }, /tokenFormat/],
  ];
  for (const [options, message] of wrong) {
    assert.throws(() => new Gate(unused, options), { code: "ERR", message });
  }
  assert.throws(() => new Gate({}, { signKeys: ["key"] }), TypeError);
  assert.throws(() => new Gate(undefined, { signKeys: ["key"] }), TypeError);
});
