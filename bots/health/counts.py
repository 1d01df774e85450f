"""What has happened since the start, added up from the agent's events. Labels are words of the protocol alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

import msgspec

from bots.events import AnyEvent, MessageSeen, PeerConfirmed, TaskEnded
from clawnet_proto.families import task
from clawnet_proto.specification import ERRORS, TYPES

OTHER = "other"  # what a stranger might have chosen
STAGE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

# The result that an event of ours tells of, None if the fold no longer has it.
FindResult = Callable[[MessageSeen], task.Result | None]


class Histogram(msgspec.Struct):
    """How many values fell into which bucket; the last one has no upper bound."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(STAGE_SECONDS) + 1))
    total: float = 0.0

    def add(self, value: float) -> None:
        self.buckets[bisect_left(STAGE_SECONDS, value)] += 1
        self.total += value


class Counts(msgspec.Struct, kw_only=True):
    """Counters by label."""

    received: Counter[str] = msgspec.field(default_factory=Counter)  # by message type
    sent: Counter[str] = msgspec.field(default_factory=Counter)  # by message type
    refused: Counter[str] = msgspec.field(default_factory=Counter)  # carriers, by error code
    unusable: Counter[str] = msgspec.field(default_factory=Counter)  # folded, never acted upon; by error code
    stages: Counter[str] = msgspec.field(default_factory=Counter)  # of others and ours that we ran, by outcome
    tokens: Counter[str] = msgspec.field(default_factory=Counter)  # of these stages: prompt, output
    tasks: Counter[str] = msgspec.field(default_factory=Counter)  # tasks of ours, by outcome
    handshakes: int = 0
    stage_seconds: Histogram = msgspec.field(default_factory=Histogram)

    def add(self, event: AnyEvent, find_result: FindResult) -> None:
        """Count an event."""
        if isinstance(event, PeerConfirmed):
            self.handshakes += 1
        elif isinstance(event, TaskEnded):
            self.tasks[event.outcome] += 1
        elif isinstance(event, MessageSeen):
            self._add_message(event, find_result)

    def _add_message(self, event: MessageSeen, find_result: FindResult) -> None:
        kind = event.type if event.type in TYPES else OTHER
        if event.verdict == "invalid":
            self.refused[known(event.code)] += 1
        elif event.ours:
            self.sent[kind] += 1
            if kind == "task.fail":
                self.stages["failed"] += 1
            elif kind == "task.result":
                self._add_result(find_result(event))
        else:
            self.received[kind] += 1
            if event.code and event.code != "recipient.other":
                self.unusable[known(event.code)] += 1

    def _add_result(self, result: task.Result | None) -> None:
        self.stages["completed"] += 1
        if result is None:
            return
        usage = result.usage
        self.tokens["prompt"] += usage.prompt_tokens
        self.tokens["output"] += usage.output_tokens
        self.stage_seconds.add((usage.queued_ms + usage.prompt_ms + usage.generate_ms) / 1000)


def known(code: str) -> str:
    """A code of the specification, or what stands for all others."""
    return code if code in ERRORS else OTHER
