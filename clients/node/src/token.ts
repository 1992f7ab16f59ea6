/**
 * Tokens, as the server makes and checks them.
 *
 *     v1.<id: 16>.<signature: 64>            HMAC-SHA256(sign key, id), in hex
 *     v2.<id: 22>.<signature: 32><pad: 3>    the first half of HMAC-SHA256(sign key, "v2." + id), in hex
 *
 * Ids and pads are drawn uniformly from a-z, A-Z and 0-9.
 */
import {
  createHash,
  createHmac,
  type KeyObject,
  randomFillSync,
  timingSafeEqual,
} from "node:crypto";

/** The form of a token: `v1` has 95 random bits, `v2` 131. */
export type TokenFormat = "v1" | "v2";

interface Form {
  readonly pattern: RegExp;
  readonly idLength: number;
  /** How much of the signature's hex a token carries. */
  readonly signatureLength: number;
  readonly padLength: number;
  /** What stands before the id in the text that is signed. */
  readonly signedPrefix: string;
}

const FORMS: Readonly<Record<TokenFormat, Form>> = {
  v1: {
    pattern: /^v1\.[a-zA-Z0-9]{16}\.[0-9a-f]{64}$/,
    idLength: 16,
    signatureLength: 64,
    padLength: 0,
    signedPrefix: "",
  },
  v2: {
    pattern: /^v2\.[a-zA-Z0-9]{22}\.[0-9a-f]{32}[a-zA-Z0-9]{3}$/,
    idLength: 22,
    signatureLength: 32,
    padLength: 3,
    signedPrefix: "v2.",
  },
};

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const HASH_SLOTS = 16384;

/** Random bytes are drawn 4,096 at a time and used once each. */
const pool = new Uint8Array(4096);
let used = pool.length;

function randomCharacters(count: number): string {
  let drawn = "";
  while (drawn.length < count) {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    const byte = pool[used] as number;
    pool[used++] = 0;
    // Of 256 values the last 8 are thrown away: they would favour the first 8 characters.
    if (byte < 4 * ALPHABET.length) drawn += ALPHABET[byte % ALPHABET.length];
  }
  return drawn;
}

function signature(form: Form, id: string, signKey: KeyObject): string {
  return createHmac("sha256", signKey)
    .update(form.signedPrefix + id)
    .digest("hex")
    .slice(0, form.signatureLength);
}

/** A new token, signed with the key. Its slot in a cluster is as good as random. */
export function mint(format: TokenFormat, signKey: KeyObject): string {
  const form = FORMS[format];
  const id = randomCharacters(form.idLength);
  return `${format}.${id}.${signature(form, id, signKey)}${randomCharacters(form.padLength)}`;
}

/** The form of what may be a token, or undefined when it has neither. */
export function formOf(token: unknown): TokenFormat | undefined {
  if (typeof token !== "string") return undefined;
  if (FORMS.v2.pattern.test(token)) return "v2";
  if (FORMS.v1.pattern.test(token)) return "v1";
  return undefined;
}

/** Which of the keys signed a token of that form: its position, or -1. Each is compared in constant time. */
export function signedBy(
  token: string,
  format: TokenFormat,
  signKeys: readonly KeyObject[],
): number {
  const form = FORMS[format];
  const id = token.slice(3, 3 + form.idLength);
  const start = 4 + form.idLength;
  const given = Buffer.from(token.slice(start, start + form.signatureLength), "latin1");
  return signKeys.findIndex((signKey) =>
    timingSafeEqual(given, Buffer.from(signature(form, id, signKey), "latin1")),
  );
}

/** A name for a session that may be shown and logged: 32 hex digits, from which nobody finds the token. */
export function publicId(token: string): string {
  return createHash("sha256").update(token).digest("hex").slice(0, 32);
}

const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});

/** The hash slot of a key in a cluster (CRC16, XMODEM), hash tags counted. */
export function slotOf(key: string): number {
  const bytes = Buffer.from(key);
  const open = bytes.indexOf("{");
  const close = open < 0 ? -1 : bytes.indexOf("}", open + 1);
  const hashed = close > open + 1 ? bytes.subarray(open + 1, close) : bytes;
  let crc = 0;
  for (const byte of hashed)
    crc = ((crc << 8) ^ (CRC16[((crc >> 8) ^ byte) & 0xff] as number)) & 0xffff;
  return crc % HASH_SLOTS;
}
