package main

// Chapter 06, and the binding of chapter 04: who is there, and at which addresses.

import (
	"maps"
	"slices"
)

// peer is what an identity's last key says of it, and nothing if it is disputed or revoked (ID-27).
type peer struct {
	keys        *keyring
	announce    *entry // the one that counts
	bound       bool
	proven      map[string]bool
	left        int64 // the highest revision that a leave ended, -1 if none did
	heard       int64
	equivocates bool
}

// origins are the addresses that an announce names and that delivered it (ID-10).
func origins(announce *entry) (uris []string) {
	for _, item := range announce.body.list("addresses") {
		if uri := item.(object).text("uri"); announce.addresses[uri] {
			uris = append(uris, uri)
		}
	}
	return uris
}

func (f *folding) derivePeer(did string, entries []*entry) *peer {
	p := &peer{keys: f.keys[did], proven: map[string]bool{}, left: -1}
	if p.keys.standing() != "good" {
		return p
	}
	highest := int64(-1)
	for _, e := range entries {
		if e.kid != p.keys.last() {
			continue
		}
		p.heard = max(p.heard, e.sent)
		revision := e.body.integer("revision")
		switch e.typ {
		case "presence.leave":
			p.left = max(p.left, revision)
		case "presence.announce":
			for _, uri := range origins(e) {
				p.proven[uri] = true
			}
			p.equivocates = revision == highest || revision < highest && p.equivocates
			highest = max(highest, revision)
			if p.announce == nil || precedes(e, p.announce) {
				p.announce = e
			}
		}
	}
	p.bound = p.announce != nil && origins(p.announce) != nil
	return p
}

// precedes is PRE-10.
func precedes(a, b *entry) bool {
	if fromA, fromB := origins(a) != nil, origins(b) != nil; fromA != fromB {
		return fromA
	}
	if a, b := a.body.integer("revision"), b.body.integer("revision"); a != b {
		return a > b
	}
	return a.id > b.id
}

// binding is ID-11, by the best of the addresses that delivered a message (ID-14).
func (f *folding) binding(e *entry) string {
	proven := f.peers[e.sender].proven
	for address := range e.addresses {
		if proven[address] {
			return "bound"
		}
	}
	if len(proven) > 0 {
		return "relayed"
	}
	return "unbound"
}

// live is PRE-12.
func (p *peer) live(now int64) bool {
	return p.announce != nil && p.announce.body.integer("revision") > p.left &&
		p.announce.expires > now && p.announce.sent <= now+p.announce.row().SkewMs
}

// livePeers is PRE-13: at each address the bound live peer that was heard of last, then the lesser did.
func (f *folding) livePeers(now int64) []any {
	atAddress := map[string]string{}
	for _, did := range slices.Sorted(maps.Keys(f.peers)) {
		p := f.peers[did]
		if !p.bound || !p.live(now) {
			continue
		}
		for uri := range p.proven {
			if other, taken := atAddress[uri]; !taken || p.heard > f.peers[other].heard {
				atAddress[uri] = did
			}
		}
	}
	live := []any{}
	for _, did := range slices.Compact(slices.Sorted(maps.Values(atAddress))) {
		live = append(live, did)
	}
	return live
}

// conflicts is ID-15.
func (f *folding) conflicts() object {
	proven := map[string][]any{}
	for _, did := range slices.Sorted(maps.Keys(f.peers)) {
		for uri := range f.peers[did].proven {
			proven[uri] = append(proven[uri], did)
		}
	}
	conflicts := object{}
	for _, uri := range slices.Sorted(maps.Keys(proven)) {
		if len(proven[uri]) > 1 {
			conflicts = append(conflicts, member{uri, proven[uri]})
		}
	}
	return conflicts
}

func (f *folding) peerStates() object {
	states := object{}
	for _, did := range slices.Sorted(maps.Keys(f.peers)) {
		p := f.peers[did]
		unproven := func(e *entry) bool { return f.codes[e.id] == "key.unproven" }
		if !slices.ContainsFunc(f.bySender[did], func(e *entry) bool { return !unproven(e) }) {
			continue
		}
		addresses := []any{}
		for _, uri := range slices.Sorted(maps.Keys(p.proven)) {
			addresses = append(addresses, uri)
		}
		state := object{
			{"key", p.keys.last()}, {"standing", p.keys.standing()}, {"bound", p.bound},
			{"addresses", addresses}, {"equivocates", p.equivocates},
		}
		if p.announce != nil {
			state = append(state, member{"announce", p.announce.id})
		}
		states = append(states, member{did, state})
	}
	return states
}
