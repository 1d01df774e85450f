package main

// JSON as RFC 8259 has it: for carriers, events and requests. A library will not do: encoding/json matches keys
// without regard to case, replaces lone surrogates, and gives up on deep nesting (SIG-8 forbids that).

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Values are object, []any, string, number, int64 (in canonical text), bool, and nil for null. A string that holds
// a lone surrogate, which only an escape can bring in, has it as three bytes that are no valid UTF-8.
type (
	member struct {
		key   string
		value any
	}
	object []member
	number string // as it was written
)

func (o object) get(key string) (any, bool) {
	for i := range o {
		if o[i].key == key {
			return o[i].value, true
		}
	}
	return nil, false
}

// text, integer, list and child read members of values that fit their shape; what is absent is the zero value.
func (o object) text(key string) string {
	value, _ := o.get(key)
	text, _ := value.(string)
	return text
}

func (o object) integer(key string) int64 {
	switch value, _ := o.get(key); value := value.(type) {
	case int64:
		return value
	case number:
		n, _ := strconv.ParseInt(string(value), 10, 64)
		return n
	}
	return 0
}

func (o object) list(key string) []any {
	value, _ := o.get(key)
	list, _ := value.([]any)
	return list
}

func (o object) child(key string) object {
	value, _ := o.get(key)
	child, _ := value.(object)
	return child
}

func (o object) has(key string) bool {
	_, ok := o.get(key)
	return ok
}

// jsonDepth is far beyond what fits into a carrier, and keeps the stack within bounds for longer texts.
const jsonDepth = 1 << 20

type jsonReader struct {
	text  string
	at    int
	depth int
}

// parseJSON reads a whole text. It must be UTF-8; a byte order mark is no white space, so it fails too.
func parseJSON(text string) (any, bool) {
	if !utf8.ValidString(text) {
		return nil, false
	}
	r := &jsonReader{text: text}
	value, ok := r.value()
	r.space()
	if !ok || r.at < len(text) {
		return nil, false
	}
	return value, true
}

func (r *jsonReader) space() {
	for r.at < len(r.text) && strings.IndexByte(" \t\n\r", r.text[r.at]) >= 0 {
		r.at++
	}
}

// peek gives the next character after white space, 0 at the end of the text.
func (r *jsonReader) peek() byte {
	r.space()
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

func (r *jsonReader) take(c byte) bool {
	if r.peek() != c || r.at == len(r.text) {
		return false
	}
	r.at++
	return true
}

func (r *jsonReader) value() (any, bool) {
	switch c := r.peek(); {
	case c == '"':
		return r.string()
	case c == '{' || c == '[':
		if r.depth++; r.depth > jsonDepth {
			return nil, false
		}
		defer func() { r.depth-- }()
		if c == '{' {
			return r.object()
		}
		return r.array()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	return r.word()
}

func (r *jsonReader) word() (any, bool) {
	switch rest := r.text[r.at:]; {
	case strings.HasPrefix(rest, "true"):
		r.at += 4
		return true, true
	case strings.HasPrefix(rest, "false"):
		r.at += 5
		return false, true
	case strings.HasPrefix(rest, "null"):
		r.at += 4
		return nil, true
	}
	return nil, false
}

func (r *jsonReader) array() (any, bool) {
	r.at++
	list := []any{}
	if r.take(']') {
		return list, true
	}
	for {
		value, ok := r.value()
		if !ok {
			return nil, false
		}
		list = append(list, value)
		if r.take(']') {
			return list, true
		}
		if !r.take(',') {
			return nil, false
		}
	}
}

// object keeps the order of members; of a key that occurs twice the last value counts (MSG-4), in the first place.
func (r *jsonReader) object() (any, bool) {
	r.at++
	members, places := object{}, map[string]int{}
	if r.take('}') {
		return members, true
	}
	for {
		if r.peek() != '"' {
			return nil, false
		}
		key, ok := r.string()
		if !ok || !r.take(':') {
			return nil, false
		}
		value, ok := r.value()
		if !ok {
			return nil, false
		}
		if place, twice := places[key]; twice {
			members[place].value = value
		} else {
			places[key] = len(members)
			members = append(members, member{key, value})
		}
		if r.take('}') {
			return members, true
		}
		if !r.take(',') {
			return nil, false
		}
	}
}

func (r *jsonReader) digits() bool {
	start := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

func (r *jsonReader) next(set string) bool {
	if r.at < len(r.text) && strings.IndexByte(set, r.text[r.at]) >= 0 {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) number() (any, bool) {
	start := r.at
	r.next("-")
	if !r.next("0") && !r.digits() {
		return nil, false
	}
	if r.next(".") && !r.digits() {
		return nil, false
	}
	if r.next("eE") {
		r.next("+-")
		if !r.digits() {
			return nil, false
		}
	}
	return number(r.text[start:r.at]), true
}

func (r *jsonReader) string() (string, bool) {
	r.at++
	start := r.at
	var out []byte
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			out = append(out, r.text[start:r.at]...)
			r.at++
			return string(out), true
		case c < 0x20:
			return "", false
		case c == '\\':
			out = append(out, r.text[start:r.at]...)
			var ok bool
			if out, ok = r.escape(out); !ok {
				return "", false
			}
			start = r.at
		default:
			r.at++
		}
	}
	return "", false
}

func (r *jsonReader) escape(out []byte) ([]byte, bool) {
	r.at++
	if r.at == len(r.text) {
		return nil, false
	}
	c := r.text[r.at]
	r.at++
	if place := strings.IndexByte(`"\/bfnrt`, c); place >= 0 {
		return append(out, "\"\\/\b\f\n\r\t"[place]), true
	}
	unit, ok := r.unit()
	if c != 'u' || !ok {
		return nil, false
	}
	if unit >= 0xd800 && unit < 0xdc00 && strings.HasPrefix(r.text[r.at:], `\u`) {
		behind := r.at
		r.at += 2
		if low, ok := r.unit(); ok && low >= 0xdc00 && low < 0xe000 {
			return utf8.AppendRune(out, 0x10000+(unit-0xd800)<<10+(low-0xdc00)), true
		}
		r.at = behind
	}
	if unit >= 0xd800 && unit < 0xe000 {
		return append(out, 0xe0|byte(unit>>12), 0x80|byte(unit>>6)&0x3f, 0x80|byte(unit)&0x3f), true
	}
	return utf8.AppendRune(out, unit), true
}

func (r *jsonReader) unit() (rune, bool) {
	if len(r.text)-r.at < 4 {
		return 0, false
	}
	var unit rune
	for range 4 {
		digit := strings.IndexByte("0123456789abcdef", r.text[r.at]|0x20)
		if digit < 0 || r.text[r.at] < '0' {
			return 0, false
		}
		unit = unit<<4 | rune(digit)
		r.at++
	}
	return unit, true
}
