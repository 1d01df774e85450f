"""A canvas of cells: fine dots below, text above, one colour a cell.

A cell holds 2 x 4 dots in braille, 2 x 2 in block, one character in ASCII. Where several things meet in a cell
the style that stands later in the canvas's list gives the colour. Everything outside the canvas is cut off.
"""

from __future__ import annotations

import re
from codecs import charmap_decode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import msgspec

from tui.glyphs import Dots
from tui.text import width_of

Runs: TypeAlias = list[tuple[str, str]]
"""A row from left to right: text and the name of its style ("" for an empty stretch)."""

Piece: TypeAlias = tuple[int, str, int]  # where a text starts in its row, the text, the number of its style

_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"


class Grain(msgspec.Struct, frozen=True):
    """How dots are drawn: ``wide`` x ``high`` of them a cell; ``bits`` row by row, and what each byte looks like."""

    wide: int
    high: int
    bits: tuple[int, ...]
    signs: str


GRAINS: Mapping[Dots, Grain] = {
    "braille": Grain(2, 4, (1, 8, 2, 16, 4, 32, 64, 128), " " + "".join(chr(0x2800 + mask) for mask in range(1, 256))),
    "block": Grain(2, 2, (1, 2, 4, 8), _QUADRANTS * 16),
    "ascii": Grain(1, 1, (0,), " " + "".join(map(chr, range(1, 256)))),
}


class Canvas:
    """A drawing of ``width`` x ``height`` cells.

    ``lines`` and ``texts`` are the names of styles, the least important first. Those of lines have no background,
    nor anything else that shows where nothing is drawn.
    """

    def __init__(self, width: int, height: int, dots: Dots, lines: Sequence[str], texts: Sequence[str]) -> None:
        self.width, self.height, self.dots = width, height, dots
        self.grain = GRAINS[dots]
        self.dots_wide, self.dots_high = width * self.grain.wide, height * self.grain.high
        self._styles = ("", *lines, *texts)
        # The gaps of a dotted line belong to its run: fewer runs for the terminal.
        last = b"\\x%02x" % len(lines)
        self._run = re.compile(rb"([\x01-" + last + rb"])(?:\1|\x00)*|(.)\2*", re.DOTALL)
        self._index = {name: index for index, name in enumerate(self._styles)}
        self._masks = bytearray(width * height)
        self._inks = bytearray(width * height)
        self._texts: list[list[Piece]] = [[] for _ in range(height)]
        self._ground = (bytes(self._masks), bytes(self._inks))
        self._shown: list[tuple[bytearray, bytearray, list[Piece]] | None] = [None] * height

    def clear(self) -> None:
        """An empty canvas, its ground too."""
        empty = bytes(self.width * self.height)
        self._ground = (empty, empty)
        self.restore()
        self._texts = [[] for _ in range(self.height)]

    def keep(self) -> None:
        """The dots of now become the ground that ``restore`` comes back to."""
        self._ground = (bytes(self._masks), bytes(self._inks))

    def restore(self) -> None:
        """Back to the dots of the ground. Text stays."""
        self._masks[:], self._inks[:] = self._ground

    def dot(self, x: int, y: int, style: str, sign: str = "*") -> None:
        """One dot, counted in dots; ``sign`` is how it looks in ASCII."""
        grain = self.grain
        if 0 <= x < self.dots_wide and 0 <= y < self.dots_high:
            place = y // grain.high * self.width + x // grain.wide
            ink = self._index[style]
            if grain.wide > 1:
                self._masks[place] |= grain.bits[y % grain.high * 2 + x % 2]
            elif ink >= self._inks[place]:
                self._masks[place] = ord(sign)
            self._inks[place] = max(self._inks[place], ink)

    def line(self, x0: int, y0: int, x1: int, y1: int, style: str, every: int = 1) -> None:
        """A line between two dots, of every so manieth dot of it."""
        ink, masks, inks = self._index[style], self._masks, self._inks
        stamp = _stamp(self.dots, self.width, self.height, (x0, y0, x1, y1), every)
        if self.dots == "ascii":
            for place, sign in stamp:
                if ink >= inks[place]:
                    masks[place], inks[place] = sign, ink
            return
        for place, mask in stamp:
            masks[place] |= mask
            if inks[place] < ink:
                inks[place] = ink

    def text(self, x: int, y: int, text: str, style: str) -> None:
        """Clean text (``tui.text``) over the dots from a cell to the right."""
        if 0 <= y < self.height:
            self._texts[y].append((x, text, self._index[style]))

    def rows(self) -> list[Runs]:
        """All rows, from above."""
        return [self._runs(y) for y in range(self.height)]

    def changes(self) -> dict[int, Runs]:
        """The rows that look different from the last time this was called."""
        changed = {}
        for y in range(self.height):
            start, end = y * self.width, (y + 1) * self.width
            now = (self._masks[start:end], self._inks[start:end], self._texts[y].copy())
            if now != self._shown[y]:
                self._shown[y] = now
                changed[y] = self._runs(y)
        return changed

    def _runs(self, y: int) -> Runs:
        start, end = y * self.width, (y + 1) * self.width
        inks = self._inks[start:end]
        decoded, _ = charmap_decode(self._masks[start:end], "strict", self.grain.signs)
        signs: Sequence[str] = decoded
        if self._texts[y]:
            signs = list(decoded)
            for x, text, ink in self._texts[y]:
                _write(signs, inks, x, text, ink)
        styles = self._styles
        return [
            ("".join(signs[found.start() : found.end()]), styles[inks[found.start()]])
            for found in self._run.finditer(inks)
        ]


def _write(signs: list[str], inks: bytearray, x: int, text: str, ink: int) -> None:
    """Put text over a row: a wide character fills its cell and leaves the next one empty, half of one is a space."""
    cells: Sequence[str] = text
    if not text.isascii():
        cells = [half for sign in text for half in (sign, "")[: width_of(sign)]]
    cells = cells[max(0, -x) : max(0, len(signs) - x)]
    x = max(0, x)
    end = x + len(cells)
    if not cells:
        return
    if signs[x] == "":
        signs[x - 1] = " "
    if end < len(signs) and signs[end] == "":
        signs[end] = " "
    signs[x:end] = cells
    if signs[x] == "":
        signs[x] = " "
    if width_of(signs[end - 1]) == 2:
        signs[end - 1] = " "
    inks[x:end] = bytes((ink,)) * len(cells)


Ends: TypeAlias = tuple[int, int, int, int]


@lru_cache(maxsize=512)
def path(ends: Ends, every: int = 1) -> list[tuple[int, int]]:
    """The dots of a line from x, y to x, y (Bresenham), or every so manieth of them. Not to be changed."""
    x0, y0, x1, y1 = ends
    across, down = abs(x1 - x0), abs(y1 - y0)
    right, below = (1 if x1 > x0 else -1), (1 if y1 > y0 else -1)
    length = max(across, down)
    half = length >> 1
    steps = range(0, length + 1, every)
    if not length:
        return [(x0, y0)]
    if across >= down:
        return [(x0 + right * step, y0 - below * ((half - down * step) // length)) for step in steps]
    return [(x0 - right * ((half - across * step) // length), y0 + below * step) for step in steps]


@lru_cache(maxsize=2048)
def _stamp(dots: Dots, width: int, height: int, ends: Ends, every: int) -> list[tuple[int, int]]:
    """What a line leaves on a canvas: cells and their masks. Between two cells there are few lines to draw anew."""
    grain = GRAINS[dots]
    wide, high, bits = grain.wide, grain.high, grain.bits
    points = path.__wrapped__(ends, every)
    signs = _slopes(points) if dots == "ascii" and every == 1 else "." * len(points)
    right, bottom = width * wide, height * high
    if min(ends) < 0 or max(ends[::2]) >= right or max(ends[1::2]) >= bottom:
        inside = [index for index, (x, y) in enumerate(points) if 0 <= x < right and 0 <= y < bottom]
        points, signs = [points[index] for index in inside], "".join(signs[index] for index in inside)
    if wide == 1:
        return [(y * width + x, ord(sign)) for (x, y), sign in zip(points, signs, strict=True)]
    stamp = []
    last = mask = 0
    for x, y in points:
        place = y // high * width + (x >> 1)
        if place != last:
            stamp.append((last, mask))
            last, mask = place, 0
        mask |= bits[y % high * 2 + (x & 1)]
    stamp.append((last, mask))
    return [pair for pair in stamp if pair[1]]


def _slopes(points: list[tuple[int, int]]) -> str:
    """For each dot of a line the ASCII stroke that goes on to the next one."""
    signs = []
    for (x0, y0), (x1, y1) in pairwise(points):
        signs.append("-" if y0 == y1 else "|" if x0 == x1 else "\\" if (x1 - x0) == (y1 - y0) else "/")
    return "".join(signs) + (signs[-1] if signs else ".")
