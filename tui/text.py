"""Hostile text made fit for a terminal: so many cells wide, and nothing in it but characters one can see.

What goes: controls and escapes, direction overrides and isolates, everything of zero width, combining marks that
do not compose, variation selectors, private use, surrogates, unassigned characters, and the few characters whose
width terminals do not agree on. What stays is one or two cells wide, and every terminal draws it so.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_LOOK = 512  # characters looked at for a short cell, however long the text is
_MORE = "…"
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029\u2800")  # the last is a braille cell without dots
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Mc", "Me"})
_UNSURE = (
    (0x115F, 0x11FF),  # Hangul fillers, and jamo that join what stands before them
    (0x2630, 0x2637),  # symbols that became wide in Unicode 16
    (0x268A, 0x268F),
    (0x3164, 0x3164),
    (0x4DC0, 0x4DFF),
    (0xD7B0, 0xD7FF),
    (0xFFA0, 0xFFA0),
    (0x1D300, 0x1D37F),
    (0x1F1E6, 0x1F1FF),  # two of them make a flag
    (0x1F3FB, 0x1F3FF),  # skin tones join the emoji before them
)


@lru_cache(maxsize=4096)
def _seen(character: str) -> str:
    """The character if it is drawn, a space for what separates, "" for what does not show."""
    if character in _SPACES or unicodedata.category(character) == "Zs":
        return " "
    code = ord(character)
    unsure = any(first <= code <= last for first, last in _UNSURE)
    return "" if unsure or unicodedata.category(character) in _UNSEEN else character


@lru_cache(maxsize=4096)
def _cells(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _plain(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_seen, unicodedata.normalize("NFC", text)))


def width_of(text: str) -> int:
    """The cells that text out of ``cell`` or ``lines`` takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def _fit(text: str, width: int) -> str:
    """As many of the first characters as fit."""
    if text.isascii():
        return text[:width]
    taken = 0
    for index, character in enumerate(text):
        taken += _cells(character)
        if taken > width:
            return text[:index]
    return text


def _cut(text: str, width: int) -> str:
    """The text, or as much of it as fits with the sign that there is more."""
    return text if width_of(text) <= width else _fit(text, width - 1) + _MORE


def cell(text: str, width: int, *, pad: bool = True) -> str:
    """One line of text in ``width`` cells, filled up with spaces, or in at most that many without ``pad``.

    White space shrinks to one space. Of a long text only the beginning is looked at.
    """
    look = max(_LOOK, 4 * width)
    return _cell(text[:look], len(text) > look, width, pad)


@lru_cache(maxsize=2048)
def _cell(text: str, more: bool, width: int, pad: bool) -> str:
    if width < 1:
        return ""
    plain = " ".join(_plain(text).split())
    shown = _cut(plain + _MORE if more else plain, width)
    return shown + " " * (width - width_of(shown)) if pad else shown


def name_or_did(name: str, did: str, width: int = 64) -> str:
    """A name as it is shown in at most ``width`` cells; the end of the identity for one in which nothing shows."""
    return cell(name, width, pad=False) or cell(did[-8:], min(width, 8), pad=False)


def lines(text: str, width: int, most: int) -> list[str]:
    """Text of several lines, wrapped at spaces to ``width`` cells and at most ``most`` lines; not filled up.

    Line breaks stay, other white space shrinks to one space. The last line tells if there is more.
    """
    if width < 1 or most < 1:
        return []
    look = max(_LOOK, 4 * width * most)
    wrapped: list[str] = []
    for part in text[:look].splitlines():
        wrapped += _wrap(" ".join(_plain(part).split()), width, most + 1)
        if len(wrapped) > most:
            break
    if len(wrapped) <= most and len(text) <= look:
        return wrapped
    kept = wrapped[:most] or [""]
    return [*kept[:-1], _fit(kept[-1], width - 1) + _MORE]


def _wrap(text: str, width: int, most: int) -> list[str]:
    wrapped: list[str] = []
    while len(wrapped) < most:
        piece = _fit(text, width)
        if len(piece) == len(text):
            return [*wrapped, text]
        space = piece.rfind(" ")
        if space > 0 and text[len(piece)] != " ":
            piece = piece[:space]
        wrapped.append(piece or _MORE)
        text = text[len(piece) or 1 :].lstrip()
    return wrapped
