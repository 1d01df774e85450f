"""Which tone a state is shown in. Its sign, in ``tui.glyphs``, says the same without colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tui.spans import Tone
from tui.views import LinkState, PeerState, TaskRow, Verdict

VERDICTS: Final[Mapping[Verdict, Tone]] = {
    "bound": "good",
    "unbound": "warn",
    "relayed": "warn",
    "invalid": "bad",
    "unopened": "muted",
    "unsigned": "muted",
    "pending": "muted",
}
PEERS: Final[Mapping[PeerState, Tone]] = {
    "live": "good",
    "unbound": "warn",
    "unheard": "muted",
    "expired": "muted",
    "left": "muted",
    "disputed": "bad",
    "revoked": "bad",
}
LINKS: Final[Mapping[LinkState, Tone]] = {
    "connecting": "warn",
    "live": "good",
    "stale": "bad",
    "ended": "muted",
    "replay": "accent",
}
TASKS: Final[Mapping[str, Tone]] = {
    "": "muted",
    "submitted": "muted",
    "awarded": "accent",
    "working": "accent",
    "input_required": "warn",
    "completed": "good",
    "failed": "bad",
    "rejected": "bad",
    "canceled": "muted",
    "lapsed": "warn",
}


_ENDED: Final = frozenset({"completed", "failed", "canceled", "rejected"})


def of_task(state: str) -> Tone:
    """The tone of a task's, a stage's or an attempt's state."""
    return TASKS.get(state, "plain")


def running(task: TaskRow) -> bool:
    """Whether somebody may still work on it."""
    return task.state not in _ENDED
