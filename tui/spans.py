"""Pieces of a line and the tone each is said in: what a pane draws, before any colour.

Text in a span is clean already: our own, or out of ``tui.text``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

from tui.text import width_of

Tone = Literal["plain", "muted", "faint", "strong", "good", "warn", "bad", "accent", "link", "head"]
TONES: Final[tuple[Tone, ...]] = get_args(Tone)

Span: TypeAlias = tuple[str, Tone]
Spans: TypeAlias = tuple[Span, ...]


def cut(text: str, width: int) -> str:
    """As much of a clean text as fits ``width`` cells, with the sign that there is more."""
    if width_of(text) <= width:
        return text
    if width < 1:
        return ""
    kept = text[: width - 1]
    while width_of(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…"


def fit(spans: Iterable[Span], width: int, *, right: bool = False) -> Spans:
    """Spans in exactly ``width`` cells: cut at the end, or filled up with spaces, on the left if ``right``."""
    kept: list[Span] = []
    left = width
    for text, tone in spans:
        if not text:
            continue
        shown = cut(text, left)
        if shown:
            kept.append((shown, tone))
            left -= width_of(shown)
        if shown != text:
            break
    if left > 0:
        kept.insert(0 if right else len(kept), (" " * left, "plain"))
    return tuple(kept)


def merged(spans: Iterable[Span]) -> Spans:
    """The same text in as few spans as can be: spaces look the same in every tone."""
    found: list[Span] = []
    for text, tone in spans:
        if found and (tone == found[-1][1] or text.isspace()):
            found[-1] = (found[-1][0] + text, found[-1][1])
        else:
            found.append((text, tone))
    return tuple(found)


def text_of(spans: Iterable[Span]) -> str:
    """What a reader reads."""
    return "".join(text for text, _ in spans)
