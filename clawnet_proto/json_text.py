"""Whether a text is JSON (RFC 8259), however deep and however long its numbers (spec/05-signatures.md, SIG-8).

JSON libraries give up on deep nesting, each at a depth of its own; what a verifier reports must not depend on that.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"[ \t\n\r]*(?:"
    r"(?P<mark>[{}\[\],:])"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+")'
    r"|(?P<other>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null)"
    r")"
)
_END: Final = re.compile(r"[ \t\n\r]*\Z")
_BRACKETS: Final = {"}": "{", "]": "["}
_EMPTY: Final = {"}": "member", "]": "item"}


def is_json(text: str) -> bool:
    """Whether the whole text is one JSON value, with nothing but white space around it."""
    opened: list[str] = []
    # What may come: "value", "item" (or the end of an array), "key" , "member" (or the end), ":", "," (or the end).
    wanted, place = "value", 0
    while wanted != "," or opened:
        match = _TOKEN.match(text, place)
        if match is None:
            return False
        place = match.end()
        kind, token = match.lastgroup, match.group(match.lastgroup or 0)
        if kind != "mark":
            if wanted in ("value", "item"):
                wanted = ","
            elif wanted in ("key", "member") and kind == "string":
                wanted = ":"
            else:
                return False
        elif token in "{[":
            if wanted not in ("value", "item"):
                return False
            opened.append(token)
            wanted = "member" if token == "{" else "item"
        elif token in "}]":
            if not opened or opened.pop() != _BRACKETS[token] or wanted not in (",", _EMPTY[token]):
                return False
            wanted = ","
        elif token != wanted or not opened:
            return False
        else:
            wanted = "value" if token == ":" or opened[-1] == "[" else "key"
    return _END.match(text, place) is not None
