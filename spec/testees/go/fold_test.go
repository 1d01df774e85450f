package main

// A task in a room, from request to receipt, and a rotation: the state must not depend on the order of arrival.

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

const start = 1767225600000

type speaker struct {
	seed     []byte
	did, uri string
}

func newSpeaker(n byte, uri string) *speaker {
	seed := bytes.Repeat([]byte{n}, 32)
	public, _ := signBytes(seed, nil)
	return &speaker{seed, encodeDid(public), uri}
}

func (s *speaker) public() []byte {
	public, _ := signBytes(s.seed, nil)
	return public
}

type said struct {
	carrier, plane, address, id string
}

var nonces int

// say makes a message; more holds members of the envelope.
func (s *speaker) say(t *testing.T, typ string, body object, more ...member) said {
	t.Helper()
	nonces++
	env := append(object{
		{"type", typ}, {"clawnet", "1"}, {"sender", s.did}, {"kid", s.did}, {"room", "matrix:roomid/r"},
		{"sent_ms", int64(start)}, {"expires_ms", int64(start + 60000)}, {"body", body},
		{"nonce", encodeBytes(fmt.Appendf(nil, "%016d", nonces))},
	}, more...)
	last := object{}
	for i, m := range env { // what is given last counts
		if !env[i+1:].has(m.key) {
			last = append(last, m)
		}
	}
	carrier, id, err := sign(s.seed, writeCanonical(last))
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	return said{string(carrier), types[typ].Planes[0], s.uri, id}
}

// counts is an object of counts, all 1.
func counts(names ...string) (members object) {
	for _, name := range names {
		members = append(members, member{name, int64(1)})
	}
	return members
}

func (s *speaker) announce(t *testing.T, next []byte, more ...member) said {
	return s.say(t, "presence.announce", object{
		{"revision", int64(1)}, {"name", "n"}, {"kind", "ai"}, {"role", "writer"}, {"software", "s"},
		{"versions", []any{"1"}}, {"addresses", []any{object{{"uri", s.uri}}}}, {"next_key_digest", digest(next)},
		{"seal_key", encodeBytes(make([]byte, 32))}, {"capabilities", []any{}}, {"models", []any{}}, {"wants", []any{}},
		{"offers", []any{}}, {"load", counts("running", "waiting", "slots")}, {"confirmed", []any{}},
		{"limits", append(counts("prompt_bytes", "output_tokens", "tokens_per_minute"), member{"open_to", "room"})},
	}, more...)
}

// stateOf adds what was said in several orders and gives the state, which must be the same for all of them.
func stateOf(t *testing.T, all []said) object {
	t.Helper()
	var text []byte
	var state object
	for round := range 20 {
		set := &mesh{"matrix:roomid/r", map[string]*entry{}}
		for _, i := range rand.New(rand.NewPCG(1, uint64(round))).Perm(len(all)) {
			if err := set.add(all[i].carrier, all[i].plane, all[i].address); err != nil {
				t.Fatal(err)
			}
		}
		state = set.state(start + 1000)
		if again := appendJSON(nil, state); text != nil && !bytes.Equal(text, again) {
			t.Fatalf("two orders, two states:\n%s\n%s", text, again)
		} else {
			text = again
		}
	}
	return state
}

func codeOf(state object, s said) string { return state.child("messages").child(s.id).text("code") }

func TestTask(t *testing.T) {
	alice, bob := newSpeaker(1, "matrix:u/alice"), newSpeaker(2, "matrix:u/bob")
	to := func(s *speaker, request, answers string) []member {
		return []member{{"recipients", []any{s.did}}, {"thread", request}, {"answers", answers}}
	}
	parameters := append(counts("max_tokens", "temperature_milli", "top_p_milli", "seed"), member{"stop", []any{}})
	request := alice.say(t, "task.request", object{
		{"title", "t"}, {"privacy", "public"}, {"lease_ms", int64(1000)}, {"hops", int64(0)},
		{"inputs", []any{object{{"name", "in"}, {"digest", digest([]byte("x"))}, {"text", "x"}}}},
		{"stages", []any{object{
			{"id", "a"}, {"kind", "echo"}, {"parameters", parameters},
			{"prompt", []any{object{{"part", "data"}, {"source", "in"}, {"form", "line"}}}},
		}}},
	})
	place := object{{"stage", "a"}, {"attempt", int64(1)}}
	with := func(more ...member) object { return append(append(object{}, place...), more...) }
	award := alice.say(t, "task.award", with(member{"lease_ms", int64(1000)}), to(bob, request.id, request.id)...)
	ask := bob.say(t, "task.ask", with(member{"question", "?"}), to(alice, request.id, award.id)...)
	reply := alice.say(t, "task.reply", with(member{"text", "!"}), to(bob, request.id, ask.id)...)
	result := func(source string) object {
		return with(
			member{"award", award.id}, member{"parameters", parameters},
			member{"inputs", []any{object{{"source", "in"}, {"digest", digest([]byte(source))}}}},
			member{"output_digest", digest([]byte("y"))}, member{"text", "y"},
			member{"media_type", "text/plain"}, member{"finish", "stop"},
			member{"usage", counts("prompt_tokens", "output_tokens", "queued_ms", "prompt_ms", "generate_ms")},
		)
	}
	wrong := bob.say(t, "task.result", result("z"), to(alice, request.id, reply.id)...)
	right := bob.say(t, "task.result", result("x"), to(alice, request.id, reply.id)...)
	forged := newSpeaker(3, "matrix:u/carol").say(t, "task.result", result("x"), to(alice, request.id, reply.id)...)
	all := []said{
		alice.announce(t, []byte("n")), bob.announce(t, []byte("n")), request, award, ask, reply, wrong, right, forged,
	}
	state := stateOf(t, all)
	task := state.child("tasks").child(request.id)
	expect(t, "task", task.text("state"), "completed")
	expect(t, "accepted", task.child("stages").child("a").text("accepted"), right.id)
	expect(t, "wrong", codeOf(state, wrong), "task.input_mismatch")
	expect(t, "forged", codeOf(state, forged), "task.not_permitted")
	expect(t, "waiting", codeOf(stateOf(t, []said{award, ask}), ask), "state.waiting")
	asked := stateOf(t, []said{request, award, ask}).child("tasks").child(request.id)
	expect(t, "asked", asked.text("state"), "input_required")
}

func TestRotation(t *testing.T) {
	alice, next := newSpeaker(1, "matrix:u/alice"), newSpeaker(4, "matrix:u/alice")
	first := alice.announce(t, next.public())
	commitment := commit(alice.seed, 1, alice.did, next.public())
	rotate := next.say(t, "identity.rotate", object{
		{"chain", []any{object{{"key", next.did}, {"commitment", commitment}, {"since_ms", int64(start + 1)}}}},
		{"next_key_digest", digest([]byte("n"))},
	}, member{"sender", alice.did})
	second := next.announce(t, []byte("n"), member{"sender", alice.did})
	late := alice.announce(t, next.public(), member{"sent_ms", int64(start + 1)})

	expect(t, "unproven", codeOf(stateOf(t, []said{first, second}), second), "key.unproven")
	state := stateOf(t, []said{first, rotate, second, late})
	expect(t, "first", codeOf(state, first), "key.retired")
	expect(t, "late", codeOf(state, late), "key.not_authorized")
	expect(t, "counts", state.child("peers").child(alice.did).text("announce"), second.id)
	expect(t, "live", fmt.Sprint(state.list("live")), "["+alice.did+"]")

	thief := alice.announce(t, []byte("another key"))
	state = stateOf(t, []said{first, rotate, second, thief})
	expect(t, "disputed", codeOf(state, second), "key.disputed")
	expect(t, "standing", state.child("peers").child(alice.did).text("standing"), "disputed")
}
