"""The head line: which room, how its link is doing, and the counts."""

from __future__ import annotations

from collections import deque
from typing import Final

from tui.glyphs import BRAILLE, Glyphs
from tui.judge import Judge
from tui.moments import clock
from tui.spans import Span, Spans, fit, text_of
from tui.text import cell, width_of
from tui.tones import LINKS, running
from tui.views import LinkState, Selection, Snapshot
from tui.widgets.lines import Lines

_RATE_MS = 2000
_DETAIL = 60  # characters


class Head(Lines):
    """One line. What matters least folds away first when it is narrow."""

    DEFAULT_CSS = """
    Head { height: 1; background: $panel; }
    """

    def __init__(self, *, glyphs: Glyphs = BRAILLE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._room = ""
        self._link: LinkState = "connecting"
        self._detail = ""
        self._filter = ""
        self._buffered = -1
        self._snapshot = Snapshot(now_ms=0)
        self._ticks: deque[tuple[int, int]] = deque()  # (now_ms, messages so far)

    def tell(self, *, room: str, link: LinkState, detail: str = "", filter: str = "", buffered: int = -1) -> None:
        """What no snapshot knows. ``buffered``: events held back while frozen, -1 if the picture is not frozen."""
        self._room, self._link, self._detail = room, link, detail
        self._filter, self._buffered = filter, buffered

    def show(self, snapshot: Snapshot, selection: Selection, *, model: Judge) -> None:
        self._snapshot = snapshot
        self._tick(snapshot)
        self.redraw()

    def _tick(self, snapshot: Snapshot) -> None:
        counts = snapshot.counts
        total = counts.messages + counts.invalid + counts.unopened + counts.unsigned
        ticks = self._ticks
        if ticks and not (ticks[-1][0] <= snapshot.now_ms and ticks[-1][1] <= total):
            ticks.clear()  # time went back
        if not ticks or snapshot.now_ms - ticks[-1][0] >= _RATE_MS // 10:
            ticks.append((snapshot.now_ms, total))
        while len(ticks) > 2 and snapshot.now_ms - ticks[0][0] > _RATE_MS:
            ticks.popleft()

    @property
    def rate(self) -> float:
        """Messages a second, over the last two."""
        if len(self._ticks) < 2:
            return 0.0
        (since_ms, before), (now_ms, total) = self._ticks[0], self._ticks[-1]
        return 1000 * (total - before) / max(1, now_ms - since_ms)

    def line_at(self, y: int) -> tuple[Spans, bool]:
        return head_line(self.content_size.width, self._parts()), False

    def _parts(self) -> list[tuple[int, Spans]]:
        """Pieces in order, each with its priority."""
        snapshot, counts = self._snapshot, self._snapshot.counts
        live = sum(row.state == "live" for row in snapshot.agents)
        busy = sum(map(running, snapshot.tasks))
        tone = LINKS[self._link]
        sign: Span = (f"{self.glyphs.links[self._link]} ", tone)
        parts: list[tuple[int, Spans]] = [
            (40, (("ClawNet", "accent"),)),
            (100, ((cell(self._room or snapshot.room, 40, pad=False), "strong"),)),
            (99, (sign, (self._link, tone))),
        ]
        if self._buffered >= 0:
            parts.append((98, ((f"FROZEN +{self._buffered:,} buffered", "warn"),)))
        if self._detail:
            live_link = self._link == "live"  # then what happens matters as much
            most = min(_DETAIL, max(20, self.content_size.width // 2 - 10)) if live_link else _DETAIL
            parts.append((68 if live_link else 85, ((cell(self._detail, most, pad=False), "muted"),)))
        parts.append((70, ((f"{live}/{len(snapshot.agents)}", "strong"), (" agents", "muted"))))
        parts.append((65, ((f"{busy}", "strong"), (" running", "muted"))))
        parts.append((60, ((f"{self.rate:,.0f}", "strong"), (" msg/s", "muted"))))
        if counts.invalid:
            parts.append((80, ((f"{self.glyphs.verdicts['invalid']} {counts.invalid:,} invalid", "bad"),)))
        if counts.pending:
            parts.append((75, ((f"verifying {counts.pending:,}", "warn"),)))
        if self._filter:
            parts.append((95, (("/", "accent"), (cell(self._filter, 32, pad=False), "accent"))))
        return [*parts, (50, ((clock(snapshot.now_ms), "muted"),))]


_APART: Final[Span] = ("  ", "plain")


def head_line(width: int, parts: list[tuple[int, Spans]]) -> Spans:
    """The pieces that fit, by priority, the last one at the right edge."""
    inner = max(0, width - 2)
    shown = list(parts)
    while len(shown) > 1 and _taken(shown) > inner:
        shown.remove(min(shown, key=lambda part: part[0]))
    spans: list[Span] = [(" ", "plain")]
    for number, (_, piece) in enumerate(shown):
        if number:
            last = number == len(shown) - 1 and shown[-1] is parts[-1]
            spans.append((" " * max(2, inner - _taken(shown) + 2), "plain") if last else _APART)
        spans += piece
    return fit(spans, width)


def _taken(parts: list[tuple[int, Spans]]) -> int:
    return sum(width_of(text_of(piece)) for _, piece in parts) + 2 * (len(parts) - 1)
