"""The foot: the keys that matter now, a message for some seconds, and the bar of a replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tui.glyphs import BRAILLE, Glyphs
from tui.moments import clock
from tui.spans import Span, Spans, Tone, fit, text_of
from tui.text import cell, width_of
from tui.widgets.lines import Lines

Severity = Literal["information", "warning", "error"]

_TONES: Final[dict[Severity, Tone]] = {"information": "accent", "warning": "warn", "error": "bad"}
_MESSAGE_MS = 6000


class Playback(msgspec.Struct, frozen=True, kw_only=True):
    """Where a replay stands. ``checked`` is the part of its signatures that are checked, 0 to 1."""

    playing: bool
    speed: float
    at_ms: int
    position: int
    total: int
    checked: float = 1.0
    fault: str = ""  # where the recording is damaged, and how


class Foot(Lines):
    """One line, and a second one above it in a replay."""

    DEFAULT_CSS = """
    Foot { height: 1; background: $panel; }
    Foot.-replay { height: 2; }
    """

    def __init__(self, *, glyphs: Glyphs = BRAILLE, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._keys: tuple[tuple[str, str], ...] = ()
        self._playback: Playback | None = None
        self._said: Span | None = None
        self._until_ms: int | None = None  # None: from the next tick on
        self._now_ms = 0

    def keys(self, keys: Sequence[tuple[str, str]]) -> None:
        """The keys that matter now, the most important first: (key, what it does)."""
        self._keys = tuple(keys)
        self.redraw()

    def replay(self, playback: Playback | None) -> None:
        """Where the replay stands; None if this is no replay."""
        self._playback = playback
        self.set_class(playback is not None, "-replay")
        self.redraw()

    def message(self, text: str, severity: Severity = "information") -> None:
        """Say something for some seconds, in place of the keys."""
        self._said, self._until_ms = (cell(text, 400, pad=False), _TONES[severity]), None
        self.redraw()

    def tick(self, now_ms: int) -> None:
        """Time has passed, by a clock that only goes on."""
        if self._said is None:
            return
        if self._until_ms is None:
            self._until_ms = now_ms + _MESSAGE_MS
        elif now_ms >= self._until_ms:
            self._said = self._until_ms = None
            self.redraw()

    def line_at(self, y: int) -> tuple[Spans, bool]:
        width = self.content_size.width
        if self._playback is not None and y == 0:
            return replay_line(self._playback, width, self.glyphs), False
        if self._said is not None:
            return fit(((" ", "plain"), self._said), width), False
        return keys_line(self._keys, width), False


def keys_line(keys: Sequence[tuple[str, str]], width: int) -> Spans:
    """As many keys as fit."""
    spans: list[Span] = []
    taken = 1
    for key, label in keys:
        needed = width_of(key) + width_of(label) + 1 + (2 if spans else 0)
        if taken + needed > width:
            break
        spans.append(("  " if spans else " ", "plain"))
        spans += [(key, "accent"), (f" {label}", "muted")]
        taken += needed
    return fit(spans, width)


def replay_line(playback: Playback, width: int, glyphs: Glyphs) -> Spans:
    """What plays, how fast, where: the bar takes what is left."""
    ascii_only = glyphs.dots == "ascii"
    sign = (">" if ascii_only else "▶") if playback.playing else ("=" if ascii_only else "⏸")
    before: list[Span] = [
        (f" {'playing' if playback.playing else 'paused'} ", "plain"),
        (f"{playback.speed:g}x", "muted"),
        (f"  {clock(playback.at_ms)}  ", "strong"),
    ]
    before.insert(0, (f" {sign}", "accent"))
    after: list[Span] = [(f"  {playback.position:,}/{playback.total:,} ", "plain")]
    if playback.checked < 1:
        after.append((f" {int(100 * playback.checked)} % checked ", "warn"))
    if playback.fault:
        after.append((f" {cell(playback.fault, 60, pad=False)} ", "bad"))
    bar = width - width_of(text_of(before)) - width_of(text_of(after))
    part = playback.position / playback.total if playback.total else 0.0
    filled, rest = glyphs.load_bar(part, bar) if bar >= 4 else ("", "")
    return fit((*before, (filled, "accent"), (rest, "faint"), *after), width)
