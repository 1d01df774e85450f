package main

// Chapter 08, deriving the state: sorting out, attempts, stages, the task (TASK-47).

import (
	"maps"
	"slices"
	"strings"
)

type task struct {
	*folding
	request *entry
	thread  map[string]*entry // its messages that are there, without the request
	end     *entry            // the close or cancel that stays
	awards  map[place]*entry  // the award that stays
	others  map[place][]*entry
	digests map[string]string // of inputs, and of stages with an accepted result
}

type place struct {
	stage   string
	attempt int64
}

func placeOf(e *entry) place { return place{e.body.text("stage"), e.body.integer("attempt")} }

func event(e *entry) string {
	if e.typ == "task.fail" && e.body.text("code") == "declined" {
		return "reject"
	}
	return strings.TrimPrefix(e.typ, "task.")
}

func (f *folding) deriveTask(request *entry, messages []*entry) object {
	t := &task{
		folding: f, request: request, thread: map[string]*entry{},
		awards: map[place]*entry{}, others: map[place][]*entry{}, digests: map[string]string{},
	}
	for _, e := range messages {
		if f.counts(e) {
			t.thread[e.id] = e
		}
	}
	for _, item := range request.body.list("inputs") {
		input := item.(object)
		t.digests[input.text("name")] = input.text("digest")
	}
	t.sortOut()
	stages, derived := object{}, []*stage{}
	for _, item := range request.body.list("stages") {
		s := t.deriveStage(item.(object))
		derived = append(derived, s)
		stages = append(stages, member{s.id, s.object()})
	}
	return object{{"state", t.state(derived)}, {"stages", stages}}
}

// there is the message that another one answers: the request, or one of the thread that is no offer.
func (t *task) there(id string) *entry {
	if id == t.request.id {
		return t.request
	}
	if e := t.thread[id]; e != nil && e.typ != "task.offer" {
		return e
	}
	return nil
}

func (t *task) sortOut() {
	// In the order of ids, so that the least of several awards or ends comes first.
	for _, id := range slices.Sorted(maps.Keys(t.thread)) {
		if e := t.thread[id]; e.typ != "task.offer" {
			if code := t.sortOne(e); code != "" {
				t.refuse(e, code)
			}
		}
	}
	for at, entries := range t.others {
		if t.awards[at] == nil {
			for _, e := range entries {
				t.refuse(e, "task.unknown_stage")
			}
			delete(t.others, at)
		}
	}
}

func (t *task) hasStage(id string) bool {
	named := func(stage any) bool { return stage.(object).text("id") == id }
	return slices.ContainsFunc(t.request.body.list("stages"), named)
}

func (t *task) sortOne(e *entry) string {
	if t.there(e.answers) == nil {
		return "state.waiting"
	}
	at := placeOf(e)
	ends := e.typ == "task.cancel" || e.typ == "task.close"
	if e.typ != "task.award" && !ends {
		t.others[at] = append(t.others[at], e)
		return ""
	}
	switch {
	case e.sender != t.request.sender:
		return "task.not_permitted"
	case e.answers != t.request.id:
		return "task.not_allowed"
	case ends && t.end == nil:
		t.end = e
	case ends && t.end.typ == "task.cancel" && e.typ == "task.close":
		t.refuse(t.end, "task.not_allowed")
		t.end = e
	case ends:
		return "task.not_allowed"
	case !t.hasStage(at.stage):
		return "task.unknown_stage"
	case t.awards[at] != nil:
		return "task.conflict"
	default:
		t.awards[at] = e
	}
	return ""
}

// depth is the number of steps along answers.
func (t *task) depth(e *entry) int {
	steps := 0
	for e = t.there(e.answers); e != nil; e = t.there(e.answers) {
		steps++
	}
	return steps
}

// stage is what its attempts come to.
type stage struct {
	id, state  string
	attempts   []any
	executions int64
	accepted   *entry
}

func (s *stage) object() object {
	state := object{{"state", s.state}, {"attempts", s.attempts}, {"executions", s.executions}}
	if s.accepted != nil {
		state = append(state, member{"accepted", s.accepted.id})
	}
	return state
}

func (t *task) deriveStage(described object) *stage {
	s := &stage{id: described.text("id"), state: "submitted", attempts: []any{}}
	if t.ended("task.cancel") {
		s.state = "canceled"
	}
	var attempts []*attempt
	for _, number := range t.attemptNumbers(s.id) {
		attempts = append(attempts, t.deriveAttempt(place{s.id, number}, sources(described)))
	}
	for i, a := range attempts {
		if t.ended("task.cancel") {
			a.apply("cancel")
		}
		if i < len(attempts)-1 {
			a.apply("lapse")
		}
		s.attempts = append(s.attempts, a.state)
		s.state = a.state
		if a.result != nil {
			s.executions++
		}
	}
	if s.accepted = t.accepted(s.id, attempts); s.accepted != nil {
		s.state = "completed"
		t.digests[s.id] = s.accepted.body.text("output_digest")
	}
	return s
}

// apply applies an event that changes nothing where the table does not allow it.
func (a *attempt) apply(event string) {
	if next, ok := states["attempt"].Transitions[a.state][event]; ok {
		a.state = next
	}
}

func (t *task) ended(typ string) bool { return t.end != nil && t.end.typ == typ }

func (t *task) attemptNumbers(stage string) (numbers []int64) {
	for at := range t.awards {
		if at.stage == stage {
			numbers = append(numbers, at.attempt)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// accepted is the result that the close names, or else that of the current attempt.
func (t *task) accepted(stage string, attempts []*attempt) *entry {
	if len(attempts) == 0 {
		return nil
	}
	if t.ended("task.close") {
		for _, a := range attempts {
			for _, item := range t.end.body.list("accepted") {
				named := item.(object)
				if a.result != nil && named.text("stage") == stage && named.text("result") == a.result.id {
					return a.result
				}
			}
		}
		if t.end.body.text("outcome") == "completed" {
			return nil
		}
	}
	return attempts[len(attempts)-1].result
}

// state is that of the task: the first that holds.
func (t *task) state(stages []*stage) string {
	all := func(state string) bool {
		return !slices.ContainsFunc(stages, func(s *stage) bool { return s.state != state })
	}
	switch {
	case t.ended("task.close"):
		return t.end.body.text("outcome")
	case t.ended("task.cancel"):
		return "canceled"
	case all("completed"):
		return "completed"
	case slices.ContainsFunc(stages, func(s *stage) bool { return s.state == "input_required" }):
		return "input_required"
	case all("submitted"):
		return "submitted"
	}
	return "working"
}
