package main

// Binding to Matrix: URIs, and the carriers in an event.

import (
	"fmt"
	"strings"
)

const (
	carriersKey      = "net.clawnet.carriers"
	carriersPerEvent = 16
)

// matrixURI is MX-1 and MX-2.
func matrixURI(id string) string {
	kind := map[byte]string{'@': "u", '!': "roomid"}[id[0]]
	var uri strings.Builder
	uri.WriteString("matrix:" + kind + "/")
	for _, c := range []byte(id[1:]) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80
		if letter || digit(c) || strings.IndexByte("-._~!$&'()*+,;=:@", c) >= 0 {
			uri.WriteByte(c)
		} else {
			fmt.Fprintf(&uri, "%%%02X", c)
		}
	}
	return uri.String()
}

// matrixCarriers gives the texts to be verified, none where MX-6 says that nothing is taken.
func matrixCarriers(text, plane string) []any {
	none := []any{}
	value, _ := parseJSON(text)
	event, _ := value.(object)
	wanted := map[string]string{"room": "m.room.message", "direct": "net.clawnet.direct"}[plane]
	if event.text("type") != wanted || event.has("state_key") || event.child("unsigned").has("redacted_because") {
		return none
	}
	content := event.child("content")
	if content.child("m.relates_to").text("rel_type") == "m.replace" {
		return none
	}
	values := content.list(carriersKey)
	if len(values) > carriersPerEvent {
		return none
	}
	carriers := none
	for _, value := range values {
		carriers = append(carriers, encodeBytes(appendJSON(nil, value)))
	}
	return carriers
}
