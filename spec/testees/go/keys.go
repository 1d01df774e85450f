package main

// Chapter 04, in the fold: what the keys of an identity may say.

import "slices"

// keyring is what all rotates, revokes and announces of an identity say of its keys (ID-24).
type keyring struct {
	chain    []string
	givenUp  map[string]int64 // since_ms of the link after a key, by the word of the last one
	disputed bool
	revoked  bool
	silent   int64 // since_ms of the revoke that counts
}

func (k *keyring) last() string { return k.chain[len(k.chain)-1] }

func (k *keyring) standing() string {
	switch {
	case k.disputed:
		return "disputed"
	case k.revoked:
		return "revoked"
	}
	return "good"
}

// lesser keeps the least number that was put under a key.
func lesser[K comparable](least map[K]int64, key K, n int64) {
	if before, ok := least[key]; !ok || n < before {
		least[key] = n
	}
}

func deriveKeys(did string, messages []*entry) *keyring {
	links := map[string]map[string]bool{}       // key: next keys
	commitments := map[string]map[string]bool{} // key: digests of next keys
	ends := map[string]map[string]int64{}       // speaker, key: since_ms of the link after that key
	revokes := map[string]int64{}
	put := func(texts map[string]map[string]bool, key, text string) {
		if texts[key] == nil {
			texts[key] = map[string]bool{}
		}
		texts[key][text] = true
	}
	for _, m := range messages {
		before := did
		for _, item := range m.body.list("chain") {
			link := item.(object)
			key := link.text("key")
			public, _ := decodeDid(key) // proven by ID-20, so it is a key
			put(commitments, before, digest(public))
			put(links, before, key)
			if ends[m.kid] == nil {
				ends[m.kid] = map[string]int64{}
			}
			lesser(ends[m.kid], before, link.integer("since_ms"))
			before = key
		}
		switch m.typ {
		case "identity.rotate", "presence.announce":
			put(commitments, m.kid, m.body.text("next_key_digest"))
		case "identity.revoke":
			lesser(revokes, m.kid, m.body.integer("since_ms"))
		}
	}
	k := &keyring{chain: []string{did}}
	// No proven chain holds a key twice, so this ends.
	for key := did; ; {
		k.disputed = len(commitments[key]) > 1
		if k.disputed || len(links[key]) == 0 {
			break
		}
		for next := range links[key] {
			key = next
		}
		k.chain = append(k.chain, key)
	}
	k.givenUp = ends[k.last()]
	k.silent, k.revoked = revokes[k.last()]
	return k
}

// authority is ID-25: the code for a message, empty if its key speaks for its sender.
func (k *keyring) authority(m *message) string {
	if m.row().Family == "identity" {
		return ""
	}
	if !slices.Contains(k.chain, m.kid) {
		if k.disputed {
			return "key.disputed"
		}
		return "key.unproven"
	}
	since, givenUp := k.givenUp[m.kid]
	if givenUp && m.sent >= since || k.revoked && m.sent >= k.silent {
		return "key.not_authorized"
	}
	if m.kid != k.last() || k.disputed || k.revoked {
		return "key.retired"
	}
	return ""
}
