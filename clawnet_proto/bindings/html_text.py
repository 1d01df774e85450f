"""What a person reads in the HTML of a post. All of it is a stranger's: nothing is interpreted but where lines end.

Not a parser of HTML: what makes those slow, or give up, cannot occur here, since each character is looked at once.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Final

_HTML_MOST: Final = 65536  # characters
_TEXT_MOST: Final = 16384  # characters
_TAG: Final = re.compile(r"<([A-Za-z/!?][^<>]*)>")
_NAME: Final = re.compile(r"/?([A-Za-z][A-Za-z0-9]*)?")
_UNSEEN: Final = frozenset({"script", "style", "template", "title", "iframe", "object", "noscript"})
_BLOCKS: Final = frozenset({"p", "div", "li", "ul", "ol", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})


def text_of(html: str) -> str:
    """The text in HTML: paragraphs apart by an empty line, ``br`` a line break. Never raises."""
    pieces: list[str] = []
    unseen = 0
    # Text and tags take turns.
    for place, piece in enumerate(_TAG.split(html[:_HTML_MOST])):
        if place % 2 == 0:
            pieces += [] if unseen else [" ".join(_plain(piece).splitlines())]
            continue
        match = _NAME.match(piece)
        name = (match[1] or "").lower() if match else ""
        if name in _UNSEEN:
            unseen = max(0, unseen + (-1 if piece.startswith("/") else 1))
        pieces.append("\n\n" if name in _BLOCKS else "\n" if name == "br" else "")
    lines = [" ".join(line.split()) for line in "".join(pieces).split("\n")]
    kept = [line for place, line in enumerate(lines) if line or (place and lines[place - 1])]
    return "\n".join(kept).strip("\n")[:_TEXT_MOST]


def _plain(piece: str) -> str:
    """Text with its character references resolved."""
    try:
        return unescape(piece)
    except ValueError:  # a number of more digits than Python converts
        return piece
