"""TASK-47 in its own words: the state of one task, and the code of each of its messages that does not count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.vectors.message_model import Message
from tests.vectors.mutants_fold import Checks
from tests.vectors.writing import table

ATTEMPT = table("states")["attempt"]
BY_REQUESTER = {"task.award", "task.cancel", "task.close"}


@dataclass
class Attempt:
    """One attempt of a stage, as far as it was derived."""

    number: int
    award: Message
    state: str = "submitted"
    result: Message | None = None


@dataclass
class Stage:
    """One stage of the request. ``accepted`` is its accepted result."""

    name: str
    attempts: list[Attempt] = field(default_factory=list)
    accepted: Message | None = None


def event_of(m: Message) -> str:
    """The event of a message in the table."""
    event = m.type.removeprefix("task.")
    return "reject" if event == "fail" and m.body["code"] == "declined" else event


class Task:
    """The derivation, step by step. ``thread`` are the messages of the task but the request."""

    def __init__(self, request: Message, thread: list[Message], checks: Checks, arrival: dict[str, int]) -> None:
        self.request = request
        self.checks = checks
        self.arrival = arrival
        self.there = {m.id: m for m in [request, *thread] if m.type != "task.offer" or not checks.hold("offers-cause")}
        self.left = [m for m in thread if m.type != "task.offer"]
        self.codes: dict[str, str] = {}
        self.stages = {stage["id"]: Stage(stage["id"]) for stage in request.body["stages"]}
        self.digests = {entry["name"]: entry["digest"] for entry in request.body["inputs"]}

    def drop(self, m: Message, code: str) -> None:
        self.codes[m.id] = code
        self.left.remove(m)

    def of(self, *types: str) -> list[Message]:
        return [m for m in self.left if m.type in types]

    # --- sorting out -------------------------------------------------------------------------------

    def sort_out(self) -> None:
        hold = self.checks.hold
        for m in list(self.left):
            if m.envelope["answers"] not in self.there and hold("causes-need-not-be-there"):
                self.drop(m, "state.waiting")
            elif m.type in BY_REQUESTER and m.sender != self.request.sender and hold("strangers-award"):
                self.drop(m, "task.not_permitted")
            elif m.type in BY_REQUESTER and m.envelope["answers"] != self.request.id and hold("awards-answer-anything"):
                self.drop(m, "task.not_allowed")
            elif m.type == "task.award" and m.body["stage"] not in self.stages:
                self.drop(m, "task.unknown_stage" if hold("unknown-award-not-told") else "task.not_allowed")
        self.one_award_each()
        self.one_end()
        given = {(m.body["stage"], m.body["attempt"]) for m in self.of("task.award")}
        for m in list(self.left):
            if m.type not in BY_REQUESTER and (m.body["stage"], m.body["attempt"]) not in given:
                self.drop(m, "task.unknown_stage" if hold("unawarded-work-not-told") else "task.not_allowed")

    def one_award_each(self) -> None:
        awards: dict[tuple[str, int], list[Message]] = {}
        for m in self.of("task.award"):
            awards.setdefault((m.body["stage"], m.body["attempt"]), []).append(m)
        for same in awards.values():
            stays = min(same, key=lambda m: m.id)
            if not self.checks.hold("greater-award-stays"):
                stays = max(same, key=lambda m: m.id)
            if not self.checks.hold("first-award-to-arrive-stays"):
                stays = min(same, key=lambda m: self.arrival[m.id])
            for m in same:
                if m is not stays:
                    self.drop(m, "task.conflict" if self.checks.hold("conflict-not-told") else "task.not_allowed")

    def one_end(self) -> None:
        hold = self.checks.hold
        kinds = ["task.close", "task.cancel"] if hold("cancel-before-close") else ["task.cancel", "task.close"]
        ends = sorted(self.of(*kinds), key=lambda m: (kinds.index(m.type), m.id))
        if not hold("greater-end-stays"):
            ends = sorted(self.of(*kinds), key=lambda m: (kinds.index(m.type), m.id), reverse=True)
        if not hold("first-end-to-arrive-stays"):
            ends.sort(key=lambda m: self.arrival[m.id])
        for m in ends[1:]:
            self.drop(m, "task.not_allowed")
        self.close = next(iter(self.of("task.close")), None)
        self.cancel = next(iter(self.of("task.cancel")), None)

    # --- attempts ----------------------------------------------------------------------------------

    def depth(self, m: Message) -> int:
        steps, cause = 0, self.there.get(m.envelope.get("answers", ""))
        while cause is not None:
            steps, cause = steps + 1, self.there.get(cause.envelope.get("answers", ""))
        return steps

    def order(self, m: Message) -> tuple[Any, ...]:
        hold = self.checks.hold
        if not hold("order-is-that-of-arrival"):
            return (self.arrival[m.id],)
        if not hold("order-is-that-of-sent-ms"):
            return (m.sent_ms, m.id)
        depth = self.depth(m) if hold("depth-unread") else 0
        event = ATTEMPT["order"].index(event_of(m)) if hold("order-of-events-unread") else 0
        if not hold("greater-id-goes-first"):
            return (depth, event, tuple(-ord(character) for character in m.id))
        return (depth, event, m.id)

    def work_off(self, stage: Stage, attempt: Attempt) -> None:
        """Each message of the attempt in turn."""
        hold = self.checks.hold
        award = attempt.award
        executor = award.envelope["recipients"][0]
        mine = [
            m
            for m in self.left
            if m.type not in BY_REQUESTER and (m.body["stage"], m.body["attempt"]) == (stage.name, attempt.number)
        ]
        attempt.state = ATTEMPT["transitions"]["submitted"]["award"]
        last, question = award, ""
        for m in sorted(mine, key=self.order):
            speaker = self.request.sender if m.type == "task.reply" else executor
            if m.sender != speaker and hold("anyone-replies" if m.type == "task.reply" else "anyone-works"):
                self.drop(m, "task.not_permitted")
                continue
            code = self.place_fault(m, award, last, question)
            if code is None and m.type == "task.result":
                code = self.result_fault(m, stage, award)
            after = ATTEMPT["transitions"][attempt.state].get(event_of(m))
            if not hold("a-fail-is-a-fail") and event_of(m) == "reject":
                after = ATTEMPT["transitions"][attempt.state].get("fail")
            if code is None and after is None and hold("table-unread"):
                code = "task.not_allowed"
            if code is not None:
                self.drop(m, code)
                continue
            attempt.state = after or attempt.state
            if m.type == "task.ask":
                question = m.id
            if m.type == "task.reply":
                question, last = "", m
            if m.type == "task.result":
                attempt.result = m
            elif m.type == "task.progress" and "text" in m.body and not hold("progress-completes"):
                attempt.state, attempt.result = "completed", m

    def place_fault(self, m: Message, award: Message, last: Message, question: str) -> str | None:
        answers = m.envelope["answers"]
        if m.type == "task.reply":
            return None if answers == question or not self.checks.hold("any-reply-closes") else "task.not_allowed"
        if answers not in {award.id, last.id} and self.checks.hold("answers-unread"):
            return "task.not_allowed"
        return None

    def result_fault(self, m: Message, stage: Stage, award: Message) -> str | None:
        hold = self.checks.hold
        if m.body["award"] != award.id and hold("award-of-result-unread"):
            return "task.not_allowed"
        forbidden = "sealed" if self.request.body["privacy"] == "public" else "text"
        if forbidden in m.body and hold("privacy-of-result-unread"):
            return "task.not_allowed"
        if "artifact" in m.body and not hold("artifacts-are-no-results"):
            return "task.not_allowed"
        row = next(row for row in self.request.body["stages"] if row["id"] == stage.name)
        named = [part["source"] for part in row["prompt"] if part["part"] == "data"]
        sources = list(dict.fromkeys(named)) if hold("sources-count-each-time") else named
        if any(source not in self.digests for source in sources) and hold("sources-need-not-be-there"):
            return "state.waiting"
        wanted = [{"source": source, "digest": self.digests.get(source, "")} for source in sources]
        same = m.body["inputs"] == wanted
        if not hold("inputs-in-any-order"):
            same = sorted(m.body["inputs"], key=str) == sorted(wanted, key=str)
        given, needed = ({(entry["source"], entry["digest"]) for entry in some} for some in (m.body["inputs"], wanted))
        same = same or (not hold("inputs-may-be-more") and given >= needed)
        same = same or (not hold("inputs-may-be-fewer") and given <= needed)
        return None if same or not hold("inputs-unread") else "task.input_mismatch"

    # --- stages and task -----------------------------------------------------------------------------

    def derive(self) -> dict[str, Any]:
        self.sort_out()
        for stage in self.stages.values():
            awards = [m for m in self.of("task.award") if m.body["stage"] == stage.name]
            for award in sorted(awards, key=lambda m: int(m.body["attempt"])):
                stage.attempts.append(Attempt(award.body["attempt"], award))
            for attempt in stage.attempts:
                self.work_off(stage, attempt)
                self.end(attempt, attempt is stage.attempts[-1])
            stage.accepted = self.accepted(stage)
            if stage.accepted is not None:
                self.digests[stage.name] = stage.accepted.body.get("output_digest", "")
        stages = {stage.name: self.stage_value(stage) for stage in self.stages.values()}
        return {"state": self.task_word([value["state"] for value in stages.values()]), "stages": stages}

    def end(self, attempt: Attempt, current: bool) -> None:
        hold = self.checks.hold
        if self.cancel is not None and hold("cancel-ends-no-attempt"):
            after = ATTEMPT["transitions"][attempt.state].get("cancel", attempt.state)
            attempt.state = after if hold("cancel-undoes-results") else "canceled"
        if not current and hold("attempts-do-not-lapse"):
            after = ATTEMPT["transitions"][attempt.state].get("lapse", attempt.state)
            attempt.state = after if hold("lapse-undoes-all") else "lapsed"

    def accepted(self, stage: Stage) -> Message | None:
        results = [attempt.result for attempt in stage.attempts if attempt.result is not None]
        if self.close is not None and self.checks.hold("accepted-unread"):
            anywhere = not self.checks.hold("accepted-for-any-stage")
            accepted = [entry for entry in self.close.body["accepted"] if entry["stage"] == stage.name or anywhere]
            named = {entry["result"] for entry in accepted}
            taken = [m for m in results if m.id in named]
            if taken:
                return taken[0] if self.checks.hold("last-of-accepted-counts") else taken[-1]
            if self.close.body["outcome"] == "completed" and self.checks.hold("completed-needs-no-receipt"):
                return None
        if not self.checks.hold("any-attempt-completes"):
            return results[0] if results else None
        return stage.attempts[-1].result if stage.attempts else None

    def stage_value(self, stage: Stage) -> dict[str, Any]:
        if stage.accepted is not None:
            state = "completed"
        elif not stage.attempts:
            state = (
                "canceled" if self.cancel is not None and self.checks.hold("cancel-ends-no-attempt") else "submitted"
            )
        else:
            state = stage.attempts[-1].state
        done = len([attempt for attempt in stage.attempts if attempt.result is not None])
        value: dict[str, Any] = {
            "state": state,
            "attempts": [attempt.state for attempt in stage.attempts],
            "executions": done if self.checks.hold("executions-are-attempts") else len(stage.attempts),
        }
        return value if stage.accepted is None else value | {"accepted": stage.accepted.id}

    def task_word(self, words: list[str]) -> str:
        if self.close is not None and self.checks.hold("close-changes-nothing"):
            return str(self.close.body["outcome"])
        if self.cancel is not None and self.checks.hold("cancel-does-not-end-the-task"):
            return "canceled"
        if all(word == "completed" for word in words):
            return "completed"
        if "input_required" in words and self.checks.hold("questions-not-shown"):
            return "input_required"
        if all(word == "submitted" for word in words):
            return "submitted"
        return "working"


def task_state(
    request: Message, thread: list[Message], checks: Checks, arrival: dict[str, int]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The Task of ``mesh.state``, and the codes of TASK-47 by id.

    ``arrival`` is the place of each message in the order of arrival; only broken models look at it.
    """
    task = Task(request, thread, checks, arrival)
    value = task.derive()
    return value, task.codes
