"""Who had a stage before whom, and how that ended: words for everybody who tells it."""

from __future__ import annotations

from clawnet_proto.families.task_state import AttemptView, StageView

_ENDED = {
    "lapsed": "lease lapsed",
    "rejected": "declined",
    "failed": "failed",
    "completed": "its output cannot be had",
}


def before(stage: StageView) -> AttemptView | None:
    """The attempt that the current one took over from; None if it is the first."""
    numbers = sorted(stage.attempts)
    return stage.attempts[numbers[-2]] if len(numbers) > 1 else None


def ended(state: str) -> str:
    """How an attempt ended that somebody else took over, by its state (spec/states.json)."""
    return _ENDED.get(state, state)
