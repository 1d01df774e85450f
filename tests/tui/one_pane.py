"""One pane in a terminal of its own, and rows to show in it."""

from __future__ import annotations

import unicodedata
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tests.proto.authoring import NOW_MS
from tui.arrivals import Arrival
from tui.model import Model
from tui.text import width_of
from tui.views import AgentRow, Entry, Selection, Snapshot, StageRow, TaskRow
from tui.widgets.lines import Lines
from tui.widgets.rows import Chosen, Rows

SMALL, LARGE = (80, 24), (120, 40)
EVIL = "\x1b[31mred\u202eevil\u200bname"


class OnePane(App[None]):
    """One pane over the whole screen; what it posts is kept."""

    def __init__(self, pane: Lines) -> None:
        super().__init__()
        self.pane = pane
        self.chosen: list[tuple[str, str, bool]] = []

    def compose(self) -> ComposeResult:
        yield self.pane

    def on_mount(self) -> None:
        self.pane.focus()

    def on_chosen(self, event: Chosen) -> None:
        self.chosen.append((event.kind, event.key, event.opened))


def screen(app: App[Any]) -> list[str]:
    """What a person sees, line by line."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


def seen(app: App[Any]) -> str:
    return "\n".join(screen(app))


def harmless(app: App[Any]) -> None:
    width = app.size.width
    for line in screen(app):
        assert width_of(line) == width
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")], line


async def showing(pilot: Pilot[None], pane: Rows, snapshot: Snapshot, selection: Selection, model: Model) -> None:
    pane.show(snapshot, selection, model=model)
    await pilot.pause()


def entries(count: int, first: int = 1) -> tuple[Entry, ...]:
    """Lines of the timeline that hold a person's words: their numbers."""
    return tuple(
        Entry(seq=seq, arrival=words_arrival(seq), words=f"words number {seq}") for seq in range(first, first + count)
    )


def words_arrival(seq: int) -> Arrival:
    return Arrival(
        transport="matrix", plane="room", room="", sender="matrix:u/lee:example.org", event_id=f"$e{seq}", event="{}",
        received_ms=NOW_MS + seq,
    )  # fmt: skip


def agents(count: int, **changes: Any) -> tuple[AgentRow, ...]:
    return tuple(
        AgentRow(did=f"did:{n:03}", name=f"agent {n:03}", kind="ai", state="live", **changes) for n in range(count)
    )


def snapshot(**fields: Any) -> Snapshot:
    return Snapshot(**({"now_ms": NOW_MS + 1000} | fields))


def task_row(task_id: str = "t" * 43, **changes: Any) -> TaskRow:
    stages = (
        StageRow(id="draft", kind="chat", state="completed", executor="did:ada", attempt=1, tokens=90, text="Once"),
        StageRow(
            id="critique", kind="chat", state="working", executor="did:bert", attempt=2, tokens=37, tokens_per_s=21
        ),
        StageRow(id="revise", kind="chat", state="submitted", sources=("draft", "critique")),
    )
    fields: dict[str, Any] = {
        "id": task_id, "title": "Write a tale", "state": "working", "requester": "did:carol", "ours": False,
        "privacy": "public", "stages": stages, "asked_ms": NOW_MS - 11_000,
    }  # fmt: skip
    return TaskRow(**(fields | changes))
