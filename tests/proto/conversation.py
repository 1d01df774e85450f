"""Conversations about a task: each method signs one message, verifies it and remembers it."""

from __future__ import annotations

from typing import Any

import msgspec

from clawnet_proto.families import task
from clawnet_proto.families.task_state import DECLINED, TaskView, derive
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.proto import samples
from tests.proto.authoring import Author

OUTPUT = "An output."


class Conversation:
    """One task. ``said`` is everything but the request, in the order in which it was said."""

    def __init__(self, requester: Author, request: task.Request | None = None) -> None:
        self.requester = requester
        self.request = requester.say(request or samples.request())
        self.said: list[Message] = []
        self._executors: dict[str, Author] = {}

    def say(self, by: Author, body: Any, answers: Message | str, to: str = "") -> Message:
        """Anything, by anybody, in this task's thread; ``to`` is a ``did``."""
        fields: dict[str, Any] = {"recipients": (to,)} if to else {}
        cause = answers if isinstance(answers, str) else answers.id
        message = by.say(body, thread=self.request.id, answers=cause, **fields)
        self.said.append(message)
        return message

    # --- the requester ---

    def award(self, to: Author, stage: str = "draft", attempt: int = 1, *, by: Author | None = None) -> Message:
        body = task.Award(stage=stage, attempt=attempt, lease_ms=30_000)
        message = self.say(by or self.requester, body, self.request, to.did)
        self._executors[message.id] = to
        return message

    def reply(self, ask: Message, *, by: Author | None = None) -> Message:
        body = task.Reply(stage=ask.body.stage, attempt=ask.body.attempt, text="A word.")
        return self.say(by or self.requester, body, ask, ask.sender)

    def cancel(self, *, by: Author | None = None) -> Message:
        return self.say(by or self.requester, task.Cancel(), self.request)

    def close(self, *results: Message, outcome: Any = "completed", by: Author | None = None) -> Message:
        accepted = tuple(
            task.Accepted(
                stage=result.body.stage,
                attempt=result.body.attempt,
                executor=result.sender,
                result=result.id,
                output_digest=result.body.output_digest,
            )
            for result in results
        )
        body = task.Close(outcome=outcome, accepted=accepted, executions=len(accepted))
        return self.say(by or self.requester, body, self.request)

    # --- an executor; ``after`` is the reply that its message answers instead of the award ---

    def start(self, award: Message, *, by: Author | None = None, after: Message | None = None) -> Message:
        return self._executor_says(task.Start, award, by, after)

    def progress(
        self, award: Message, index: int = 0, *, by: Author | None = None, after: Message | None = None
    ) -> Message:
        return self._executor_says(task.Progress, award, by, after, index=index, tokens=index, offset=0)

    def ask(self, award: Message, *, by: Author | None = None, after: Message | None = None) -> Message:
        return self._executor_says(task.Ask, award, by, after, question="Which?")

    def fail(self, award: Message, *, by: Author | None = None, after: Message | None = None) -> Message:
        return self._executor_says(task.Fail, award, by, after, code="broken", message="", retryable=True)

    def decline(self, award: Message, *, by: Author | None = None, after: Message | None = None) -> Message:
        return self._executor_says(task.Fail, award, by, after, code=DECLINED, message="", retryable=True)

    def result(
        self,
        award: Message,
        text: str = OUTPUT,
        *,
        inputs: dict[str, str] | None = None,
        by: Author | None = None,
        after: Message | None = None,
        changes: dict[str, Any] | None = None,
    ) -> Message:
        """A result; ``inputs`` are the texts it was computed from, by source: the question, unless others are given."""
        read = {"question": samples.QUESTION} if inputs is None else inputs
        digests = tuple(task.InputDigest(source=source, digest=digest(text.encode())) for source, text in read.items())
        body = samples.result(award.id, text, stage=award.body.stage, attempt=award.body.attempt, inputs=digests)
        body = msgspec.structs.replace(body, **(changes or {}))
        return self.say(by or self._executors[award.id], body, after or award, self.requester.did)

    def _executor_says(
        self, kind: Any, award: Message, by: Author | None, after: Message | None, **fields: Any
    ) -> Message:
        body = kind(stage=award.body.stage, attempt=award.body.attempt, **fields)
        return self.say(by or self._executors[award.id], body, after or award, self.requester.did)

    # --- what follows ---

    def view(self) -> TaskView:
        return derive(self.request, self.said)


def normal(view: TaskView) -> dict[str, Any]:
    """All that a task's view says, in a form that can be compared and read."""
    return {
        "state": view.state,
        "cancel": None if view.cancel is None else view.cancel.id,
        "close": None if view.close is None else view.close.id,
        "errors": view.errors,
        "stages": {
            name: {
                "state": stage.state,
                "accepted": None if stage.accepted is None else stage.accepted.id,
                "executions": stage.executions,
                "attempts": {
                    number: (
                        attempt.state,
                        attempt.executor,
                        attempt.award.id,
                        None if attempt.result is None else attempt.result.id,
                        None if attempt.failure is None else attempt.failure.id,
                        None if attempt.question is None else attempt.question.id,
                        attempt.last.id,
                    )
                    for number, attempt in stage.attempts.items()
                },
            }
            for name, stage in view.stages.items()
        },
    }
