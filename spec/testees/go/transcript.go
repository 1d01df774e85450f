package main

// Chapter 11: which lines of a transcript are damaged.

import (
	"bytes"
	"slices"
)

// lineBytes is the most that a line may have with its line feed (TR-1).
const lineBytes = 8388608

// damagedLines is TR-5, by numbers from 1.
func damagedLines(text []byte) []any {
	if len(text) == 0 {
		return []any{int64(1)}
	}
	damaged := []any{}
	previous, known := "", true // the link of the line before, if that could be read
	for number := int64(1); len(text) > 0; number++ {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		entry, readable := readLine(line, number == 1)
		readable = readable && ended
		if !readable || known && entry.text("link") != linkOf(entry, previous) {
			damaged = append(damaged, number)
		}
		previous, known = entry.text("link"), readable
	}
	return damaged
}

func readLine(line []byte, first bool) (object, bool) {
	if len(line) >= lineBytes {
		return nil, false
	}
	name := "Entry"
	if first {
		name = "Header"
	}
	value, err := readCanonical(string(line))
	if err != nil || !fits(value, name) {
		return nil, false
	}
	return value.(object), true
}

// linkOf is TR-4.
func linkOf(entry object, previous string) string {
	unlinked := slices.Clone(entry)
	for i := range unlinked {
		if unlinked[i].key == "link" {
			unlinked[i].value = ""
		}
	}
	return digest([]byte(previous + "\n" + writeCanonical(unlinked)))
}
