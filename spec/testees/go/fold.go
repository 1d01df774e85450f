package main

// Chapter 10: from a set of messages to the state of a room. The state is derived anew whenever it is asked for, so
// that no order of arrival can leave a trace in it.

import (
	"cmp"
	"maps"
	"slices"
)

// mesh is the set of FOLD-1.
type mesh struct {
	room    string
	entries map[string]*entry
}

type entry struct {
	*message
	addresses map[string]bool // those that delivered it
}

// add puts a carrier into the set, if it passes all checks that need no clock.
func (set *mesh) add(carrier, plane, address string) error {
	m, err := verify(carrier)
	if err != nil {
		return err
	}
	switch {
	case !slices.Contains(m.row().Planes, plane):
		return fault("plane.mismatch")
	case m.room != set.room:
		return fault("room.mismatch")
	case !m.lifetimeAllowed():
		return fault("time.lifetime")
	}
	if set.entries[m.id] == nil {
		set.entries[m.id] = &entry{m, map[string]bool{}}
	}
	set.entries[m.id].addresses[address] = true
	return nil
}

// folding is one derivation of the state.
type folding struct {
	entries  map[string]*entry
	bySender map[string][]*entry // also progress that is not kept: a peer is heard of by it, too (PRE-13)
	keys     map[string]*keyring
	peers    map[string]*peer
	codes    map[string]string // why a message does not count, or nobody acts on it
}

func (set *mesh) fold() *folding {
	f := &folding{
		entries: maps.Clone(set.entries), bySender: map[string][]*entry{},
		keys: map[string]*keyring{}, peers: map[string]*peer{}, codes: map[string]string{},
	}
	for _, e := range f.entries {
		f.bySender[e.sender] = append(f.bySender[e.sender], e)
	}
	for did, entries := range f.bySender {
		f.keys[did] = deriveKeys(did, entries)
		f.peers[did] = f.derivePeer(did, entries)
	}
	for id, e := range f.entries {
		f.codes[id] = f.keys[e.sender].authority(e.message)
	}
	f.dropProgress()
	return f
}

// counts is ID-26: what a key said that speaks for its sender, or did when it said it.
func (f *folding) counts(e *entry) bool {
	code := f.codes[e.id]
	return code == "" || code == "key.retired"
}

// dropProgress is FOLD-8, told apart by key, too: anyone can name another as sender.
func (f *folding) dropProgress() {
	type place struct {
		thread, stage, sender, kid string
		attempt                    int64
	}
	kept := map[place]*entry{}
	at := func(e *entry) place {
		return place{e.thread, e.body.text("stage"), e.sender, e.kid, e.body.integer("attempt")}
	}
	for _, e := range f.entries {
		if e.typ == "task.progress" && (kept[at(e)] == nil || later(e, kept[at(e)])) {
			kept[at(e)] = e
		}
	}
	for id, e := range f.entries {
		if e.typ == "task.progress" && kept[at(e)] != e {
			delete(f.entries, id)
		}
	}
}

func later(a, b *entry) bool {
	return cmp.Or(cmp.Compare(a.body.integer("index"), b.body.integer("index")), cmp.Compare(a.id, b.id)) > 0
}

// state is what testee.md calls so.
func (set *mesh) state(now int64) object {
	f := set.fold()
	tasks := object{}
	threads := f.threads()
	for _, id := range slices.Sorted(maps.Keys(f.entries)) {
		if e := f.entries[id]; e.typ == "task.request" && f.counts(e) {
			tasks = append(tasks, member{id, f.deriveTask(e, threads[id])})
			delete(threads, id)
		}
	}
	for _, waiting := range threads {
		for _, e := range waiting {
			f.refuse(e, "state.waiting")
		}
	}
	return object{
		{"peers", f.peerStates()},
		{"conflicts", f.conflicts()},
		{"live", f.livePeers(now)},
		{"messages", f.verdicts()},
		{"tasks", tasks},
	}
}

// threads gathers the messages of tasks, under the ids of their requests.
func (f *folding) threads() map[string][]*entry {
	threads := map[string][]*entry{}
	for _, e := range f.entries {
		if e.row().Family == "task" && e.typ != "task.request" {
			threads[e.thread] = append(threads[e.thread], e)
		}
	}
	return threads
}

// refuse gives a message its code, unless it has one of an earlier stage.
func (f *folding) refuse(e *entry, code string) {
	if f.codes[e.id] == "" {
		f.codes[e.id] = code
	}
}

func (f *folding) verdicts() object {
	verdicts := object{}
	for _, id := range slices.Sorted(maps.Keys(f.entries)) {
		verdict := object{{"binding", f.binding(f.entries[id])}}
		if code := f.codes[id]; code != "" {
			verdict = append(verdict, member{"code", code})
		}
		verdicts = append(verdicts, member{id, verdict})
	}
	return verdicts
}
