"""The state of a task: a pure function of the set of its messages (spec/08-task.md, spec/states.json).

One table governs one (stage, attempt); stage and task are derived from their attempts. Messages are
applied in causal order, then in the table's order of events, then by id, so that the order in which
they arrived makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from clawnet_proto.families import task
from clawnet_proto.message import Message
from clawnet_proto.specification import STATES
from clawnet_proto.wire import present

_TABLE = STATES["attempt"]
_RANK = {event: rank for rank, event in enumerate(_TABLE.order)}
DECLINED = "declined"


class AttemptView(msgspec.Struct, kw_only=True):
    """One execution of one stage by one executor."""

    number: int
    state: str
    executor: str
    award: Message
    result: Message | None = None
    failure: Message | None = None
    question: Message | None = None  # the ask that waits for a reply
    last: Message  # the message an executor's next one answers: the award, or the last reply


class StageView(msgspec.Struct, kw_only=True):
    """A stage and its attempts; the highest attempt is the current one."""

    spec: task.Stage
    state: str
    attempts: dict[int, AttemptView]
    accepted: Message | None = None
    executions: int = 0  # results that arrived, the accepted one among them

    @property
    def current(self) -> AttemptView | None:
        return self.attempts[max(self.attempts)] if self.attempts else None


class TaskView(msgspec.Struct, kw_only=True):
    """A task as its messages tell it. ``errors`` maps the ids of messages that do not count to their codes."""

    id: str
    request: Message
    state: str
    stages: dict[str, StageView]
    errors: dict[str, str]
    cancel: Message | None = None
    close: Message | None = None

    @property
    def requester(self) -> str:
        return self.request.sender

    @property
    def finished(self) -> bool:
        """The requester has the last word: closed or canceled."""
        return self.close is not None or self.cancel is not None

    def output_digest(self, source: str) -> str | None:
        """The digest of an input, or of a stage's accepted output; None while there is none."""
        for item in self.request.body.inputs:
            if item.name == source:
                return str(item.digest)
        stage = self.stages.get(source)
        return None if stage is None or stage.accepted is None else stage.accepted.body.output_digest

    def output_text(self, source: str) -> str | None:
        """The text of an input, or of a stage's accepted output; None while there is none, or if it is sealed."""
        for item in self.request.body.inputs:
            if item.name == source:
                return None if item.text is UNSET else item.text
        stage = self.stages.get(source)
        if stage is None or stage.accepted is None or stage.accepted.body.text is UNSET:
            return None
        return str(stage.accepted.body.text)

    def ready(self, stage: task.Stage) -> bool:
        """Everything the stage reads is there."""
        return all(self.output_digest(source) is not None for source in stage.sources)


def event_of(message: Message) -> str:
    """The table's event for a task message."""
    event = message.type.removeprefix("task.")
    return "reject" if event == "fail" and message.body.code == DECLINED else event


def derive(request: Message, messages: Iterable[Message]) -> TaskView:
    """The state of a task from its request and the other messages of its thread, in any order."""
    view = TaskView(id=request.id, request=request, state="submitted", stages={}, errors={})
    # Offers reach the requester alone: what others make of the task cannot hang on them.
    known = {request.id: request} | {message.id: message for message in messages if message.type != "task.offer"}
    counted = _count_permitted(view, known)
    depths = _depths(known)
    for spec in request.body.stages:
        view.stages[spec.id] = _derive_stage(view, spec, counted, depths)
    view.state = _task_state(view)
    return view


def _count_permitted(view: TaskView, known: Mapping[str, Message]) -> list[Message]:
    """The messages that may count, awards settled; everything else gets its error."""
    counted = []
    endings: list[Message] = []
    awards: dict[tuple[str, int], Message] = {}
    for message in sorted(known.values(), key=lambda message: message.id):
        if message is view.request:
            continue
        if message.envelope.answers not in known:
            view.errors[message.id] = "state.waiting"
        elif message.type in ("task.award", "task.cancel", "task.close"):
            if message.sender != view.requester:
                view.errors[message.id] = "task.not_permitted"
            elif message.envelope.answers != view.id:
                view.errors[message.id] = "task.not_allowed"
            elif message.type != "task.award":
                endings.append(message)
            elif view.request.body.stage(message.body.stage) is None:
                view.errors[message.id] = "task.unknown_stage"
            elif awards.setdefault((message.body.stage, message.body.attempt), message) is not message:
                view.errors[message.id] = "task.conflict"
            else:
                counted.append(message)
        elif view.request.body.stage(message.body.stage) is None:
            view.errors[message.id] = "task.unknown_stage"
        else:
            counted.append(message)
    _settle_endings(view, endings)
    return counted


def _settle_endings(view: TaskView, endings: list[Message]) -> None:
    """A requester ends a task once; a receipt counts more than a cancellation, then the smaller id."""
    endings.sort(key=lambda message: (message.type != "task.close", message.id))
    for message in endings[1:]:
        view.errors[message.id] = "task.not_allowed"
    for message in endings[:1]:
        if message.type == "task.close":
            view.close = message
        else:
            view.cancel = message


def _depths(known: Mapping[str, Message]) -> dict[str, int]:
    """How many messages each one follows, one answering the other; each link is looked at once."""
    depths: dict[str, int] = {}
    for message in known.values():
        chain: list[str] = []
        last: str | UnsetType = message.id
        # An id is a digest over what it answers, so the chain cannot close into a circle.
        while last is not UNSET and last in known and last not in depths:
            chain.append(last)
            last = known[last].envelope.answers
        depth = depths.get(str(last), -1)
        for message_id in reversed(chain):
            depth += 1
            depths[message_id] = depth
    return depths


def _derive_stage(view: TaskView, spec: task.Stage, counted: list[Message], depths: Mapping[str, int]) -> StageView:
    stage = StageView(spec=spec, state="submitted", attempts={})
    mine = [message for message in counted if message.body.stage == spec.id]
    awards = {message.body.attempt: message for message in mine if message.type == "task.award"}
    for message in mine:
        if message.body.attempt not in awards:
            view.errors[message.id] = "task.unknown_stage"
    for number in sorted(awards):
        events = [message for message in mine if message.body.attempt == number]
        events.sort(key=lambda message: (depths[message.id], _RANK[event_of(message)], message.id))
        stage.attempts[number] = _derive_attempt(view, spec, awards[number], events, max(awards) > number)
    stage.executions = sum(attempt.result is not None for attempt in stage.attempts.values())
    stage.accepted = _accepted(view, stage)
    if stage.current is not None:
        stage.state = "completed" if stage.accepted is not None else stage.current.state
    elif view.cancel is not None:
        stage.state = "canceled"
    return stage


def _derive_attempt(
    view: TaskView, spec: task.Stage, award: Message, events: list[Message], lapsed: bool
) -> AttemptView:
    attempt = AttemptView(
        number=award.body.attempt,
        state=_TABLE.initial,
        executor=present(award.envelope.recipients, ("",))[0],
        award=award,
        last=award,
    )
    for message in events:
        error = _fault(view, spec, attempt, message)
        after = None if error else _TABLE.after(attempt.state, event_of(message))
        if after is None:
            view.errors[message.id] = error or "task.not_allowed"
            continue
        attempt.state = after
        if message.type == "task.result":
            attempt.result = message
        elif message.type == "task.fail":
            attempt.failure = message
        elif message.type == "task.ask":
            attempt.question = message
        elif message.type == "task.reply":
            attempt.question, attempt.last = None, message
    for event, happened in (("cancel", view.cancel is not None), ("lapse", lapsed)):
        if happened:
            attempt.state = _TABLE.after(attempt.state, event) or attempt.state
    return attempt


def _fault(view: TaskView, spec: task.Stage, attempt: AttemptView, message: Message) -> str | None:
    """Why a message of this attempt does not count, apart from the table."""
    if message.type == "task.award":
        return None
    sender = view.requester if message.type == "task.reply" else attempt.executor
    if message.sender != sender:
        return "task.not_permitted"
    answers = message.envelope.answers
    if message.type == "task.reply":
        return None if attempt.question and answers == attempt.question.id else "task.not_allowed"
    if answers not in (attempt.award.id, attempt.last.id):
        return "task.not_allowed"
    if message.type == "task.result":
        return _result_fault(view, spec, attempt, message.body)
    return None


def _result_fault(view: TaskView, spec: task.Stage, attempt: AttemptView, result: Any) -> str | None:
    sealed = view.request.body.privacy == "sealed"
    misplaced = result.text if sealed else result.sealed
    if result.award != attempt.award.id or misplaced is not UNSET:
        return "task.not_allowed"
    expected = [(source, view.output_digest(source)) for source in spec.sources]
    if any(digest is None for _, digest in expected):
        return "state.waiting"
    if [(item.source, item.digest) for item in result.inputs] != expected:
        return "task.input_mismatch"
    return None


def _accepted(view: TaskView, stage: StageView) -> Message | None:
    """The receipt names the accepted result; before it, the current attempt's result counts."""
    if view.close is not None:
        named = {item.result for item in view.close.body.accepted if item.stage == stage.spec.id}
        for attempt in stage.attempts.values():
            if attempt.result is not None and attempt.result.id in named:
                return attempt.result
        if view.close.body.outcome == "completed":
            return None
    return stage.current.result if stage.current is not None else None


def _task_state(view: TaskView) -> str:
    if view.close is not None:
        return str(view.close.body.outcome)
    if view.cancel is not None:
        return "canceled"
    states = {stage.state for stage in view.stages.values()}
    if states == {"completed"}:
        return "completed"
    if "input_required" in states:
        return "input_required"
    return "submitted" if states == {"submitted"} else "working"
