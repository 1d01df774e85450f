package main

// Chapter 08, offering: weighted rendezvous hashing.

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

type candidate struct {
	did   string
	score float64
}

// rank orders candidates as TASK-16 says, with the weights of TASK-17.
func rank(key string, announced []any) []any {
	var candidates []candidate
	for _, item := range announced {
		peer := item.(object)
		slots := float64(max(peer.integer("slots"), 1))
		weight := slots / (slots + float64(peer.integer("running")) + float64(peer.integer("waiting")))
		candidates = append(candidates, candidate{peer.text("did"), score(key, peer.text("did"), weight)})
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.did, b.did))
	})
	order := []any{}
	for _, c := range candidates {
		order = append(order, c.did)
	}
	return order
}

// score is TASK-18.
func score(key, did string, weight float64) float64 {
	sum := sha256.Sum256([]byte(key + "\x00" + did))
	n := float64(binary.BigEndian.Uint64(sum[:8]))
	return -weight / math.Log((n+0.5)/math.Exp2(64))
}
