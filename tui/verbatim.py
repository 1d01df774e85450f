"""Data shown so that nothing in it is hidden: what cannot be seen is written as an escape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tui.text import cell, width_of

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Mc", "Me", "Zl", "Zp"})
LEAVES_MOST: Final = 2000

Leaf = tuple[int, str, str]  # depth, key, text


def escaped(text: str) -> str:
    """Text with every character that does not show as its JSON escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character == " " or cell(character, 2, pad=False) == character:
        return character
    return json.dumps(character)[1:-1]


def quoted(text: str) -> str:
    """A JSON string of it in which everything shows."""
    return escaped(json.dumps(text, ensure_ascii=False))


def tree(value: Any, *, most: int = LEAVES_MOST) -> list[Leaf]:
    """A JSON value line by line; the last line tells if there is more."""
    found: list[Leaf] = []
    for leaf in _leaves(value, "", 0):
        if len(found) == most:
            return [*found, (0, "", f"Cut here: only the first {most:,} lines are shown.")]
        found.append(leaf)
    return found


def _leaves(value: Any, key: str, depth: int) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        if key:
            yield depth, key, ""
        for name, item in value.items():
            yield from _leaves(item, escaped(str(name)), depth + bool(key))
    elif isinstance(value, list | tuple) and value:
        if all(isinstance(item, str | int) for item in value) and sum(len(str(item)) for item in value) <= 60:
            yield depth, key, "[" + ", ".join(map(_scalar, value)) + "]"
            return
        yield depth, key, ""
        for number, item in enumerate(value):
            yield from _leaves(item, f"[{number}]", depth + 1)
    else:
        yield depth, key, _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    return escaped(json.dumps(value, ensure_ascii=False, default=str))


def pieces(text: str, width: int, taken: int = 0) -> list[str]:
    """Escaped text in pieces of ``width`` cells, the first shorter by ``taken``."""
    found: list[str] = []
    room = max(1, width - taken)
    while text:
        piece = text[:room]
        while width_of(piece) > room and len(piece) > 1:
            piece = piece[:-1]
        found.append(piece)
        text = text[len(piece) :]
        room = width
    return found or [""]
