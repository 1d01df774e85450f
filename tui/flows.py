"""Which work flows between agents, so that every drawing shows the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from clawnet_proto.rendering import short
from tui.views import Snapshot

GRACE_MS: Final = 120_000
"""How long after a lease has lapsed its work still counts as being done: clocks differ, and news takes its time."""

_AT_WORK = frozenset({"awarded", "working", "input_required"})


class Flow(NamedTuple):
    """A stage that somebody works on for somebody else, or for himself."""

    requester: str  # dids
    executor: str
    state: str
    label: str


def flows(snapshot: Snapshot) -> Iterator[Flow]:
    """What is worked on now, in the order of the tasks.

    Anyone may award anything to anybody: it counts only between two live agents, and while the lease holds.
    """
    live = {row.did for row in snapshot.agents if row.state == "live"}
    for task in snapshot.tasks:
        if task.requester not in live:
            continue
        for stage in task.stages:
            held = snapshot.now_ms < stage.lease_until_ms + GRACE_MS
            if stage.state in _AT_WORK and stage.executor in live and held:
                told = f", {stage.tokens} tokens" if stage.tokens else ""
                yield Flow(task.requester, stage.executor, stage.state, f"{stage.id} of {short(task.id)}{told}")
