"""JSON of strangers (SIG-8), read as strictly and as generously as RFC 8259 is; each check can be left out by name."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

JSON_MUTANTS = (
    "carrier-constants-pass", "carrier-raw-controls-pass", "carrier-trailing-commas-pass", "carrier-text-after-passes",
    "carrier-leading-zeros-pass", "carrier-comments-pass", "carrier-apostrophes-pass", "carrier-unclosed-passes",
    "carrier-unknown-escapes-pass", "deep-nesting-is-no-json", "deep-nesting-is-json", "first-member-counts",
    "empty-carrier-passes",
)  # fmt: skip


class NoJson(Exception):
    """The text is not JSON."""


def _no_constant(name: str) -> NoReturn:
    raise NoJson(name)


def _first(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def read_json(text: str, lacks: Callable[[str], bool]) -> Any:
    """The value of a JSON text, however deep. Raises :class:`NoJson`."""
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
        if lacks("deep-nesting-is-no-json"):
            raise NoJson("deep") from None
        if lacks("deep-nesting-is-json"):
            return []
    except ValueError:
        raise NoJson("syntax") from None
    try:
        return _deep(text, decoder)
    except ValueError:
        raise NoJson("deep") from None


def _deep(text: str, decoder: json.JSONDecoder) -> Any:
    """The same by the standard library's reader in Python, for which no nesting is too deep."""
    # Typeshed knows only the reader in C.
    library: Any = json
    reader: Any = decoder
    reader.parse_object, reader.parse_array = library.decoder.JSONObject, library.decoder.JSONArray
    reader.scan_once = library.scanner.py_make_scanner(reader)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        return reader.decode(text)
    finally:
        sys.setrecursionlimit(before)
