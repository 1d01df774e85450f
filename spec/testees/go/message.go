package main

// Chapters 02 and 05: from a carrier's text to a verified message, in the order of SIG-6.

import (
	"slices"
	"unicode/utf8"
)

const version = "1"

// message is a verified envelope with its id.
type message struct {
	id, typ, sender, kid, room string
	thread, answers            string
	sent, expires              int64
	recipients                 []string
	body                       object
}

func (m *message) row() typeRow { return types[m.typ] }

// verify makes the checks of the stages size to critical.
func verify(text string) (*message, error) {
	if len(text) > limits.CarrierBytes {
		return nil, fault("size.carrier")
	}
	carrier, err := readCarrier(text, "clawnet", "kid", "env", "sig")
	if err != nil {
		return nil, err
	}
	env := carrier.text("env")
	if len(env) > limits.EnvelopeBytes {
		return nil, fault("size.envelope")
	}
	if carrier.text("clawnet") != version {
		return nil, fault("version.unsupported")
	}
	public, err := decodeDid(carrier.text("kid"))
	if err != nil {
		return nil, err
	}
	signed := encoding(envelopeType, env)
	if err := checkSignature(public, carrier.text("sig"), signed); err != nil {
		return nil, err
	}
	value, err := readCanonical(env)
	if err != nil {
		return nil, err
	}
	return readEnvelope(value, carrier, digest(signed))
}

// readCarrier reads an object of exactly the named members, all of them strings of scalar values.
func readCarrier(text string, names ...string) (object, error) {
	value, ok := parseJSON(text)
	if !ok {
		return nil, fault("carrier.not_json")
	}
	carrier, ok := value.(object)
	if !ok || len(carrier) != len(names) {
		return nil, fault("carrier.malformed")
	}
	for _, name := range names {
		value, _ := carrier.get(name)
		if text, ok := value.(string); !ok || !utf8.ValidString(text) {
			return nil, fault("carrier.malformed")
		}
	}
	return carrier, nil
}

// readEnvelope makes the checks of SIG-9 in their order, and that for critical extensions.
func readEnvelope(value any, carrier object, id string) (*message, error) {
	if !fits(value, "Envelope") {
		return nil, fault("schema.envelope")
	}
	env := value.(object)
	if env.text("clawnet") != carrier.text("clawnet") || env.text("kid") != carrier.text("kid") {
		return nil, fault("carrier.mismatch")
	}
	m := &message{
		id: id, typ: env.text("type"), sender: env.text("sender"), kid: env.text("kid"), room: env.text("room"),
		thread: env.text("thread"), answers: env.text("answers"),
		sent: env.integer("sent_ms"), expires: env.integer("expires_ms"),
		body: env.child("body"),
	}
	for _, did := range env.list("recipients") {
		m.recipients = append(m.recipients, did.(string))
	}
	row, known := types[m.typ]
	if !known {
		return nil, fault("type.unknown")
	}
	if body, _ := env.get("body"); !fits(body, m.typ) || !row.allows(env) {
		return nil, fault("schema.body")
	}
	if err := checkBody(m); err != nil {
		return nil, err
	}
	// This version defines no extension, so nothing that is critical is understood (VER-9).
	if env.has("critical") {
		return nil, fault("critical.unsupported")
	}
	return m, nil
}

// allows is MSG-18 and MSG-19.
func (row typeRow) allows(env object) bool {
	wanted := map[string]bool{"required": true, "forbidden": false}
	if env.has("thread") != wanted[row.Thread] || env.has("answers") != wanted[row.Answers] {
		return false
	}
	switch count := len(env.list("recipients")); row.Recipients {
	case "none":
		return count == 0
	case "one":
		return count == 1
	}
	return true
}

// sign makes the carrier of an envelope, after the checks of ERR-6.
func sign(seed []byte, env string) (carrier []byte, id string, err error) {
	signed := encoding(envelopeType, env)
	public, signature := signBytes(seed, signed)
	carrier = appendJSON(nil, object{
		{"clawnet", version}, {"kid", encodeDid(public)}, {"env", env}, {"sig", encodeBytes(signature)},
	})
	m, err := verify(string(carrier))
	if err != nil {
		return nil, "", err
	}
	return carrier, m.id, nil
}

// arrival is what the peer knows when a carrier comes.
type arrival struct {
	plane, room, me string
	rooms           []string
	now             int64
	secrets         [][]byte
}

// arrive makes the checks of the stages opening to time.
func arrive(text string, a arrival) (*message, error) {
	if a.plane == "direct" {
		var err error
		if text, err = openCarrier(text, a.me, a.secrets); err != nil {
			return nil, err
		}
	}
	m, err := verify(text)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(m.row().Planes, a.plane) {
		return nil, fault("plane.mismatch")
	}
	if a.plane == "room" && m.room != a.room || a.plane == "direct" && !slices.Contains(a.rooms, m.room) {
		return nil, fault("room.mismatch")
	}
	if m.recipients != nil && !slices.Contains(m.recipients, a.me) {
		return nil, fault("recipient.other")
	}
	if !m.lifetimeAllowed() {
		return nil, fault("time.lifetime")
	}
	if m.sent > a.now+m.row().SkewMs {
		return nil, fault("time.future")
	}
	if m.expires <= a.now {
		return nil, fault("time.expired")
	}
	return m, nil
}

// lifetimeAllowed is SIG-13.
func (m *message) lifetimeAllowed() bool {
	lifetime := m.expires - m.sent
	return lifetime > 0 && lifetime <= m.row().LifetimeMs
}
