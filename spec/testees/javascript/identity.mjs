// Chapter 04, first half: keys, `did:key`, commitments and the proof of a chain.

import { createPrivateKey, createPublicKey, sign as ed25519Sign } from 'node:crypto';

import { Fault, demand } from './tables.mjs';
import { digest, fromBase64url, remembering, toBase64url } from './encoding.mjs';
import { P, isOfLowOrder, isOnCurve, yOf } from './curve.mjs';
import { writeCanonical } from './canonical.mjs';
import { preAuthentication, verifySignature } from './signature.mjs';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const DID = /^did:key:z([1-9A-HJ-NP-Za-km-z]{47})$/;
const MULTICODEC = 'ed01';
const PUBLIC_DER = Buffer.from('302a300506032b6570032100', 'hex');
const PRIVATE_DER = Buffer.from('302e020100300506032b657004220420', 'hex');
const COMMITMENT_TYPE = 'application/vnd.clawnet.commitment.v1+json';

const openKey = remembering(4096, (text) => {
  const bytes = Buffer.from(text, 'base64url');
  const y = yOf(bytes);
  demand(y < P && !isOfLowOrder(y) && isOnCurve(y), 'key.invalid');
  return { bytes, handle: createPublicKey({ key: Buffer.concat([PUBLIC_DER, bytes]), format: 'der', type: 'spki' }) };
});

/** ID-6: the public key of 32 bytes, as `{ bytes, handle }`. OpenSSL itself would take points that are none. */
export const publicKey = (bytes) => openKey(toBase64url(bytes));

/** ID-4: the did of 32 public bytes. */
export function encodeDid(bytes) {
  let number = BigInt(`0x${MULTICODEC}${Buffer.from(bytes).toString('hex')}`);
  let text = '';
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  return `did:key:z${text}`;
}

/** ID-5, ID-6: the public key that a did names. */
export const decodeDid = remembering(4096, (did) => {
  const digits = DID.exec(did)?.[1];
  demand(digits !== undefined, 'key.malformed');
  let number = 0n;
  for (const digit of digits) number = number * 58n + BigInt(ALPHABET.indexOf(digit));
  const hex = number.toString(16).padStart(68, '0');
  demand(hex.length === 68 && hex.startsWith(MULTICODEC), 'key.malformed');
  return publicKey(Buffer.from(hex.slice(4), 'hex'));
});

/** The key pair of a seed: its did and what signs with it. */
export function keyPair(seed) {
  const handle = createPrivateKey({ key: Buffer.concat([PRIVATE_DER, seed]), format: 'der', type: 'pkcs8' });
  const bytes = createPublicKey(handle).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_DER.length);
  return { did: encodeDid(bytes), sign: (data) => ed25519Sign(null, data, handle) };
}

/** ID-19: the bytes that a commitment signs. */
function commitmentBytes(generation, identity, nextBytes) {
  const payload = { generation, identity, next_key_digest: digest(nextBytes) };
  return preAuthentication(COMMITMENT_TYPE, Buffer.from(writeCanonical(payload)));
}

export const commit = (seed, generation, identity, nextBytes) =>
  toBase64url(keyPair(seed).sign(commitmentBytes(generation, identity, nextBytes)));

/** ID-20, ID-23: that `chain` leads from `sender` to `kid`. */
export function proveChain(sender, kid, chain) {
  const keys = [sender];
  try {
    for (const [index, link] of chain.entries()) {
      demand(!keys.includes(link.key), 'identity.broken_chain');
      const next = decodeDid(link.key);
      const signature = fromBase64url(link.commitment);
      demand(signature, 'identity.broken_chain');
      verifySignature(decodeDid(keys.at(-1)), signature, commitmentBytes(index + 1, sender, next.bytes));
      keys.push(link.key);
    }
  } catch (error) {
    // What a link breaks as a key or signature breaks the chain.
    throw error instanceof Fault ? new Fault('identity.broken_chain') : error;
  }
  demand(keys.at(-1) === kid, 'identity.broken_chain');
}
