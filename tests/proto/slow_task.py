"""The state of a task, derived a second time: the steps of [TASK-47], one after the other, as ``spec/`` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from clawnet_proto.message import Message
from clawnet_proto.specification import STATES

_TABLE = STATES["attempt"].transitions
_ORDER = STATES["attempt"].order

Step = tuple[str, str]  # a state, and an event that met it


def derive_slowly(request: Message, messages: Iterable[Message]) -> tuple[dict[str, Any], list[Step]]:
    """The normal form of the task's view, and every state with the event that met it."""
    there = {message.id: message for message in [request, *messages] if message.type != "task.offer"}
    errors: dict[str, str] = {}
    steps: list[Step] = []
    candidates = [message for message in there.values() if message.id != request.id]
    stages = {stage.id: stage for stage in request.body.stages}

    left = []
    for message in candidates:
        kind = message.type.split(".")[1]
        if message.envelope.answers not in there:
            errors[message.id] = "state.waiting"
        elif kind in ("award", "cancel", "close") and message.sender != request.sender:
            errors[message.id] = "task.not_permitted"
        elif kind in ("award", "cancel", "close") and message.envelope.answers != request.id:
            errors[message.id] = "task.not_allowed"
        elif kind == "award" and message.body.stage not in stages:
            errors[message.id] = "task.unknown_stage"
        else:
            left.append(message)

    awards: dict[tuple[str, int], Message] = {}
    for message in sorted((m for m in left if m.type == "task.award"), key=lambda m: m.id):
        if awards.setdefault((message.body.stage, message.body.attempt), message) is not message:
            errors[message.id] = "task.conflict"
    closes = sorted((m for m in left if m.type == "task.close"), key=lambda m: m.id)
    cancels = sorted((m for m in left if m.type == "task.cancel"), key=lambda m: m.id)
    for message in [*closes, *cancels][1:]:
        errors[message.id] = "task.not_allowed"
    close = closes[0] if closes else None
    cancel = cancels[0] if cancels and not closes else None
    events: dict[tuple[str, int], list[Message]] = {place: [] for place in awards}
    for message in left:
        if message.type in ("task.award", "task.cancel", "task.close"):
            continue
        place = (message.body.stage, message.body.attempt)
        if place not in awards:
            errors[message.id] = "task.unknown_stage"
        else:
            events[place].append(message)

    outputs = {item.name: item.digest for item in request.body.inputs}
    shown: dict[str, Any] = {}
    for name, stage in stages.items():
        numbers = sorted(number for place, number in awards if place == name)
        attempts = {}
        results = {}
        for number in numbers:
            attempt = _Attempt(request, awards[name, number], steps)
            expected = [(source, outputs.get(source)) for source in _sources(stage)]
            for message in sorted(events[name, number], key=lambda m: _place_in_time(m, there)):
                error = attempt.apply(message, expected)
                if error:
                    errors[message.id] = error
            if cancel is not None:
                attempt.step("cancel")
            if number != numbers[-1]:
                attempt.step("lapse")
            attempts[number] = attempt.shown()
            if attempt.result is not None:
                results[number] = attempt.result
        accepted = _accepted(name, numbers, results, close)
        if accepted is not None:
            outputs[name] = accepted.body.output_digest
        state = attempts[numbers[-1]][0] if numbers else "canceled" if cancel is not None else "submitted"
        shown[name] = {
            "state": "completed" if accepted is not None else state,
            "accepted": None if accepted is None else accepted.id,
            "executions": len(results),
            "attempts": attempts,
        }
    states = [stage["state"] for stage in shown.values()]
    return {
        "state": _task_state(states, cancel, close),
        "cancel": None if cancel is None else cancel.id,
        "close": None if close is None else close.id,
        "errors": errors,
        "stages": shown,
    }, steps


class _Attempt:
    def __init__(self, request: Message, award: Message, steps: list[Step]) -> None:
        self.requester = request.sender
        self.public = request.body.privacy == "public"
        self.award = self.last = award
        (self.executor,) = award.envelope.recipients or ()
        self.question: Message | None = None
        self.result: Message | None = None
        self.failure: Message | None = None
        self.state = "submitted"
        self._steps = steps
        self.step("award")

    def step(self, event: str) -> bool:
        self._steps.append((self.state, event))
        after = _TABLE[self.state].get(event)
        self.state = after or self.state
        return after is not None

    def apply(self, message: Message, expected: list[tuple[str, Any]]) -> str | None:
        event = _event(message)
        answers = message.envelope.answers
        if message.sender != (self.requester if event == "reply" else self.executor):
            return "task.not_permitted"
        if event == "reply":
            if self.question is None or answers != self.question.id:
                return "task.not_allowed"
        elif answers not in (self.award.id, self.last.id):
            return "task.not_allowed"
        if event == "result":
            misplaced = message.body.sealed if self.public else message.body.text
            if message.body.award != self.award.id or misplaced is not msgspec.UNSET:
                return "task.not_allowed"
            if None in [digest for _, digest in expected]:
                return "state.waiting"
            if [(item.source, item.digest) for item in message.body.inputs] != expected:
                return "task.input_mismatch"
        if not self.step(event):
            return "task.not_allowed"
        if event == "ask":
            self.question = message
        elif event == "reply":
            self.question, self.last = None, message
        elif event == "result":
            self.result = message
        elif event in ("fail", "reject"):
            self.failure = message
        return None

    def shown(self) -> tuple[Any, ...]:
        parts = (self.award, self.result, self.failure, self.question, self.last)
        return self.state, self.executor, *(None if part is None else part.id for part in parts)


def _event(message: Message) -> str:
    event = message.type.split(".")[1]
    return "reject" if event == "fail" and message.body.code == "declined" else event


def _place_in_time(message: Message, there: dict[str, Message]) -> tuple[int, int, str]:
    depth, cause = 0, message.envelope.answers
    while cause is not msgspec.UNSET and cause in there:
        depth, cause = depth + 1, there[cause].envelope.answers
    return depth, _ORDER.index(_event(message)), message.id


def _sources(stage: Any) -> list[str]:
    found: list[str] = []
    for part in stage.prompt:
        source = getattr(part, "source", None)
        if source is not None and source not in found:
            found.append(source)
    return found


def _accepted(name: str, numbers: list[int], results: dict[int, Message], close: Message | None) -> Message | None:
    if close is not None:
        named = [item.result for item in close.body.accepted if item.stage == name]
        for number in numbers:
            if number in results and results[number].id in named:
                return results[number]
        if close.body.outcome == "completed":
            return None
    return results.get(numbers[-1]) if numbers else None


def _task_state(states: list[str], cancel: Message | None, close: Message | None) -> str:
    if close is not None:
        return str(close.body.outcome)
    if cancel is not None:
        return "canceled"
    if all(state == "completed" for state in states):
        return "completed"
    if "input_required" in states:
        return "input_required"
    return "submitted" if all(state == "submitted" for state in states) else "working"
