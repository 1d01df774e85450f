// Chapter 05: what is signed, and strict verification.

import { verify as ed25519Verify } from 'node:crypto';

import { demand } from './tables.mjs';
import { L, isOfLowOrder, littleEndian, yOf } from './curve.mjs';

export const ENVELOPE_TYPE = 'application/vnd.clawnet.envelope.v1+json';

/** SIG-1: the DSSE pre-authentication encoding. */
export function preAuthentication(payloadType, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `), payload]);
}

/**
 * SIG-4, for a key that has passed ID-6. OpenSSL decides the equation, without cofactor and by comparing bytes. It
 * takes an R of low order, so that is checked here; so is S, for not every version of it does.
 */
export function verifySignature(key, signature, data) {
  demand(signature.length === 64, 'signature.malformed');
  demand(littleEndian(signature.subarray(32)) < L, 'signature.invalid');
  demand(!isOfLowOrder(yOf(signature.subarray(0, 32))), 'signature.invalid');
  demand(ed25519Verify(null, data, key.handle, signature), 'signature.invalid');
}
