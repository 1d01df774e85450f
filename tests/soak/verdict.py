"""What became of all tasks, as the messages of the room tell it: read by nobody's fold, counted by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from clawnet_proto.families import task
from clawnet_proto.message import Message


class Verdict(msgspec.Struct, kw_only=True):
    """Counts, and sentences about what must not be. Nothing was lost or taken twice if these are empty."""

    messages: int = 0
    tasks: int = 0
    outcomes: dict[str, int] = {}
    reasons: dict[str, int] = {}  # codes of those that failed
    stages: int = 0  # with an accepted result
    executions: int = 0  # results that were posted
    repeated: int = 0  # of these, for a stage that has another accepted one, or none
    awarded_again: int = 0  # stages with more than one award
    lost: list[str] = []
    twice: list[str] = []
    wrong: list[str] = []

    @property
    def good(self) -> bool:
        return not (self.lost or self.twice or self.wrong)


def judge(messages: Iterable[Message], acknowledged: Mapping[str, str], questions: Iterable[str]) -> Verdict:
    """``acknowledged`` has what was asked for by request id; ``questions`` are events of people that ask."""
    known = {message.id: message for message in messages}
    threads: dict[str, list[Message]] = defaultdict(list)
    for message in known.values():
        threads[str(message.envelope.thread)].append(message)
    requests = [message for message in known.values() if isinstance(message.body, task.Request)]
    verdict = Verdict(messages=len(known), tasks=len(requests))
    endings = Counter[str]()
    for request in requests:
        outcome = _Case(verdict, request, threads[request.id]).outcome(acknowledged.get(request.id, "a question"))
        endings[outcome] += 1
    verdict.outcomes = dict(endings)
    for request_id, what in acknowledged.items():
        if request_id not in known:
            verdict.lost.append(f"{what}: the request {request_id} never reached the room")
    for event in questions:
        _question(verdict, event, [request for request in requests if _asked_by(request) == event], threads)
    return verdict


class _Case:
    """One task."""

    def __init__(self, verdict: Verdict, request: Message, thread: list[Message]) -> None:
        self._verdict = verdict
        self._request = request
        self._thread = thread

    def outcome(self, what: str) -> str:
        """How it ended: completed, failed, canceled or lost; what is wrong about that goes to the verdict."""
        verdict, request = self._verdict, self._request
        closes, cancels = self._own(task.Close), self._own(task.Cancel)
        results = [message for message in self._thread if isinstance(message.body, task.Result)]
        awards = Counter((item.body.stage, item.body.attempt) for item in self._own(task.Award))
        verdict.awarded_again += len({stage for stage, attempt in awards if attempt > 1})
        verdict.executions += len(results)
        accepted = self._accepted(closes, {result.id: result for result in results}, what)
        verdict.stages += len(accepted)
        verdict.repeated += len(results) - len(accepted)
        for (stage, attempt), count in Counter((item.body.stage, item.body.attempt) for item in results).items():
            if count > 1:
                verdict.wrong.append(f"{what} {request.id}: {count} results for attempt {attempt} of {stage}")
        for (stage, attempt), count in awards.items():
            if count > 1:
                verdict.wrong.append(f"{what} {request.id}: attempt {attempt} of {stage} was awarded {count} times")
        if len(closes) > 1:
            verdict.twice.append(f"{what} {request.id} was closed {len(closes)} times")
        if closes:
            outcome, code = str(closes[0].body.outcome), closes[0].body.code
            if outcome == "failed":
                verdict.reasons[str(code)] = verdict.reasons.get(str(code), 0) + 1
            elif set(accepted) != {stage.id for stage in request.body.stages}:
                verdict.wrong.append(f"{what} {request.id} was completed without a result for each stage")
            return outcome
        if cancels:
            return "canceled"
        verdict.lost.append(f"{what}: {request.id} has not ended")
        return "lost"

    def _own(self, kind: type) -> list[Message]:
        """What the requester itself said of this kind."""
        sender = self._request.sender
        return [message for message in self._thread if isinstance(message.body, kind) and message.sender == sender]

    def _accepted(self, closes: list[Message], results: Mapping[str, Message], what: str) -> dict[str, str]:
        """The accepted result of each stage."""
        found: dict[str, set[str]] = defaultdict(set)
        for close in closes:
            for item in close.body.accepted:
                found[item.stage].add(item.result)
                result = results.get(item.result)
                said = (item.executor, item.stage, item.attempt, item.output_digest)
                if result is None or said != (
                    result.sender,
                    result.body.stage,
                    result.body.attempt,
                    result.body.output_digest,
                ):
                    self._verdict.wrong.append(f"{what} {self._request.id}: the receipt names another {item.stage}")
        for stage, ids in found.items():
            if len(ids) > 1:
                self._verdict.twice.append(f"{what} {self._request.id}: {stage} has {len(ids)} accepted results")
        return {stage: min(ids) for stage, ids in found.items()}


def _question(verdict: Verdict, event: str, requests: list[Message], threads: Mapping[str, list[Message]]) -> None:
    """A person's question is asked by one agent; another that asked as well withdraws, and one may fail before it."""
    bodies = {request.id: [message.body for message in threads[request.id]] for request in requests}
    asked = [request for request in bodies if not any(isinstance(body, task.Cancel) for body in bodies[request])]
    failed = [
        request
        for request in asked
        if any(isinstance(body, task.Close) and body.outcome == "failed" for body in bodies[request])
    ]
    if not asked:
        verdict.lost.append(f"a question: nobody asked on behalf of {event} to the end")
    elif len(asked) - len(failed) > 1:
        verdict.twice.append(f"a question: {len(asked)} agents asked on behalf of {event} to the end")


def _asked_by(request: Message) -> str:
    behalf = request.body.on_behalf_of
    return behalf.event if isinstance(behalf, task.OnBehalfOf) else ""
