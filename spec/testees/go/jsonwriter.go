package main

// JSON text without white space, with only those escapes that JSON demands: the spelling of CAN-7 and of MX-7.

import (
	"fmt"
	"strconv"
)

var escapes = func() (table [256]string) {
	for c := range 0x20 {
		table[c] = fmt.Sprintf(`\u%04x`, c)
	}
	for i, letter := range `"\btnfr` {
		table["\"\\\b\t\n\f\r"[i]] = `\` + string(letter)
	}
	return table
}()

func appendJSON(out []byte, value any) []byte {
	switch value := value.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, value)
	case int64:
		return strconv.AppendInt(out, value, 10)
	case number:
		return append(out, value...)
	case string:
		return appendString(out, value)
	case []any:
		out = append(out, '[')
		for i, item := range value {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(out, item)
		}
		return append(out, ']')
	case object:
		out = append(out, '{')
		for i, m := range value {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(append(appendString(out, m.key), ':'), m.value)
		}
		return append(out, '}')
	}
	panic(fmt.Sprintf("no JSON value: %T", value))
}

// appendString writes a lone surrogate, which UTF-8 can not say, as the escape it came from.
func appendString(out []byte, text string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		escape := escapes[text[i]]
		width := 1
		if text[i] == 0xed && surrogate(text[i:]) {
			escape = fmt.Sprintf(`\u%04x`, 0xd000|int(text[i+1]&0x3f)<<6|int(text[i+2]&0x3f))
			width = 3
		}
		if escape != "" {
			out = append(append(out, text[start:i]...), escape...)
			i += width - 1
			start = i + 1
		}
	}
	return append(append(out, text[start:]...), '"')
}
