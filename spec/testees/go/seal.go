package main

// Chapter 15: sealing, and the sealed texts of TASK-50.

import (
	"crypto/ecdh"
	"crypto/hpke"
)

const saltBytes = 16

// maxPlaintext is what TASK-50 leaves room for.
const maxPlaintext = 23952

// sealText is SEAL-1. The library refuses a key for which X25519 gives zero (SEAL-3).
func sealText(public []byte, info string, plaintext []byte) (string, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(public)
	if err != nil {
		return "", fault("key.invalid")
	}
	sealed, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info), plaintext)
	if err != nil {
		return "", fault("key.invalid")
	}
	return encodeBytes(sealed), nil
}

func openSealed(secret []byte, info, sealed string) ([]byte, bool) {
	bytes, ok := decodeBytes(sealed)
	key, err := ecdh.X25519().NewPrivateKey(secret)
	if !ok || err != nil {
		return nil, false
	}
	opener, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, false
	}
	plaintext, err := hpke.Open(opener, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(info), bytes)
	return plaintext, err == nil
}

// openText is TASK-53; expected is nil where no digest stands beside the sealed text.
func openText(secret []byte, info, sealed string, expected any) (string, error) {
	plaintext, ok := openSealed(secret, info, sealed)
	if !ok {
		return "", fault("sealed.unreadable")
	}
	if expected != nil && digest(plaintext) != expected {
		return "", fault("digest.mismatch")
	}
	value, err := readCanonical(string(plaintext))
	members, ok := value.(object)
	if err != nil || !ok || len(members) != 2 || len(plaintext) > maxPlaintext {
		return "", fault("sealed.unreadable")
	}
	text, ok := members[1].value.(string)
	salt, _ := members[0].value.(string)
	if _, salted := decodeSized(salt, saltBytes); !ok || !salted || members[0].key != "salt" || members[1].key != "text" {
		return "", fault("sealed.unreadable")
	}
	return text, nil
}

func carrierInfo(recipient string) string { return "clawnet/1/carrier/" + recipient }

func sealCarrier(public []byte, recipient, carrier string) ([]byte, error) {
	sealed, err := sealText(public, carrierInfo(recipient), []byte(carrier))
	if err != nil {
		return nil, err
	}
	text := appendJSON(nil, object{{"clawnet", version}, {"seal_key", encodeBytes(public)}, {"sealed", sealed}})
	if len(text) > limits.CarrierBytes {
		return nil, fault("size.carrier")
	}
	return text, nil
}

// openCarrier is SEAL-9: it gives the carrier inside a sealed one, and any other text as it is.
func openCarrier(text, me string, secrets [][]byte) (string, error) {
	if len(text) > limits.CarrierBytes {
		return "", fault("size.carrier")
	}
	value, _ := parseJSON(text)
	if members, ok := value.(object); !ok || !members.has("sealed") {
		return text, nil
	}
	carrier, err := readCarrier(text, "clawnet", "seal_key", "sealed")
	if err != nil {
		return "", err
	}
	if carrier.text("clawnet") != version {
		return "", fault("version.unsupported")
	}
	for _, secret := range secrets {
		key, err := ecdh.X25519().NewPrivateKey(secret)
		if err != nil || encodeBytes(key.PublicKey().Bytes()) != carrier.text("seal_key") {
			continue
		}
		if plaintext, ok := openSealed(secret, carrierInfo(me), carrier.text("sealed")); ok {
			return string(plaintext), nil
		}
	}
	return "", fault("sealed.unopened")
}
