package main

// Chapter 02: whether a value fits the table of its type. All objects are closed (MSG-11).

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// patternCharacters is the most that a text that has to match a pattern may have: that of Sealed.
const patternCharacters = 32000

type shape func(value any) bool

type field struct {
	name     string
	optional bool
	fits     shape
}

var (
	shapes = map[string]shape{
		"Bool": func(value any) bool { _, ok := value.(bool); return ok },
		"Any":  func(any) bool { return true }, // of a body, whose shape only its type tells (SIG-9)
	}
)

var (
	rangeNotation = regexp.MustCompile(`^\d+\.\.\d+$`)
	textNotation  = regexp.MustCompile(`^Text\((\d+\.\.\d+)\)$`)
	arrayNotation = regexp.MustCompile(`^(.+)\[(\d+\.\.\d+)\]$`)
)

// fits says whether a value has the named type.
func fits(value any, name string) bool { return shapes[name](value) }

func compileShapes() {
	for name, pattern := range scalarPatterns {
		shapes[name] = matching(regexp.MustCompile(pattern))
	}
	for name, notation := range scalarTypes {
		shapes[name] = compile(notation)
	}
	token := shapes["Token"]
	shapes["Extensions"] = func(value any) bool {
		members, ok := value.(object)
		for _, m := range members {
			ok = ok && token(m.key)
		}
		return ok && len(members) >= 1 && len(members) <= 16
	}
	for name, table := range objectTypes {
		shapes[name] = closedObject(table)
	}
}

func compile(notation string) shape {
	if parts := arrayNotation.FindStringSubmatch(notation); parts != nil {
		return arrayOf(compile(parts[1]), parts[2])
	}
	if first, second, ok := strings.Cut(notation, "/"); ok {
		a, b := compile(first), compile(second)
		return func(value any) bool { return a(value) || b(value) }
	}
	if parts := textNotation.FindStringSubmatch(notation); parts != nil {
		least, most := bounds(parts[1])
		return func(value any) bool {
			text, ok := value.(string)
			n := int64(utf8.RuneCountInString(text))
			return ok && n >= least && n <= most
		}
	}
	if rangeNotation.MatchString(notation) {
		least, most := bounds(notation)
		return func(value any) bool {
			n, ok := value.(int64)
			return ok && n >= least && n <= most
		}
	}
	if notation[0] >= 'A' && notation[0] <= 'Z' {
		// Looked up when it is used, for the tables name each other.
		return func(value any) bool { return fits(value, notation) }
	}
	return matching(regexp.MustCompile("^(" + notation + ")$"))
}

func bounds(notation string) (least, most int64) {
	if _, err := fmt.Sscanf(notation, "%d..%d", &least, &most); err != nil {
		panic(err)
	}
	return least, most
}

func matching(pattern *regexp.Regexp) shape {
	return func(value any) bool {
		text, ok := value.(string)
		return ok && len(text) <= patternCharacters && pattern.MatchString(text)
	}
}

func arrayOf(item shape, notation string) shape {
	least, most := bounds(notation)
	return func(value any) bool {
		list, ok := value.([]any)
		if !ok || int64(len(list)) < least || int64(len(list)) > most {
			return false
		}
		for _, value := range list {
			if !item(value) {
				return false
			}
		}
		return true
	}
}

func closedObject(table string) shape {
	var fields []field
	for line := range strings.SplitSeq(table, ",") {
		words := strings.Fields(line)
		name, optional := strings.CutSuffix(words[0], "?")
		fields = append(fields, field{name, optional, compile(words[1])})
	}
	return func(value any) bool {
		members, ok := value.(object)
		known := 0
		for _, f := range fields {
			value, present := members.get(f.name)
			if present {
				known++
			}
			if present && !f.fits(value) || !present && !f.optional {
				return false
			}
		}
		return ok && known == len(members)
	}
}
