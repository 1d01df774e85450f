"""The inspector: all there is to know of what is chosen, as sections one can scroll and follow."""

from __future__ import annotations

from tui.glyphs import Glyphs
from tui.inspected_agent import agent_sections
from tui.inspected_task import task_sections
from tui.inspection import entry_sections, raw_sections
from tui.judge import Judge
from tui.sections import Known, Section, Wrapped, wrap
from tui.spans import Spans
from tui.views import Entry, Selection, Snapshot
from tui.widgets.lines import Kind
from tui.widgets.rows import Rows


class InspectorPane(Rows):
    """Tells of what the selection is about."""

    title = "inspector"
    empty = "Choose an agent, a task or a message."
    has_header = False

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._selection = Selection()
        self._seen: tuple[object, ...] = ()
        self._sections: list[Section] = []
        self._wrapped: list[Wrapped] = []
        self._known: Known = {}
        self._width = 0
        self._raw = False
        self._entry: Entry | None = None  # kept when it has left the history

    @property
    def raw(self) -> bool:
        """Whether a message is shown as it travelled."""
        return self._raw

    def toggle_raw(self) -> bool:
        """Show a message as it travelled, and back. Whether it is raw now."""
        self._raw = not self._raw
        self.top = 0
        self._seen = ()
        return self._raw

    def show(self, snapshot: Snapshot, selection: Selection, *, model: Judge) -> None:
        self.turn_to(selection)
        seen = (snapshot.now_ms // 1000, self._selection, self._raw, self.glyphs.name, *self._state(snapshot, model))
        if seen != self._seen:
            self._seen = seen
            sections = self._look(snapshot, model, self.glyphs)
            if sections != self._sections:
                self._sections = sections
                self._wrap()
        self.redraw()

    def turn_to(self, selection: Selection) -> None:
        """Begin anew with something else, if it is something else."""
        if selection != self._selection:
            self._selection = selection
            self.top, self.cursor, self._raw, self._seen = 0, "", False, ()

    def _state(self, snapshot: Snapshot, model: Judge) -> tuple[object, ...]:
        """What the picture hangs on beside the time."""
        if self._selection.about == "entry":
            entry = self._find(snapshot)
            return () if entry is None else (model.verdict(entry), model.objection(entry))
        if self._selection.about == "task":
            return (snapshot.task(self._selection.task),)
        return (snapshot.agent(self._selection.agent),) if self._selection.about == "agent" else ()

    def _find(self, snapshot: Snapshot) -> Entry | None:
        wanted = self._selection.entry
        if self._entry is None or self._entry.seq != wanted:
            self._entry = next((entry for entry in reversed(snapshot.entries) if entry.seq == wanted), None)
        return self._entry

    def _look(self, snapshot: Snapshot, model: Judge, glyphs: Glyphs) -> list[Section]:
        note = ""
        sections: list[Section] = []
        if self._selection.about == "entry":
            entry = self._find(snapshot)
            note = f"message{', raw' if self._raw else ''}"
            if entry is not None:
                sections = raw_sections(entry) if self._raw else entry_sections(entry, snapshot, model, glyphs)
        elif self._selection.about == "task":
            note = "task"
            task = snapshot.task(self._selection.task)
            if task is not None:
                sections = task_sections(task, self._selection.stage, snapshot, model, glyphs)
        elif self._selection.about == "agent":
            note = "agent"
            agent = snapshot.agent(self._selection.agent)
            if agent is not None:
                sections = agent_sections(agent, snapshot, model, glyphs)
        self.name_it(note)
        return sections

    def _wrap(self) -> None:
        # A pane that has just been opened has no size yet; with it, this is done again.
        self._width = max(0, self.content_size.width - 1)
        across = self.glyphs.box["across"]
        self._wrapped = wrap(self._sections, self._width, across, self._known) if self._width else []
        self.settle()

    def adjust(self) -> None:
        if self._width != self.content_size.width - 1:
            self._wrap()
            self._seen = ()
        super().adjust()

    def count(self) -> int:
        return len(self._wrapped)

    def key_at(self, index: int) -> str:
        return str(index)

    def index_of(self, key: str) -> int:
        return int(key) if key and int(key) < len(self._wrapped) else -1

    def meaning(self, key: str) -> tuple[Kind, str] | None:
        link = self._wrapped[int(key)].link if self.index_of(key) >= 0 else None
        return None if link is None else (link.kind, link.key)

    def moved(self) -> None:
        """Going over a link chooses nothing: only opening it does."""

    def draw(self, index: int, width: int) -> Spans:
        return self._wrapped[index].spans
