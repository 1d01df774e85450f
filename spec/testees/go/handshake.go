package main

// Chapter 07: one side of all handshakes of one peer.

import (
	"slices"
	"strconv"
)

type handshake struct {
	state, role, peer, room string
	hello                   string
	last                    string   // id of the message that the next one must answer
	offered                 []string // the versions in our own hello
	version                 string
}

type handshakes struct {
	versions []string
	byHello  map[string]*handshake
}

func newHandshakes(versions []string) *handshakes {
	return &handshakes{versions, map[string]*handshake{}}
}

var errNotAllowed = fault("handshake.not_allowed")

// after gives the state behind an event, if the table allows the event.
func (h *handshake) after(event string) (string, error) {
	if next, ok := states["handshake"].Transitions[h.state][event]; ok {
		return next, nil
	}
	return "", errNotAllowed
}

// thread gives the handshake of a hello, which is a new one in the initial state if there is none.
func (all *handshakes) thread(hello string) *handshake {
	if h, ok := all.byHello[hello]; ok {
		return h
	}
	return &handshake{state: states["handshake"].Initial, hello: hello}
}

func (all *handshakes) send(m *message) (*handshake, error) {
	if m.typ == "handshake.hello" {
		h := all.thread(m.id)
		next, err := h.after("send_hello")
		if err != nil {
			return nil, err
		}
		h.state, h.role, h.peer, h.room, h.last = next, "initiator", m.recipients[0], m.room, m.id
		h.offered = texts(m.body.list("versions"))
		all.byHello[m.id] = h
		return h, nil
	}
	h := all.thread(m.thread)
	if h.role != m.row().Sender {
		return nil, errNotAllowed
	}
	if m.typ == "handshake.accept" {
		h.last = m.id
	}
	return h, nil
}

func (all *handshakes) receive(m *message, address string) (*handshake, error) {
	thread := m.thread
	if m.typ == "handshake.hello" {
		thread = m.id
	}
	h := all.thread(thread)
	next, err := h.after("receive_" + m.typ[len("handshake."):])
	if err != nil {
		return nil, err
	}
	// HS-1: an answer is to what was said last, by the one it was said to.
	if m.typ != "handshake.hello" && (m.sender != h.peer || m.room != h.room || m.answers != h.last) {
		return nil, errNotAllowed
	}
	if m.typ != "handshake.confirm" && m.body.child("address").text("uri") != address {
		return nil, errNotAllowed
	}
	version, err := all.choose(h, m)
	if err != nil {
		return nil, err
	}
	if m.typ == "handshake.hello" {
		h.role, h.peer, h.room = "responder", m.sender, m.room
		all.byHello[m.id] = h
	}
	h.state, h.version = next, version
	return h, nil
}

// choose is HS-4 for a hello, HS-5 for an accept and HS-6 for a confirm.
func (all *handshakes) choose(h *handshake, m *message) (string, error) {
	theirs := texts(m.body.list("versions"))
	version := h.version
	switch m.typ {
	case "handshake.hello":
		version = highestCommon(all.versions, theirs)
	case "handshake.accept":
		version = highestCommon(h.offered, theirs)
	}
	if version == "" || m.typ != "handshake.hello" && m.body.text("version") != version {
		return "", fault("handshake.no_version")
	}
	return version, nil
}

// highestCommon compares as numbers (VER-1); versions have no leading zeros.
func highestCommon(ours, theirs []string) (highest string) {
	number := func(version string) int { n, _ := strconv.Atoi(version); return n }
	for _, version := range theirs {
		if slices.Contains(ours, version) && number(version) > number(highest) {
			highest = version
		}
	}
	return highest
}

func (all *handshakes) timeOut(hello string) (*handshake, error) {
	h := all.thread(hello)
	next, err := h.after("time_out")
	if err != nil {
		return nil, err
	}
	h.state = next
	return h, nil
}
