"""The timeline of messages, each with what is known of its signature."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

from tui.columns import Column, Place, line, places, titles
from tui.judge import Judge
from tui.moments import clock
from tui.sayings import kind, said, who
from tui.spans import Span, Spans, text_of
from tui.text import width_of
from tui.tones import VERDICTS
from tui.views import Entry, Selection, Snapshot, Verdict
from tui.widgets.lines import Kind
from tui.widgets.rows import Rows

COLUMNS: Final = (
    Column(key="time", title="time", least=8, priority=80),
    Column(key="sign", least=1, priority=99),
    Column(key="verdict", title="verdict", least=8, priority=50),
    Column(key="type", title="type", least=8, most=17, weight=4, priority=40),
    Column(key="who", title="who", least=9, most=22, weight=2, priority=90),
    Column(key="said", title="says", least=28, weight=6, priority=100),
)

Predicate = Callable[[Entry], bool]

_seq = attrgetter("seq")
_KEPT = 512  # drawn lines that are kept
_RUSH_S = 0.4


class TimelinePane(Rows):
    """Shows the end as it grows, unless one has scrolled up; then it says how much is new."""

    title = "timeline"
    empty = "Nothing has arrived yet."

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self._entries: tuple[Entry, ...] = ()
        self._pending = 0  # entries at the end that are not checked yet
        self._kept: deque[Entry] | None = None  # those that pass the filter; None: there is no filter
        self._passes: Predicate | None = None
        self._last: Entry | None = None  # the newest that was looked at
        self._rows: Sequence[Entry] = ()
        self._model: Judge | None = None
        self._selected = 0
        self._following = True
        self._grown = 0  # rows that ever came
        self._grown_seen = 0
        self._lines: dict[tuple[int, int, Verdict, str, str], Spans] = {}
        self._names: tuple[int, int] = (0, -1)
        self._hurried = False

    @property
    def following(self) -> bool:
        """Whether the end is shown as it grows."""
        return self._following

    def show(self, snapshot: Snapshot, selection: Selection, *, model: Judge) -> None:
        self._model = model
        names = (id(model.mesh), model.mesh.presence_changes)
        if names != self._names or len(self._lines) > _KEPT:
            self._names = names
            self._lines.clear()
        if snapshot.entries is not self._entries:
            before = self._grown
            self._take(snapshot.entries)
            if self._grown - before > self.page // 2 and not self._hurried:
                # In a rush nobody can read why a task's message does not count, and it is dear to work out.
                self._hurried = True
                self.set_timer(_RUSH_S, self.calm)
        if selection.entry != self._selected:
            self._selected = selection.entry
            key = str(selection.entry) if selection.entry else ""
            if key != self.cursor:
                self.cursor = key
                if key and self.index_of(key) >= 0:
                    self._leave_end()
                    self.reveal(self.index_of(key))
        self.redraw()

    def calm(self) -> None:
        """The rush is over: work out what was left out."""
        self._hurried = False
        self.redraw()

    def set_filter(self, passes: Predicate | None) -> None:
        """Show only entries that pass; None shows all."""
        self._passes = passes
        self._rebuild()
        self._anchor(None)
        self.redraw(everything=True)

    def review(self) -> None:
        """Ask the filter again about every entry, and stay where one looks."""
        if self._passes is None:
            return
        first = self._rows[self.top] if self.top < len(self._rows) else None
        unseen = self._grown - self._grown_seen
        self._rebuild()
        self._grown_seen = max(0, self._grown - unseen)
        self._anchor(first)
        self.redraw()

    # -- which entries there are -----------------------------------------------------------------------------

    def _take(self, entries: tuple[Entry, ...]) -> None:
        first = self._rows[self.top] if self.top < len(self._rows) else None
        self._entries = entries
        checked = len(entries)
        while checked and entries[checked - 1].pending:
            checked -= 1
        self._pending = len(entries) - checked
        known = self._known(checked)
        if known < 0:
            self._rebuild()
        else:
            self._extend(entries[known + 1 : checked] if known + 1 < checked else ())
        self._anchor(first)

    def _known(self, checked: int) -> int:
        """Where the newest entry that was looked at stands now; -1 if it is gone: then all is new."""
        last = self._last
        if last is None or not checked:
            return -1
        place = bisect_left(self._entries, last.seq, hi=checked, key=_seq)
        return place if place < checked and self._entries[place] is last else -1

    def _extend(self, fresh: Sequence[Entry]) -> None:
        if fresh:
            self._last = fresh[-1]
        if self._kept is None or self._passes is None:
            self._grown += len(fresh)
        else:
            passed = [entry for entry in fresh if self._passes(entry)]
            self._grown += len(passed)
            self._kept.extend(passed)
            oldest = self._entries[0].seq
            while self._kept and self._kept[0].seq < oldest:
                self._kept.popleft()
        self._arrange()

    def _rebuild(self) -> None:
        checked = len(self._entries) - self._pending
        self._last = self._entries[checked - 1] if checked else None
        self._kept = None
        if self._passes is not None:
            self._kept = deque(entry for entry in islice(self._entries, checked) if self._passes(entry))
        self._lines.clear()
        self._arrange()
        self._grown = self._grown_seen = len(self._rows)

    def _arrange(self) -> None:
        self._rows = self._entries if self._kept is None else self._kept
        count = len(self._rows)
        note = f"{count:,}" if self._kept is None else f"{count:,} of {len(self._entries):,}"
        self.name_it(note if count or self._kept is not None else "")

    def _anchor(self, first: Entry | None) -> None:
        """At the end, or where the row stands that was the first to be seen."""
        if self._following:
            self.top = max(0, self.count() - self.page)
            self._grown_seen = self._grown
            return
        if first is not None and not first.pending:
            self.top = bisect_left(self._rows, first.seq, hi=self._checked(), key=_seq)
        self.settle()

    def _checked(self) -> int:
        """How many rows are checked; those that are not come last."""
        return len(self._rows) - (self._pending if self._kept is None else 0)

    # -- rows ------------------------------------------------------------------------------------------------

    def count(self) -> int:
        return len(self._rows)

    def key_at(self, index: int) -> str:
        entry = self._rows[index]
        return "" if entry.pending else str(entry.seq)

    def index_of(self, key: str) -> int:
        if not key:
            return -1
        seq, checked = int(key), self._checked()
        place = bisect_left(self._rows, seq, hi=checked, key=_seq)
        return place if place < checked and self._rows[place].seq == seq else -1

    def meaning(self, key: str) -> tuple[Kind, str] | None:
        return ("entry", key) if key else None

    def header(self, width: int) -> Spans:
        spans = titles(places(COLUMNS, width))
        fresh = self._grown - self._grown_seen
        if self._following or not fresh:
            return spans
        note = f" {self.glyphs.arrows['down']} {fresh:,} new "
        kept = text_of(spans)[: max(0, width - width_of(note))]
        return ((kept, "head"), (note, "accent"))

    def draw(self, index: int, width: int) -> Spans:
        entry = self._rows[index]
        if self._model is None:
            return ()
        verdict = self._model.verdict(entry)
        objection = "" if self._hurried else self._model.objection(entry)
        if entry.pending:
            return self._line(entry, verdict, "", width)
        key = (entry.seq, width, verdict, objection, self.glyphs.name)
        spans = self._lines.get(key)
        if spans is None:
            spans = self._lines[key] = self._line(entry, verdict, objection, width)
        return spans

    def _line(self, entry: Entry, verdict: Verdict, objection: str, width: int) -> Spans:
        assert self._model is not None
        name_of = self._model.mesh.name_of
        tone, placed = VERDICTS[verdict], places(COLUMNS, width)
        calm = verdict == "bound" and not objection
        signed = entry.message is not None and verdict != "invalid"
        spoken: list[Span] = [(said(entry, name_of, max(1, width)), "bad" if verdict == "invalid" else "plain")]
        if objection and entry.message is not None:
            spoken.insert(0, (f"{objection} ", "warn"))
        cells: dict[str, Sequence[Span]] = {
            "time": ((clock(entry.at_ms), "muted"),),
            "sign": ((self.glyphs.verdicts[verdict], tone),),
            "verdict": ((verdict, "muted" if calm else tone),),
            "type": ((_shortened(kind(entry), placed), "muted"),),
            "who": ((who(entry, name_of, verdict), "strong" if signed else "muted"),),
            "said": spoken if not entry.pending else ((spoken[0][0], "muted"),),
        }
        return line(placed, cells)

    # -- following -------------------------------------------------------------------------------------------

    def _leave_end(self) -> None:
        self._following = False
        self._grown_seen = self._grown

    def go(self, index: int) -> None:
        if index >= self.count():
            self.action_last()
            return
        if self._following:
            self._leave_end()
        super().go(index)

    def action_move(self, by: int) -> None:
        here = self._here()
        if self._following and not 0 <= here - self.top < self.page:
            self.go(self.start(by))
        else:
            super().action_move(by)

    def start(self, by: int) -> int:
        last = self._checked() - 1
        return last if self._following else min(last, super().start(by))

    def action_last(self) -> None:
        """To the end, and go on showing it."""
        super().go(self._checked() - 1)
        self._following = True
        self._anchor(None)
        self.redraw()

    def roll(self, by: int) -> None:
        if by < 0 and self._following and self.count() > self.page:
            self._leave_end()
        super().roll(by)
        if by > 0 and not self._following and self.top >= self.count() - self.page:
            self._following = True
            self._anchor(None)
            self.redraw()

    def adjust(self) -> None:
        self._anchor(None)
        if not self._following:
            super().adjust()


def _shortened(kind: str, placed: Sequence[Place]) -> str:
    """The type, or its last word where there is no room for the longest of them."""
    narrow = any(place.column.key == "type" and place.width < place.column.most for place in placed)
    return kind.rpartition(".")[2] if narrow else kind
