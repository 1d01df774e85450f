"""The members of a JSON text (RFC 8259), however deep and however long its numbers (spec/05-signatures.md, SIG-8).

JSON libraries give up on deep nesting, each at a depth of its own; what a verifier reports must not depend on that.
"""

from __future__ import annotations

import json
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


def members(text: str) -> dict[str, str | None] | None:
    """The members of the outermost object, None for one that is no string; None for JSON that is no object.

    Of a member that occurs twice the last one counts (MSG-4). Raises ValueError for what is not JSON.
    """
    try:
        # What a number is does not matter here, and long ones are slow to read.
        value = json.loads(text, parse_constant=_refuse, parse_int=_nothing, parse_float=_nothing)
    except RecursionError:
        return _members_slowly(text)
    if not isinstance(value, dict):
        return None
    return {key: item if isinstance(item, str) else None for key, item in value.items()}


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _nothing(number: str) -> None:
    return None


def _members_slowly(text: str) -> dict[str, str | None] | None:
    found: dict[str, str | None] = {}
    is_object = text.lstrip(" \t\n\r").startswith("{")
    opened: list[str] = []
    # What may come: "value", "item" (or the end of an array), "key" , "member" (or the end), ":", "," (or the end).
    wanted, place, key = "value", 0, ""
    while wanted != "," or opened:
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError("not JSON")
        place = match.end()
        kind, token = match.lastgroup, match.group(match.lastgroup or 0)
        outermost = is_object and len(opened) == 1
        if kind != "mark":
            if wanted in ("value", "item"):
                if outermost:
                    found[key] = json.loads(token) if kind == "string" else None
                wanted = ","
            elif wanted in ("key", "member") and kind == "string":
                key = json.loads(token) if outermost else ""
                wanted = ":"
            else:
                raise ValueError("not JSON")
        elif token in "{[":
            if wanted not in ("value", "item"):
                raise ValueError("not JSON")
            if outermost:
                found[key] = None
            opened.append(token)
            wanted = "member" if token == "{" else "item"
        elif token in "}]":
            if not opened or opened.pop() != _BRACKETS[token] or wanted not in (",", _EMPTY[token]):
                raise ValueError("not JSON")
            wanted = ","
        elif token != wanted or not opened:
            raise ValueError("not JSON")
        else:
            wanted = "value" if token == ":" or opened[-1] == "[" else "key"
    if _END.match(text, place) is None:
        raise ValueError("not JSON")
    return found if is_object else None
