"""The whole picture as one JSON document.

``clawtui_snapshot``  format of this document, "1"
``at_ms``             the moment it shows, Unix milliseconds, as all ``_ms``
``room``, ``me``      room URI; did of the agent whose key is held, or ""
``agents``            by did, each with the members of ``tui.views.AgentRow``
``edges``             confirmed handshakes, ``tui.views.EdgeRow``
``tasks``             the most recently touched first, ``tui.views.TaskRow`` with ``StageRow`` as ``stages``
``entries``           the last lines of the timeline, oldest first, as ``tui.line.Line``
``counts``            since the start, ``tui.views.Counts``

Texts are as their senders wrote them, in ASCII: everything else is an escape, so that no terminal obeys it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tui.judge import Judge
from tui.line import line_of
from tui.views import Snapshot

FORMAT = "1"
ENTRIES = 500


def data(snapshot: Snapshot, judge: Judge, *, entries: int = ENTRIES) -> str:
    """The document, indented, with its keys always in the same order; of the timeline the last ``entries`` lines."""
    shown = snapshot.entries[-entries:] if entries > 0 else ()
    document: dict[str, Any] = {
        "clawtui_snapshot": FORMAT,
        "at_ms": snapshot.now_ms,
        "room": snapshot.room,
        "me": snapshot.me,
        "agents": snapshot.agents,
        "edges": snapshot.edges,
        "tasks": snapshot.tasks,
        "entries": [line_of(entry, judge) for entry in shown],
        "counts": snapshot.counts,
    }
    return json.dumps(msgspec.to_builtins(document), indent=1) + "\n"
