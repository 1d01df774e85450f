// Chapter 15: HPKE (RFC 9180), base mode, single shot, with the one suite of SEAL-1; and sealed carriers.

import {
  createCipheriv, createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync,
} from 'node:crypto';

import { LIMITS, Fault, demand } from './tables.mjs';
import { fromBase64url, fromUtf8, digest as digestOf, lengthWithin, toBase64url } from './encoding.mjs';
import { readCanonical } from './canonical.mjs';
import { VERSION, demandStrings, isJsonObject, parseJson } from './carrier.mjs';
import { isObject } from './fields.mjs';

const PUBLIC_DER = Buffer.from('302a300506032b656e032100', 'hex');
const PRIVATE_DER = Buffer.from('302e020100300506032b656e04220420', 'hex');
const KEM_SUITE = Buffer.from('KEM\x00\x20', 'latin1');
const HPKE_SUITE = Buffer.from('HPKE\x00\x20\x00\x01\x00\x03', 'latin1');
const CIPHER = 'chacha20-poly1305';
const TAG = { authTagLength: 16 };
const EMPTY = Buffer.alloc(0);

const hmac = (key, ...parts) => createHmac('sha256', key).update(Buffer.concat(parts)).digest();

const extract = (suite, salt, label, secret) =>
  hmac(salt, Buffer.from('HPKE-v1'), suite, Buffer.from(label), secret);

/** LabeledExpand for at most one block of HMAC-SHA256: all that is needed has 32 bytes or less. */
const expand = (suite, key, label, info, length) =>
  hmac(key, Buffer.from([0, length]), Buffer.from('HPKE-v1'), suite, Buffer.from(label), info, Buffer.from([1]))
    .subarray(0, length);

const importPublic = (bytes) =>
  createPublicKey({ key: Buffer.concat([PUBLIC_DER, bytes]), format: 'der', type: 'spki' });
const importSecret = (bytes) =>
  createPrivateKey({ key: Buffer.concat([PRIVATE_DER, bytes]), format: 'der', type: 'pkcs8' });
const exportPublic = (publicKey) => publicKey.export({ format: 'der', type: 'spki' }).subarray(PUBLIC_DER.length);

/** The public bytes of an X25519 secret. */
export const publicOfSecret = (secret) => exportPublic(createPublicKey(importSecret(secret)));

/** The X25519 secret two keys share, or undefined if it is all zero (SEAL-3). */
function shared(privateKey, publicKey) {
  try {
    const secret = diffieHellman({ privateKey, publicKey });
    return secret.some((byte) => byte !== 0) ? secret : undefined;
  } catch {
    return undefined; // OpenSSL gives no all-zero secret out
  }
}

/** RFC 9180 sections 4.1 and 5.1: key and nonce of the one message. */
function schedule(dh, encapsulated, recipient, info) {
  const prk = extract(KEM_SUITE, EMPTY, 'eae_prk', dh);
  const secret = expand(KEM_SUITE, prk, 'shared_secret', Buffer.concat([encapsulated, recipient]), 32);
  const context = Buffer.concat([
    Buffer.from([0]),
    extract(HPKE_SUITE, EMPTY, 'psk_id_hash', EMPTY),
    extract(HPKE_SUITE, EMPTY, 'info_hash', info),
  ]);
  const exporter = extract(HPKE_SUITE, secret, 'secret', EMPTY);
  return [expand(HPKE_SUITE, exporter, 'key', context, 32), expand(HPKE_SUITE, exporter, 'base_nonce', context, 12)];
}

/** SEAL-1, SEAL-2: the sealed text for the 32 public bytes of `recipient`. */
export function seal(recipient, info, plaintext) {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const encapsulated = exportPublic(publicKey);
  const dh = shared(privateKey, importPublic(recipient));
  demand(dh, 'key.invalid');
  const cipher = createCipheriv(CIPHER, ...schedule(dh, encapsulated, recipient, Buffer.from(info)), TAG);
  const ciphertext = cipher.update(plaintext);
  return toBase64url(Buffer.concat([encapsulated, ciphertext, cipher.final(), cipher.getAuthTag()]));
}

/** The plaintext, or undefined if it does not open. */
function tryOpen(secret, info, sealed) {
  const bytes = fromBase64url(sealed);
  if (bytes === undefined || bytes.length < 48) return undefined;
  const encapsulated = bytes.subarray(0, 32);
  const dh = shared(importSecret(secret), importPublic(encapsulated));
  if (dh === undefined) return undefined;
  const keys = schedule(dh, encapsulated, publicOfSecret(secret), Buffer.from(info));
  const decipher = createDecipheriv(CIPHER, ...keys, TAG).setAuthTag(bytes.subarray(-16));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(32, -16)), decipher.final()]);
  } catch {
    return undefined;
  }
}

export function open(secret, info, sealed) {
  const plaintext = tryOpen(secret, info, sealed);
  demand(plaintext, 'sealed.unreadable');
  return plaintext;
}

// TASK-50: what a sealed text in a message has room for.
const PLAINTEXT_BYTES = 23952;

/** TASK-53: the text of a sealed text, checked against `digest` if there is one. */
export function openText(secret, info, sealed, digest) {
  const plaintext = open(secret, info, sealed);
  demand(digest === undefined || digestOf(plaintext) === digest, 'digest.mismatch');
  const salted = readSalted(plaintext);
  demand(salted, 'sealed.unreadable');
  return salted.text;
}

/** TASK-50 */
function readSalted(plaintext) {
  const canonical = plaintext.length <= PLAINTEXT_BYTES ? fromUtf8(plaintext) : undefined;
  if (canonical === undefined) return undefined;
  let value;
  try {
    value = readCanonical(canonical);
  } catch (error) {
    if (error instanceof Fault) return undefined;
    throw error;
  }
  if (!isObject(value) || Object.keys(value).join() !== 'salt,text') return undefined;
  if (typeof value.salt !== 'string' || typeof value.text !== 'string') return undefined;
  return fromBase64url(value.salt)?.length === 16 ? value : undefined; // TERM-2
}

const carrierInfo = (recipient) => `clawnet/1/carrier/${recipient}`;

/** SEAL-6: the sealed carrier's bytes. */
export function sealCarrier(recipientKey, recipient, carrier) {
  const sealed = seal(recipientKey, carrierInfo(recipient), carrier);
  const bytes = Buffer.from(JSON.stringify({ clawnet: VERSION, seal_key: toBase64url(recipientKey), sealed }));
  demand(bytes.length <= LIMITS.carrier_bytes, 'size.carrier');
  return bytes;
}

/** SEAL-9: the bytes inside a sealed carrier; undefined if the text is none and has to be taken as it is. */
export function openCarrier(bytes, me, secrets) {
  const carrier = parseJson(bytes);
  if (!isJsonObject(carrier) || !Object.hasOwn(carrier, 'sealed')) return undefined;
  demandStrings(carrier, ['clawnet', 'seal_key', 'sealed']);
  demand(carrier.clawnet === VERSION, 'version.unsupported');
  const secret = secrets.find((each) => toBase64url(publicOfSecret(each)) === carrier.seal_key);
  const plaintext = secret && tryOpen(secret, carrierInfo(me), carrier.sealed);
  demand(plaintext, 'sealed.unopened');
  return plaintext;
}
