package main

// Chapter 01: base64url and digests.

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

var base64url = base64.RawURLEncoding.Strict()

func encodeBytes(data []byte) string { return base64url.EncodeToString(data) }

// decodeBytes reads base64url as TERM-2 says. The library skips line ends, even when strict.
func decodeBytes(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	data, err := base64url.DecodeString(text)
	return data, err == nil
}

// decodeSized reads base64url of exactly size bytes.
func decodeSized(text string, size int) ([]byte, bool) {
	data, ok := decodeBytes(text)
	return data, ok && len(data) == size
}

// digest is that of TERM-3: 43 characters.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return encodeBytes(sum[:])
}
