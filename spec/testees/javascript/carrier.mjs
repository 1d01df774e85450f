// Chapter 02 and SIG-8: the small JSON object that travels, unverified.

import { LIMITS, Fault, demand } from './tables.mjs';
import { fromUtf8 } from './encoding.mjs';

/** The one protocol version spoken here. */
export const VERSION = '1';

/** The value of a carrier's text. JSON.parse takes the last of equal members, as MSG-4 says. */
export function parseJson(bytes) {
  demand(bytes.length <= LIMITS.carrier_bytes, 'size.carrier');
  const text = fromUtf8(bytes);
  demand(text !== undefined, 'carrier.not_json');
  try {
    return JSON.parse(text); // refuses a byte order mark; is not recursive, so depth does not matter
  } catch {
    throw new Fault('carrier.not_json');
  }
}

export const isJsonObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** MSG-3, SEAL-9.2: an object of exactly these members, each a string of Unicode scalar values. */
export function demandStrings(value, names) {
  demand(isJsonObject(value) && Object.keys(value).length === names.length, 'carrier.malformed');
  for (const name of names) {
    demand(Object.hasOwn(value, name) && typeof value[name] === 'string', 'carrier.malformed');
    demand(value[name].isWellFormed(), 'carrier.malformed');
  }
}

/** The stages *size* and *carrier*: the four texts, and the bytes of `env` as `payload`. */
export function readCarrier(bytes) {
  const carrier = parseJson(bytes);
  demandStrings(carrier, ['clawnet', 'kid', 'env', 'sig']);
  const payload = Buffer.from(carrier.env);
  demand(payload.length <= LIMITS.envelope_bytes, 'size.envelope');
  return { ...carrier, payload };
}
