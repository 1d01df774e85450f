package main

// Chapter 03: canonical text. The reader is the procedure of CAN-13, step by step, for the order of faults is
// normative.

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

type canonicalReader struct {
	text  string
	at    int
	nodes int
}

// readCanonical gives the value of a canonical text, or the code of its first fault.
func readCanonical(text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, fault("canonical.syntax")
	}
	r := &canonicalReader{text: text}
	value, err := r.value(1)
	if err == nil && r.at < len(text) {
		return nil, fault("canonical.whitespace")
	}
	return value, err
}

func surrogate(text string) bool {
	return len(text) >= 3 && text[0] == 0xed && text[1] >= 0xa0 && text[1] < 0xc0 && text[2] >= 0x80 && text[2] < 0xc0
}

// token expects a token: it gives the next character, 0 at the end of the text.
func (r *canonicalReader) token() (byte, error) {
	if r.at == len(r.text) {
		return 0, nil
	}
	c := r.text[r.at]
	if c == ' ' || c == '\t' || c == '\n' || c == '\r' || strings.HasPrefix(r.text[r.at:], "\ufeff") {
		return 0, fault("canonical.whitespace")
	}
	return c, nil
}

func (r *canonicalReader) value(depth int) (any, error) {
	if r.nodes++; r.nodes > limits.Nodes {
		return nil, fault("canonical.nodes")
	}
	c, err := r.token()
	switch rest := r.text[r.at:]; {
	case err != nil:
		return nil, err
	case c == '"':
		return r.string()
	case (c == '{' || c == '[') && depth > limits.Depth:
		return nil, fault("canonical.depth")
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.array(depth)
	case c == '-' || digit(c):
		return r.number()
	case strings.HasPrefix(rest, "true"):
		r.at += 4
		return true, nil
	case strings.HasPrefix(rest, "false"):
		r.at += 5
		return false, nil
	case strings.HasPrefix(rest, "null"):
		return nil, fault("canonical.null")
	}
	return nil, fault("canonical.syntax")
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// run gives the place behind the digits that stand at a place, which is the place itself if there are none.
func (r *canonicalReader) run(at int) int {
	for at < len(r.text) && digit(r.text[at]) {
		at++
	}
	return at
}

func (r *canonicalReader) number() (any, error) {
	start, at := r.at, r.at
	if r.text[at] == '-' {
		at++
	}
	end := r.run(at)
	if end == at {
		return nil, fault("canonical.syntax")
	}
	whole := end
	if end < len(r.text) && r.text[end] == '.' && r.run(end+1) > end+1 {
		end = r.run(end + 1)
	}
	if end < len(r.text) && r.text[end]|0x20 == 'e' {
		sign := end + 1
		if sign < len(r.text) && (r.text[sign] == '+' || r.text[sign] == '-') {
			sign++
		}
		if behind := r.run(sign); behind > sign {
			end = behind
		}
	}
	r.at = end
	text := r.text[start:end]
	// 16 digits always fit into an int64; longer runs are not converted at all (LIM-4).
	if end > whole || whole-at > 16 || text == "-0" || r.text[at] == '0' && whole > at+1 {
		return nil, fault("canonical.number")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > limits.Integer || n < -limits.Integer {
		return nil, fault("canonical.number")
	}
	return n, nil
}

func (r *canonicalReader) string() (string, error) {
	r.at++
	start := r.at
	var out []byte
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			out = append(out, r.text[start:r.at]...)
			r.at++
			return string(out), nil
		case c < 0x20: // surrogates are no UTF-8
			return "", fault("canonical.string")
		case c == '\\':
			c, size := canonicalEscape(r.text[r.at:])
			if size == 0 {
				return "", escapeFault(r.text[r.at:])
			}
			out = append(append(out, r.text[start:r.at]...), c)
			r.at += size
			start = r.at
		default:
			r.at++
		}
	}
	return "", fault("canonical.syntax")
}

// canonicalEscape reads an escape of CAN-7 and gives its length, 0 for all others.
func canonicalEscape(text string) (byte, int) {
	if len(text) >= 2 {
		if place := strings.IndexByte(`"\bfnrt`, text[1]); place >= 0 {
			return "\"\\\b\f\n\r\t"[place], 2
		}
	}
	for c := range byte(0x20) {
		if escape := escapes[c]; strings.HasPrefix(text, escape) {
			return c, len(escape)
		}
	}
	return 0, 0
}

// escapeFault tells escapes that JSON knows from those that nobody knows.
func escapeFault(text string) error {
	if strings.HasPrefix(text, `\/`) {
		return fault("canonical.string")
	}
	if len(text) >= 6 && text[1] == 'u' && strings.Trim(text[2:6], "0123456789abcdefABCDEF") == "" {
		return fault("canonical.string")
	}
	return fault("canonical.syntax")
}

func (r *canonicalReader) array(depth int) (any, error) {
	r.at++
	list := []any{}
	c, err := r.token()
	if err == nil && c == ']' {
		r.at++
		return list, nil
	}
	for err == nil {
		var value any
		if value, err = r.value(depth + 1); err != nil {
			break
		}
		list = append(list, value)
		if c, err = r.token(); err != nil {
			break
		}
		r.at++
		if c == ']' {
			return list, nil
		}
		if c != ',' {
			err = fault("canonical.syntax")
		}
	}
	return nil, err
}

func (r *canonicalReader) object(depth int) (any, error) {
	r.at++
	members := object{}
	c, err := r.token()
	if err == nil && c == '}' {
		r.at++
		return members, nil
	}
	for err == nil {
		var m member
		if m, err = r.member(members, depth); err != nil {
			break
		}
		members = append(members, m)
		if c, err = r.token(); err != nil {
			break
		}
		r.at++
		if c == '}' {
			return members, nil
		}
		if c != ',' {
			err = fault("canonical.syntax")
		}
	}
	return nil, err
}

func (r *canonicalReader) member(before object, depth int) (m member, err error) {
	c, err := r.token()
	if err == nil && c != '"' {
		err = fault("canonical.syntax")
	}
	if err != nil {
		return m, err
	}
	if m.key, err = r.string(); err != nil {
		return m, err
	}
	if !canonicalKey(m.key) {
		return m, fault("canonical.key")
	}
	// The keys read so far are in order, so one search answers both questions.
	place := sort.Search(len(before), func(i int) bool { return before[i].key >= m.key })
	if place < len(before) {
		if before[place].key == m.key {
			return m, fault("canonical.duplicate_key")
		}
		return m, fault("canonical.order")
	}
	if c, err = r.token(); err != nil {
		return m, err
	}
	if c != ':' {
		return m, fault("canonical.syntax")
	}
	r.at++
	m.value, err = r.value(depth + 1)
	return m, err
}

func canonicalKey(key string) bool {
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || digit(c) || c == '_' || c == '.' || c == '-') {
			return false
		}
	}
	return key != "" && len(key) <= limits.KeyCharacters
}

// writeCanonical gives the text of a value, whose faults, if it has any, readCanonical finds.
func writeCanonical(value any) string { return string(appendJSON(nil, ordered(value))) }

func ordered(value any) any {
	switch value := value.(type) {
	case object:
		sorted := make(object, len(value))
		for i, m := range value {
			sorted[i] = member{m.key, ordered(m.value)}
		}
		slices.SortFunc(sorted, func(a, b member) int { return strings.Compare(a.key, b.key) })
		return sorted
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = ordered(item)
		}
		return list
	case number:
		// The same integer may be spelled with a fraction or an exponent; floats have all integers of CAN-6.
		if n, err := strconv.ParseFloat(string(value), 64); err == nil && n == float64(int64(n)) {
			return int64(n)
		}
	}
	return value
}
