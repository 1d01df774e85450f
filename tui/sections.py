"""Text under headings, some of it leading elsewhere: what the inspector shows, and how it is wrapped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

import msgspec

from tui.spans import Span, Spans, Tone
from tui.text import cell, lines, width_of
from tui.verbatim import pieces

LABEL: Final = 13  # cells for the label of a field
TEXT_MOST: Final = 20_000  # characters of one text that are shown
_WRAPPED_MOST: Final = 4000
_NARROW: Final = 16  # cells a field's text needs beside its label


class Link(msgspec.Struct, frozen=True):
    """What is chosen with a line."""

    kind: Literal["agent", "task", "stage", "entry", "message"]
    key: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A field, a paragraph, or, ``verbatim``, a piece of data in which nothing is hidden or shrunk."""

    text: str = ""
    label: str = ""
    tone: Tone = "plain"
    indent: int = 0
    link: Link | None = None
    verbatim: bool = False


class Section(msgspec.Struct, frozen=True):
    """A heading and what stands under it."""

    title: str
    lines: tuple[Line, ...]


class Wrapped(msgspec.Struct, frozen=True):
    """One line of the screen."""

    spans: Spans
    link: Link | None = None


def bounded(text: str) -> tuple[str, str]:
    """As much of a text as is shown, and the sentence that says what is not; "" if that is all of it."""
    if len(text) <= TEXT_MOST:
        return text, ""
    return text[:TEXT_MOST], f"Only the first {TEXT_MOST:,} of {len(text):,} characters are shown."


def paragraph(text: str, tone: Tone = "plain") -> tuple[Line, ...]:
    """A stranger's text in full, or as much as is bearable and a sentence."""
    shown, rest = bounded(text)
    found = (Line(text=shown, tone=tone),)
    return (*found, Line(text=rest, tone="warn")) if rest else found


def fields(*pairs: tuple[str, str] | Line | None) -> tuple[Line, ...]:
    """Fields with their labels; those without text are left out."""
    found: list[Line] = []
    for pair in pairs:
        if isinstance(pair, Line):
            found.append(pair)
        elif pair is not None and pair[1]:
            found.append(Line(label=pair[0], text=pair[1]))
    return tuple(found)


Known: TypeAlias = dict[tuple[Line, int], tuple[Spans, ...]]
"""Lines that were wrapped to a width."""


def wrap(sections: Iterable[Section], width: int, rule: str, known: Known | None = None) -> list[Wrapped]:
    """Everything, ``width`` cells wide; ``rule`` draws the headings.

    ``known`` spares what was wrapped the last time; afterwards it holds what was wrapped now, and nothing else.
    """
    found: list[Wrapped] = []
    before = known or {}
    now: Known = {}
    for section in sections:
        if found:
            found.append(Wrapped((("", "plain"),)))
        heading = cell(section.title, width, pad=False)
        rest = max(0, width - width_of(heading) - 1)
        found.append(Wrapped(((heading, "strong"), (" ", "plain"), (rule * rest, "faint"))))
        for line in section.lines:
            key = line, width
            now[key] = before.get(key) or _wrap(line, width)
            found += [Wrapped(spans, line.link) for spans in now[key]]
    if known is not None:
        known.clear()
        known.update(now)
    return found


def _wrap(line: Line, width: int) -> tuple[Spans, ...]:
    tone: Tone = "link" if line.link is not None and line.tone == "plain" else line.tone
    if line.verbatim:
        return _verbatim(line, width, tone)
    margin = " " * min(2 * line.indent, width // 2)
    before = len(margin) + (LABEL if line.label else 0)
    if line.label and width - before < _NARROW:
        # Too narrow for two columns: the label has a line of its own.
        label: Span = (margin + cell(line.label, width - len(margin), pad=False), "muted")
        return ((label,), *_wrap(msgspec.structs.replace(line, label="", indent=line.indent + 1, tone=tone), width))
    wrapped = lines(line.text, max(1, width - before), _WRAPPED_MOST) or [""]
    first: Span = (margin + cell(line.label, LABEL), "muted") if line.label else (margin, "plain")
    return ((first, (wrapped[0], tone)), *(((" " * before, "plain"), (text, tone)) for text in wrapped[1:]))


def _verbatim(line: Line, width: int, tone: Tone) -> tuple[Spans, ...]:
    before = min(2 * line.indent, width // 2)
    margin: Span = (" " * before, "plain")
    label = f"{cell(line.label, 64, pad=False)}: " if line.label else ""
    if label and width_of(label) > (width - before) // 2:
        alone: Spans = (margin, (cell(label, width - before, pad=False), "muted"))
        if not line.text:
            return (alone,)
        return (alone, *_verbatim(msgspec.structs.replace(line, label="", indent=line.indent + 1), width, tone))
    first, *others = pieces(line.text, max(1, width - before), width_of(label))
    return ((margin, (label, "muted"), (first, tone)), *((margin, (text, tone)) for text in others))
