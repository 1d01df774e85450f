package main

// Rules of bodies that no table of fields can say (SIG-9, step 6).

import "slices"

func checkBody(m *message) error {
	switch m.typ {
	case "identity.rotate", "identity.revoke":
		return proveChain(m)
	case "task.request":
		return checkRequest(m.body)
	case "task.award":
		return checkAward(m.body)
	case "task.result":
		return checkResult(m.body)
	}
	return nil
}

// checkRequest is TASK-1 to TASK-4.
func checkRequest(body object) error {
	public := body.text("privacy") == "public"
	names := map[string]bool{}
	for _, item := range body.list("inputs") {
		if name := item.(object).text("name"); names[name] {
			return fault("schema.body")
		} else {
			names[name] = true
		}
	}
	for _, item := range body.list("stages") {
		stage := item.(object)
		if names[stage.text("id")] {
			return fault("schema.body")
		}
		for _, source := range sources(stage) {
			if !names[source] {
				return fault("schema.body")
			}
		}
		names[stage.text("id")] = true
	}
	for _, item := range body.list("inputs") {
		input := item.(object)
		if input.has("text") != public {
			return fault("schema.body")
		}
		if public {
			if err := checkInline(input.text("text"), input.text("digest")); err != nil {
				return err
			}
		}
	}
	return nil
}

// sources are those of a stage, each once, in the order in which the prompt first names them (TASK-39).
func sources(stage object) (names []string) {
	for _, item := range stage.list("prompt") {
		if part := item.(object); part.text("part") == "data" && !slices.Contains(names, part.text("source")) {
			names = append(names, part.text("source"))
		}
	}
	return names
}

// checkInline is TASK-4 and TASK-38.
func checkInline(text, expected string) error {
	if len(text) > limits.InlineTextBytes {
		return fault("schema.body")
	}
	if digest([]byte(text)) != expected {
		return fault("digest.mismatch")
	}
	return nil
}

// checkAward is TASK-37 for awards.
func checkAward(body object) error {
	for _, item := range body.list("inputs") {
		input := item.(object)
		if input.has("sealed") == input.has("artifact") || !chunked(input) {
			return fault("schema.body")
		}
	}
	return nil
}

// checkResult is TASK-37 and TASK-38.
func checkResult(body object) error {
	given := 0
	for _, name := range []string{"text", "sealed", "artifact"} {
		if body.has(name) {
			given++
		}
	}
	if given != 1 || !chunked(body) {
		return fault("schema.body")
	}
	if body.has("text") {
		return checkInline(body.text("text"), body.text("output_digest"))
	}
	return nil
}

// chunked is ART-1 for the artifact of a body, if it has one.
func chunked(body object) bool {
	if !body.has("artifact") {
		return true
	}
	artifact := body.child("artifact")
	return len(artifact.list("chunks")) == chunkCount(artifact.integer("bytes"))
}
