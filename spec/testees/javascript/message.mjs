// SIG-6: the order of checks, from a carrier's bytes to a verified message, and on to its arrival.

import { TYPES, demand } from './tables.mjs';
import { digest, fromBase64url, fromUtf8, toBase64url } from './encoding.mjs';
import { BODIES, Envelope } from './bodies.mjs';
import { VERSION, readCarrier } from './carrier.mjs';
import { readCanonical } from './canonical.mjs';
import { decodeDid, keyPair } from './identity.mjs';
import { OWN_RULES } from './rules.mjs';
import { openCarrier } from './sealing.mjs';
import { ENVELOPE_TYPE, preAuthentication, verifySignature } from './signature.mjs';

/** The stages *size* to *critical*: the message `{ id, envelope }`. */
export function verifyCarrier(bytes) {
  const { clawnet, kid, env, sig, payload } = readCarrier(bytes);
  demand(clawnet === VERSION, 'version.unsupported');
  const key = decodeDid(kid);
  const signature = fromBase64url(sig);
  demand(signature?.length === 64, 'signature.malformed');
  const signed = preAuthentication(ENVELOPE_TYPE, payload);
  verifySignature(key, signature, signed);
  // SIG-7: nothing of `env` was parsed before this line.
  return { id: digest(signed), envelope: readEnvelope(env, kid) };
}

/** The stages *canonical* to *critical*. */
function readEnvelope(env, kid) {
  const envelope = readCanonical(env);
  demand(Envelope(envelope), 'schema.envelope');
  demand(envelope.clawnet === VERSION && envelope.kid === kid, 'carrier.mismatch');
  const row = TYPES.get(envelope.type);
  demand(row !== undefined, 'type.unknown');
  demand(BODIES.get(envelope.type)(envelope.body), 'schema.body');
  demand(fitsRow(envelope, row), 'schema.body');
  OWN_RULES.get(envelope.type)?.(envelope);
  // MSG-27, VER-9: no extension is implemented, so none may be critical.
  demand(!Object.hasOwn(envelope, 'critical'), 'critical.unsupported');
  return envelope;
}

/** MSG-18, MSG-19 */
function fitsRow({ recipients, thread, answers }, row) {
  if (row.recipients === 'none' && recipients) return false;
  if (row.recipients === 'one' && recipients?.length !== 1) return false;
  return (row.thread === 'required') === (thread !== undefined)
    && (row.answers === 'required') === (answers !== undefined);
}

/** ERR-6, then SIG-2: the carrier's bytes and the id of a message of our own. */
export function signEnvelope(seed, payload) {
  const pair = keyPair(seed);
  const env = fromUtf8(payload);
  demand(env !== undefined, 'carrier.not_json');
  const carrier = { clawnet: VERSION, kid: pair.did, env, sig: 'A'.repeat(86) };
  readCarrier(Buffer.from(JSON.stringify(carrier)));
  readEnvelope(env, pair.did);
  const signed = preAuthentication(ENVELOPE_TYPE, payload);
  carrier.sig = toBase64url(pair.sign(signed));
  return { carrier: Buffer.from(JSON.stringify(carrier)), id: digest(signed) };
}

/**
 * The stages *opening* to *time*, at `now` for the peer `me`. `place` says where the carrier came: its `plane`, the
 * `room` if that is a room, and the `rooms` the peer is in.
 */
export function arrive(bytes, { plane, room, rooms }, me, now, secrets) {
  const inner = plane === 'direct' ? openCarrier(bytes, me, secrets) : undefined;
  const message = verifyCarrier(inner ?? bytes);
  const { envelope } = message;
  demandPlane(envelope, plane);
  demand(plane === 'room' ? envelope.room === room : rooms.includes(envelope.room), 'room.mismatch');
  demand(!envelope.recipients || envelope.recipients.includes(me), 'recipient.other');
  demandLifetime(envelope);
  demand(envelope.sent_ms <= now + TYPES.get(envelope.type).skew_ms, 'time.future');
  demand(envelope.expires_ms > now, 'time.expired');
  return message;
}

/** SIG-10 */
export function demandPlane({ type }, plane) {
  demand(TYPES.get(type).planes.includes(plane), 'plane.mismatch');
}

/** SIG-13 */
export function demandLifetime({ type, sent_ms: sent, expires_ms: expires }) {
  demand(expires > sent && expires - sent <= TYPES.get(type).lifetime_ms, 'time.lifetime');
}
