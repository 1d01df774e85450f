package main

// Chapter 05: what is signed, and strict verification.

import (
	"crypto/ed25519"
	"strconv"
)

const envelopeType = "application/vnd.clawnet.envelope.v1+json"

func signBytes(seed, signed []byte) (public, signature []byte) {
	key := ed25519.NewKeyFromSeed(seed)
	return key.Public().(ed25519.PublicKey), ed25519.Sign(key, signed)
}

// encoding is the DSSE pre-authentication encoding of SIG-1.
func encoding(payloadType, payload string) []byte {
	out := make([]byte, 0, len(payloadType)+len(payload)+32)
	out = append(out, "DSSEv1 "...)
	out = append(strconv.AppendInt(out, int64(len(payloadType)), 10), ' ')
	out = append(append(out, payloadType...), ' ')
	out = append(strconv.AppendInt(out, int64(len(payload)), 10), ' ')
	return append(out, payload...)
}

// checkSignature is SIG-4 for a key that passed ID-6, and a signature in base64url.
func checkSignature(public []byte, signature string, signed []byte) error {
	bytes, ok := decodeSized(signature, ed25519.SignatureSize)
	if !ok {
		return fault("signature.malformed")
	}
	return verifySignature(public, bytes, signed)
}

// verifySignature leaves to the library what it does as SIG-4 says: it refuses an S that is not reduced, and
// compares the bytes of [S]B - [k]A with R. Low order it knows nothing of.
func verifySignature(public, signature, signed []byte) error {
	if len(signature) != ed25519.SignatureSize {
		return fault("signature.malformed")
	}
	if lowOrder(encodedY(signature[:32])) || !ed25519.Verify(public, signed, signature) {
		return fault("signature.invalid")
	}
	return nil
}
