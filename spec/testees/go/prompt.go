package main

// Chapter 08, prompts: what a stranger says enters only as delimited data.

import (
	"regexp"
	"strings"
)

func renderPrompt(parts []any, source func(name string) string) string {
	var prompt strings.Builder
	for _, item := range parts {
		part := item.(object)
		name := part.text("source")
		switch {
		case part.text("part") == "text":
			prompt.WriteString(part.text("text"))
		case part.text("form") == "line":
			prompt.WriteString(renderLine(source(name)))
		default:
			prompt.WriteString(renderBlock(name, source(name)))
		}
	}
	return prompt.String()
}

var (
	blanks  = regexp.MustCompile(`[\x00-\x20\x7f-\x{a0}\x{2028}\x{2029}]+`)
	unheard = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f-\x{9f}]`)
	marks   = regexp.MustCompile(`>{3,}`)
)

// renderLine is TASK-9.
func renderLine(text string) string {
	return defuse(strings.Trim(blanks.ReplaceAllString(text, " "), " "))
}

// renderBlock is TASK-10.
func renderBlock(name, text string) string {
	text = marks.ReplaceAllString(unheard.ReplaceAllString(text, ""), ">>")
	return "<<<" + name + "\n" + defuse(text) + "\n>>>" + name
}

// defuse parts what a runtime could read as a control token.
func defuse(text string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteByte(text[i])
		rest := text[i+1:]
		if text[i] == '<' && !strings.HasPrefix(rest, " ") || text[i] == '[' && opensToken(rest) {
			out.WriteByte(' ')
		}
	}
	return out.String()
}

func opensToken(rest string) bool {
	return rest == "" || rest[0] == '/' || rest[0] >= 'A' && rest[0] <= 'Z'
}
