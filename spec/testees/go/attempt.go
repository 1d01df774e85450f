package main

// Chapter 08: one (task, stage, attempt), by its table.

import (
	"cmp"
	"slices"
)

// attempt is what the messages of one attempt lead to.
type attempt struct {
	state    string
	award    *entry
	last     *entry // the award, or the reply that counted last
	question string // id of the ask that waits for its reply
	result   *entry
}

func (t *task) deriveAttempt(at place, needed []string) *attempt {
	award := t.awards[at]
	a := &attempt{state: states["attempt"].Initial, award: award, last: award}
	entries := append([]*entry{award}, t.others[at]...)
	depths := map[string]int{}
	for _, e := range entries {
		depths[e.id] = t.depth(e)
	}
	order := states["attempt"].Order
	slices.SortFunc(entries, func(a, b *entry) int {
		return cmp.Or(
			cmp.Compare(depths[a.id], depths[b.id]),
			cmp.Compare(slices.Index(order, event(a)), slices.Index(order, event(b))),
			cmp.Compare(a.id, b.id),
		)
	})
	for _, e := range entries {
		next, allowed := states["attempt"].Transitions[a.state][event(e)]
		code := t.check(a, e, needed)
		if code == "" && !allowed {
			code = "task.not_allowed"
		}
		if code != "" {
			t.refuse(e, code)
			continue
		}
		a.state = next
		switch e.typ {
		case "task.ask":
			a.question = e.id
		case "task.reply":
			a.question, a.last = "", e
		case "task.result":
			a.result = e
		}
	}
	return a
}

// check makes the checks 1 to 3 for a message of an attempt.
func (t *task) check(a *attempt, e *entry, needed []string) string {
	speaker := a.award.recipients[0]
	if e.typ == "task.reply" {
		speaker = t.request.sender
	}
	switch {
	case e == a.award:
		return ""
	case e.sender != speaker:
		return "task.not_permitted"
	case e.typ == "task.reply":
		if e.answers != a.question {
			return "task.not_allowed"
		}
	case e.answers != a.award.id && e.answers != a.last.id:
		return "task.not_allowed"
	}
	if e.typ == "task.result" {
		return t.checkResult(a, e, needed)
	}
	return ""
}

func (t *task) checkResult(a *attempt, e *entry, needed []string) string {
	unfit := "sealed"
	if t.request.body.text("privacy") == "sealed" {
		unfit = "text"
	}
	if e.body.text("award") != a.award.id || e.body.has(unfit) {
		return "task.not_allowed"
	}
	var expected []inputDigest
	for _, source := range needed {
		digest, ok := t.digests[source]
		if !ok {
			return "state.waiting"
		}
		expected = append(expected, inputDigest{source, digest})
	}
	var given []inputDigest
	for _, item := range e.body.list("inputs") {
		input := item.(object)
		given = append(given, inputDigest{input.text("source"), input.text("digest")})
	}
	if !slices.Equal(given, expected) {
		return "task.input_mismatch"
	}
	return ""
}

type inputDigest struct{ source, digest string }
