"""JSON of strangers (SIG-8), read as strictly and as generously as RFC 8259 is; each check can be left out by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

JSON_MUTANTS = (
    "carrier-constants-pass", "carrier-raw-controls-pass", "carrier-trailing-commas-pass", "carrier-text-after-passes",
    "carrier-leading-zeros-pass", "carrier-comments-pass", "carrier-apostrophes-pass", "carrier-unclosed-passes",
    "carrier-unknown-escapes-pass", "deep-nesting-is-no-json", "deep-nesting-is-json", "first-member-counts",
    "empty-carrier-passes",
)  # fmt: skip

_TOKEN = re.compile(
    r'[ \t\n\r]*(?:(?P<open>[\[{])|(?P<close>[\]}])|(?P<mark>[,:])|(?P<text>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|'
    r"\\u[0-9a-fA-F]{4})*\")|(?P<value>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null))"
)


class NoJson(Exception):
    """The text is not JSON."""


def _no_constant(name: str) -> NoReturn:
    raise NoJson(name)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def read_json(text: str, lacks: Callable[[str], bool]) -> Any:
    """The value of a JSON text; ``[]`` for one that is too deep to be built, but JSON. Raises :class:`NoJson`."""
    if not text.strip() and lacks("empty-carrier-passes"):
        return {}
    if lacks("carrier-trailing-commas-pass"):
        text = re.sub(r",\s*}", "}", text)
    if lacks("carrier-leading-zeros-pass"):
        text = re.sub(r":0+(?=[0-9])", ":", text)
    if lacks("carrier-comments-pass"):
        text = re.sub(r"/\*.*?\*/", "", text)
    if lacks("carrier-apostrophes-pass"):
        text = text.replace("'", '"')
    if lacks("carrier-unclosed-passes") and not text.endswith("}"):
        text += "}"
    if lacks("carrier-unknown-escapes-pass"):
        text = text.replace("\\x", "x")
    decoder = json.JSONDecoder(
        strict=not lacks("carrier-raw-controls-pass"),
        parse_constant=(lambda name: 0) if lacks("carrier-constants-pass") else _no_constant,
        parse_int=float,
        object_pairs_hook=_first if lacks("first-member-counts") else None,
    )
    try:
        if lacks("carrier-text-after-passes"):
            return decoder.raw_decode(text.lstrip())[0]
        return decoder.decode(text)
    except RecursionError:
        if lacks("deep-nesting-is-no-json") or not (lacks("deep-nesting-is-json") or _is_json(text)):
            raise NoJson("deep") from None
        return []
    except ValueError:
        raise NoJson("syntax") from None


def _is_json(text: str) -> bool:
    """Whether a text is JSON, however deep: token by token, with the open brackets on a stack of our own."""
    stack: list[str] = []
    expected = "value"
    place = 0
    while expected != "end":
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            return False
        place = found.end()
        kind, token = found.lastgroup, found[found.lastgroup]
        first = expected in ("first key", "first item")
        if kind == "close" and (first or expected == "comma") and stack and token == stack[-1]:
            stack.pop()
        elif kind == "open" and expected in ("value", "first item"):
            stack.append("}" if token == "{" else "]")
            expected = "first key" if token == "{" else "first item"
            continue
        elif kind == "text" and expected in ("first key", "key"):
            expected = "colon"
            continue
        elif kind == "mark" and expected == "colon" and token == ":":
            expected = "value"
            continue
        elif kind == "mark" and expected == "comma" and token == ",":
            expected = "key" if stack[-1] == "}" else "value"
            continue
        elif kind not in ("text", "value") or expected not in ("value", "first item"):
            return False
        expected = "comma" if stack else "end"
    return not text[place:].strip(" \t\n\r")
