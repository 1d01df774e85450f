"""Which work flows along an edge, so that every drawing shows the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clawnet_proto.rendering import short
from tui.views import TaskRow

_RUNNING = frozenset({"awarded", "working", "input_required"})


class Work(NamedTuple):
    """A stage that was awarded and has not ended."""

    requester: str  # dids
    executor: str
    label: str
    state: str


def running(tasks: Sequence[TaskRow]) -> Iterator[Work]:
    """The stages somebody works on now, in the order of the tasks."""
    for row in tasks:
        if row.state not in ("working", "input_required", "submitted"):
            continue
        for stage in row.stages:
            if stage.executor and stage.state in _RUNNING:
                told = f", {stage.tokens} tokens" if stage.tokens else ""
                yield Work(row.requester, stage.executor, f"{stage.id} of {short(row.id)}{told}", stage.state)
