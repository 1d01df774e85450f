package main

// Chapter 04, without the fold: keys, did:key, commitments and the proof of a chain.

import (
	"math/big"
	"slices"
	"strings"
)

const (
	didHead        = "did:key:z"
	didLength      = 56
	base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
)

// encodeDid writes a key as ID-4 says. The 34 bytes begin with ed01, so there never is a leading zero.
func encodeDid(public []byte) string {
	n := new(big.Int).SetBytes(append([]byte{0xed, 0x01}, public...))
	radix, rest := big.NewInt(58), new(big.Int)
	var text []byte
	for n.Sign() > 0 {
		n.QuoRem(n, radix, rest)
		text = append(text, base58Alphabet[rest.Int64()])
	}
	slices.Reverse(text)
	return didHead + string(text)
}

// decodeDid gives the 32 bytes that a did:key names (ID-5), which must be an honest point (ID-6).
func decodeDid(did string) ([]byte, error) {
	if len(did) != didLength || !strings.HasPrefix(did, didHead) {
		return nil, fault("key.malformed")
	}
	var bytes [34]byte
	for _, c := range []byte(did[len(didHead):]) {
		carry := strings.IndexByte(base58Alphabet, c)
		if carry < 0 {
			return nil, fault("key.malformed")
		}
		for i := len(bytes) - 1; i >= 0; i-- {
			carry += 58 * int(bytes[i])
			bytes[i] = byte(carry)
			carry >>= 8
		}
		if carry > 0 {
			return nil, fault("key.malformed")
		}
	}
	if bytes[0] != 0xed || bytes[1] != 0x01 {
		return nil, fault("key.malformed")
	}
	public := bytes[2:]
	if !honestPoint(public) {
		return nil, fault("key.invalid")
	}
	return public, nil
}

func integer(text string) *big.Int {
	n, _ := new(big.Int).SetString(text, 0)
	return n
}

var (
	one       = big.NewInt(1)
	prime     = integer("0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed")
	edwardsD  = integer("0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3")
	lowOrderY = []*big.Int{
		big.NewInt(0), one, new(big.Int).Sub(prime, one),
		integer("2707385501144840649318225287225658788936804267575313519463743609750303402022"),
		integer("55188659117513257062467267217118295137698188065244968500265048394206261417927"),
	}
)

// encodedY is the number that 32 bytes hold below their highest bit.
func encodedY(bytes []byte) *big.Int {
	reversed := slices.Clone(bytes)
	slices.Reverse(reversed)
	reversed[0] &= 0x7f
	return new(big.Int).SetBytes(reversed)
}

func lowOrder(y *big.Int) bool {
	return slices.ContainsFunc(lowOrderY, func(low *big.Int) bool { return low.Cmp(y) == 0 })
}

// honestPoint is ID-6. A point has this y if x^2 = (y^2-1)/(dy^2+1) is a square, and so if the product of the two is.
func honestPoint(public []byte) bool {
	y := encodedY(public)
	if y.Cmp(prime) >= 0 || lowOrder(y) {
		return false
	}
	square := new(big.Int).Mul(y, y)
	above := new(big.Int).Sub(square, one)
	below := square.Mul(square, edwardsD)
	below.Add(below.Mod(below, prime), one)
	product := above.Mul(above, below)
	return big.Jacobi(product.Mod(product, prime), prime) == 1
}

const commitmentType = "application/vnd.clawnet.commitment.v1+json"

func commitmentBytes(generation int64, identity string, next []byte) []byte {
	return encoding(commitmentType, writeCanonical(object{
		{"generation", generation}, {"identity", identity}, {"next_key_digest", digest(next)},
	}))
}

func commit(seed []byte, generation int64, identity string, next []byte) string {
	_, signature := signBytes(seed, commitmentBytes(generation, identity, next))
	return encodeBytes(signature)
}

// proveChain is ID-20 for the chain of a rotate, and ID-23 for that of a revoke, which may be empty.
func proveChain(m *message) error {
	before := m.sender
	seen := map[string]bool{m.sender: true}
	for i, item := range m.body.list("chain") {
		link := item.(object)
		key := link.text("key")
		public, err := decodeDid(key)
		if err != nil || seen[key] || !committed(before, int64(i+1), m.sender, public, link.text("commitment")) {
			return fault("identity.broken_chain")
		}
		seen[key] = true
		before = key
	}
	if m.kid != before {
		return fault("identity.broken_chain")
	}
	return nil
}

func committed(did string, generation int64, identity string, next []byte, commitment string) bool {
	public, err := decodeDid(did)
	return err == nil && checkSignature(public, commitment, commitmentBytes(generation, identity, next)) == nil
}
