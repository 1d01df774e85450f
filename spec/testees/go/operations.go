package main

// The operations of testee.md.

import (
	"fmt"
	"os"
)

// testee holds what lasts from one request to the next.
type testee struct {
	handshakes *handshakes
	mesh       *mesh
}

func newTestee() *testee { return &testee{newHandshakes(nil), &mesh{"", map[string]*entry{}}} }

// request reads members that are known to be there.
type request struct{ object }

func (r request) bytes(key string) []byte {
	data, _ := decodeBytes(r.text(key))
	return data
}

func (r request) byteLists(key string) (list [][]byte) {
	for _, text := range texts(r.list(key)) {
		data, _ := decodeBytes(text)
		list = append(list, data)
	}
	return list
}

func texts(values []any) (list []string) {
	for _, value := range values {
		text, _ := value.(string)
		list = append(list, text)
	}
	return list
}

var operations = map[string]func(t *testee, r request) (object, error){
	"canonical.read": func(_ *testee, r request) (object, error) {
		_, err := readCanonical(string(r.bytes("text")))
		return nil, err
	},
	"canonical.write": func(_ *testee, r request) (object, error) {
		value, _ := parseJSON(string(r.bytes("json")))
		text := writeCanonical(value)
		_, err := readCanonical(text)
		return object{{"text", encodeBytes([]byte(text))}}, err
	},
	"did.encode": func(_ *testee, r request) (object, error) {
		return object{{"did", encodeDid(r.bytes("public"))}}, nil
	},
	"did.decode": func(_ *testee, r request) (object, error) {
		public, err := decodeDid(r.text("did"))
		return object{{"public", encodeBytes(public)}}, err
	},
	"signature.verify": func(_ *testee, r request) (object, error) {
		public := r.bytes("public")
		if !honestPoint(public) {
			return nil, fault("key.invalid")
		}
		return nil, verifySignature(public, r.bytes("signature"), r.bytes("message"))
	},
	"sign": func(_ *testee, r request) (object, error) {
		carrier, id, err := sign(r.bytes("seed"), string(r.bytes("env")))
		return object{{"carrier", encodeBytes(carrier)}, {"id", id}}, err
	},
	"commitment": func(_ *testee, r request) (object, error) {
		commitment := commit(r.bytes("seed"), r.integer("generation"), r.text("identity"), r.bytes("next"))
		return object{{"commitment", commitment}}, nil
	},
	"verify": func(_ *testee, r request) (object, error) {
		return verified(verify(string(r.bytes("carrier"))))
	},
	"arrive": func(_ *testee, r request) (object, error) {
		return verified(arrive(string(r.bytes("carrier")), arrival{
			plane: r.text("plane"), room: r.text("room"), me: r.text("me"), rooms: texts(r.list("rooms")),
			now: r.integer("now_ms"), secrets: r.byteLists("secrets"),
		}))
	},
	"seal": func(_ *testee, r request) (object, error) {
		sealed, err := sealText(r.bytes("public"), r.text("info"), r.bytes("plaintext"))
		return object{{"sealed", sealed}}, err
	},
	"open": func(_ *testee, r request) (object, error) {
		plaintext, ok := openSealed(r.bytes("secret"), r.text("info"), r.text("sealed"))
		if !ok {
			return nil, fault("sealed.unreadable")
		}
		return object{{"plaintext", encodeBytes(plaintext)}}, nil
	},
	"seal.carrier": func(_ *testee, r request) (object, error) {
		carrier, err := sealCarrier(r.bytes("public"), r.text("recipient"), string(r.bytes("carrier")))
		return object{{"carrier", encodeBytes(carrier)}}, err
	},
	"open.text": func(_ *testee, r request) (object, error) {
		expected, _ := r.get("digest")
		text, err := openText(r.bytes("secret"), r.text("info"), r.text("sealed"), expected)
		return object{{"text", text}}, err
	},
	"artifact.split": func(_ *testee, r request) (object, error) {
		return object{{"artifact", splitArtifact(r.bytes("data"), texts(r.list("uris")))}}, nil
	},
	"artifact.join": func(_ *testee, r request) (object, error) {
		data, err := joinArtifact(r.child("artifact"), r.byteLists("chunks"))
		return object{{"data", encodeBytes(data)}}, err
	},
	"prompt": func(_ *testee, r request) (object, error) {
		return object{{"prompt", renderPrompt(r.list("parts"), r.child("sources").text)}}, nil
	},
	"rank": func(_ *testee, r request) (object, error) {
		return object{{"order", rank(r.text("key"), r.list("candidates"))}}, nil
	},
	"handshake.reset": func(t *testee, r request) (object, error) {
		t.handshakes = newHandshakes(texts(r.list("versions")))
		return nil, nil
	},
	"handshake.send": func(t *testee, r request) (object, error) {
		m, err := verify(string(r.bytes("carrier")))
		if err != nil {
			return nil, err
		}
		return shaken(t.handshakes.send(m))
	},
	"handshake.receive": func(t *testee, r request) (object, error) {
		m, err := verify(string(r.bytes("carrier")))
		if err != nil {
			return nil, err
		}
		return shaken(t.handshakes.receive(m, r.text("address")))
	},
	"handshake.time_out": func(t *testee, r request) (object, error) {
		return shaken(t.handshakes.timeOut(r.text("thread")))
	},
	"mesh.reset": func(t *testee, r request) (object, error) {
		t.mesh = &mesh{r.text("room"), map[string]*entry{}}
		return nil, nil
	},
	"mesh.add": func(t *testee, r request) (object, error) {
		return nil, t.mesh.add(string(r.bytes("carrier")), r.text("plane"), r.text("address"))
	},
	"mesh.state": func(t *testee, r request) (object, error) {
		return object{{"state", t.mesh.state(r.integer("now_ms"))}}, nil
	},
	"transcript": func(_ *testee, r request) (object, error) {
		return object{{"damaged", damagedLines(r.bytes("text"))}}, nil
	},
	"matrix.uri": func(_ *testee, r request) (object, error) {
		return object{{"uri", matrixURI(r.text("id"))}}, nil
	},
	"matrix.carriers": func(_ *testee, r request) (object, error) {
		return object{{"carriers", matrixCarriers(string(r.bytes("event")), r.text("plane"))}}, nil
	},
}

func verified(m *message, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return object{{"id", m.id}, {"sender", m.sender}, {"kid", m.kid}, {"type", m.typ}}, nil
}

func shaken(h *handshake, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	state := object{{"state", h.state}}
	if h.version != "" {
		state = append(state, member{"version", h.version})
	}
	return state, nil
}

// answer answers one line. A fault of the testee itself is told on standard error, and the next request goes on.
func (t *testee) answer(line string) (answer object) {
	value, _ := parseJSON(line)
	members, _ := value.(object)
	op := members.text("op")
	unsupported := object{{"unsupported", op}}
	operation, known := operations[op]
	if !known {
		return unsupported
	}
	defer func() {
		if broken := recover(); broken != nil {
			fmt.Fprintf(os.Stderr, "testee: %s: %v\n", op, broken)
			answer = unsupported
		}
	}()
	ok, err := operation(t, request{members})
	if err != nil {
		return object{{"error", err.Error()}}
	}
	return object{{"ok", ok}}
}
