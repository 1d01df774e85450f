// Key pairs as actors have them: RSA for the signatures of requests, Ed25519 for proofs.

const RSA = {
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: "SHA-256",
};

/** Two fresh key pairs, in the order in which Fedify looks for one: RSA, Ed25519. */
export async function newKeyPairs() {
  return Promise.all([RSA, "Ed25519"].map((kind) => crypto.subtle.generateKey(kind, true, ["sign", "verify"])));
}
