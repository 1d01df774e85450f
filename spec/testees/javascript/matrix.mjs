// Binding Matrix: names, and the carriers of an event.

import { LIMITS } from './tables.mjs';
import { fromUtf8 } from './encoding.mjs';
import { parseOrdered, writeOrdered } from './ordered.mjs';

const KINDS = { '@': 'u', '!': 'roomid' };
const PLAIN = /[A-Za-z0-9._~!$&'()*+,;=:@-]/;
const EVENT_TYPES = { room: 'm.room.message', direct: 'net.clawnet.direct' };
const CARRIERS = 'net.clawnet.carriers';

/** MX-1, MX-2: the URI of a user id or room id. */
export function matrixUri(id) {
  let opaque = '';
  for (const byte of Buffer.from(id.slice(1))) {
    const char = String.fromCharCode(byte);
    opaque += PLAIN.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return `matrix:${KINDS[id[0]]}/${opaque}`;
}

const member = (value, key) => (value instanceof Map ? value.get(key) : undefined);

function parseEvent(bytes) {
  try {
    return parseOrdered(fromUtf8(bytes) ?? '');
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // no event, so no carriers
    throw error;
  }
}

/** MX-6, MX-7: the bytes of each carrier of an event. */
export function carriersOf(eventBytes, plane) {
  const event = parseEvent(eventBytes);
  const content = member(event, 'content');
  const carriers = member(content, CARRIERS);
  if (member(event, 'type') !== EVENT_TYPES[plane] || event.has('state_key')) return [];
  if (member(member(content, 'm.relates_to'), 'rel_type') === 'm.replace') return [];
  if (member(event, 'unsigned')?.has?.('redacted_because')) return [];
  if (!Array.isArray(carriers) || carriers.length > LIMITS.carriers_per_event) return [];
  return carriers.map((carrier) => Buffer.from(writeOrdered(carrier)));
}
