"""The signs of the screen, each one cell wide, in three sets: for braille fonts, for block fonts, for ASCII alone.

Every state has a sign of its own beside its colour, so that nothing is lost without colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from tui.views import LinkState, PeerState, Verdict

Dots = Literal["braille", "block", "ascii"]


class Glyphs(msgspec.Struct, frozen=True, kw_only=True):
    """One set of signs."""

    name: str
    dots: Dots  # what lines are drawn with
    nodes: Mapping[str, str]  # by kind of agent, and "me"
    faded: Mapping[str, str]  # the same, where it is not live
    peers: Mapping[PeerState, str]
    marks: Mapping[str, str]  # conflict, equivocates, pinned
    verdicts: Mapping[Verdict, str]
    tasks: Mapping[str, str]  # states of tasks, stages and attempts (spec/states.json)
    links: Mapping[LinkState, str]
    arrows: Mapping[str, str]  # left, right, up, down, and "then" between stages
    box: Mapping[str, str]  # across, down, the corners nw ne sw se, and the fork and end of a tree
    bar: tuple[str, str, str]  # a cell that is full, half, empty
    levels: str  # a load in one cell, from nothing to everything

    def node(self, kind: str, *, live: bool) -> str:
        """The sign of an agent of that kind, or of one that is not known."""
        table = self.nodes if live else self.faded
        return table.get(kind, table[""])

    def load_bar(self, load: float, width: int) -> tuple[str, str]:
        """The filled part and the rest of a bar: together ``width`` cells. ``load`` is 0 to 1."""
        full, half, empty = self.bar
        halves = round(min(1.0, max(0.0, load)) * width * 2)
        if load > 0:
            halves = max(1, halves)
        filled = full * (halves // 2) + half * (halves % 2)
        return filled, empty * (width - len(filled))

    def level(self, load: float) -> str:
        """A load of 0 to 1 in one cell."""
        return self.levels[round(min(1.0, max(0.0, load)) * (len(self.levels) - 1))]


BRAILLE = Glyphs(
    name="braille",
    dots="braille",
    nodes={"me": "★", "ai": "●", "human": "◆", "hybrid": "◈", "system": "■", "": "◌"},
    faded={"me": "☆", "ai": "○", "human": "◇", "hybrid": "◊", "system": "□", "": "◌"},
    peers={
        "live": "✓",
        "expired": "◷",
        "left": "×",
        "unbound": "?",
        "unheard": "…",
        "disputed": "!",
        "revoked": "⊘",
    },
    marks={"conflict": "⚑", "equivocates": "≠", "pinned": "▾"},
    verdicts={
        "bound": "✓",
        "unbound": "?",
        "relayed": "⇢",
        "invalid": "✗",
        "unopened": "▣",
        "unsigned": "❝",
        "pending": "⋯",
    },
    tasks={
        "submitted": "○",
        "awarded": "◎",
        "working": "◐",
        "input_required": "?",
        "completed": "✓",
        "failed": "✗",
        "rejected": "⊘",
        "canceled": "⊖",
        "lapsed": "◷",
    },
    links={"connecting": "◌", "live": "●", "stale": "◑", "ended": "■", "replay": "▸"},
    arrows={"left": "←", "right": "→", "up": "↑", "down": "↓", "then": "→"},
    box={"across": "─", "down": "│", "nw": "╭", "ne": "╮", "sw": "╰", "se": "╯", "fork": "├", "end": "└"},
    bar=("━", "╸", "╌"),
    levels="▁▂▃▄▅▆▇█",
)
BLOCK = msgspec.structs.replace(
    BRAILLE,
    name="block",
    dots="block",
    box={"across": "─", "down": "│", "nw": "┌", "ne": "┐", "sw": "└", "se": "┘", "fork": "├", "end": "└"},
)
ASCII = Glyphs(
    name="ascii",
    dots="ascii",
    nodes={"me": "@", "ai": "O", "human": "H", "hybrid": "Y", "system": "S", "": "%"},
    faded={"me": "a", "ai": "o", "human": "h", "hybrid": "y", "system": "s", "": "%"},
    peers={"live": "+", "expired": "~", "left": "x", "unbound": "?", "unheard": ".", "disputed": "!", "revoked": "X"},
    marks={"conflict": "&", "equivocates": "#", "pinned": "^"},
    verdicts={
        "bound": "+",
        "unbound": "?",
        "relayed": ">",
        "invalid": "X",
        "unopened": "#",
        "unsigned": '"',
        "pending": ".",
    },
    tasks={
        "submitted": "o",
        "awarded": "a",
        "working": "*",
        "input_required": "?",
        "completed": "+",
        "failed": "X",
        "rejected": "/",
        "canceled": "-",
        "lapsed": "~",
    },
    links={"connecting": ".", "live": "*", "stale": "~", "ended": "#", "replay": ">"},
    arrows={"left": "<", "right": ">", "up": "^", "down": "v", "then": ">"},
    box={"across": "-", "down": "|", "nw": "+", "ne": "+", "sw": "+", "se": "+", "fork": "|", "end": "`"},
    bar=("=", "-", "."),
    levels=".:-=+*%#",
)

GLYPHS: Mapping[str, Glyphs] = MappingProxyType({each.name: each for each in (BRAILLE, BLOCK, ASCII)})
