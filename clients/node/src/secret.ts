/**
 * A sign key on its way to the server: bytes that a driver can write and nobody can print.
 *
 * Drivers keep the arguments of a command in their errors and log them; what they print of these bytes,
 * by util.inspect, as text, hex, base64 or JSON, is the words `[sign key]`.
 */
import { inspect } from "node:util";

const SHOWN = "[sign key]";

const hidden = Object.create(Buffer.prototype, {
  toString: { value: () => SHOWN },
  toLocaleString: { value: () => SHOWN },
  toJSON: { value: () => SHOWN },
  [inspect.custom]: { value: () => SHOWN },
});

/** A copy of the bytes that does not show what it holds. */
export function secret(bytes: Uint8Array): Buffer {
  const copy = Buffer.alloc(bytes.length); // memory of its own: a slice of the pool would show by `.buffer`
  copy.set(bytes);
  Object.setPrototypeOf(copy, hidden);
  return copy;
}
