"""Canonical text judged by the standard library and Matrix's own encoder, not by ours (spec/03-canonical-text.md)."""

from __future__ import annotations

import json
from typing import Any

import canonicaljson
import rfc8785

from clawnet_proto.specification import LIMITS

_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")


def text_of(data: bytes) -> str:
    """Any bytes as some text: surrogates where UTF-8 holds them, else what comes closest."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def canonical_value(text: str) -> Any:
    """The value of canonical text, None of any other."""
    try:
        value = json.loads(text)
        fits = _depth_fits(value, 0) and _nodes(value) <= LIMITS.nodes and _plain(value)
        # rfc8785 refuses nothing that passed so far, and writes what canonicaljson writes.
        written = text.encode()
        return value if fits and canonicaljson.encode_canonical_json(value) == written == rfc8785.dumps(value) else None
    except (ValueError, RecursionError):
        return None


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _depth_fits(value: Any, above: int) -> bool:
    depth = above + isinstance(value, dict | list)
    return depth <= LIMITS.depth and all(_depth_fits(item, depth) for item in _inside(value))


def _nodes(value: Any) -> int:
    return 1 + sum(map(_nodes, _inside(value)))


def _plain(value: Any) -> bool:
    """No null, no fraction, no great integer, no odd key, anywhere."""
    if isinstance(value, dict):
        if not all(1 <= len(key) <= LIMITS.key_characters and _KEY_CHARACTERS.issuperset(key) for key in value):
            return False
    elif isinstance(value, int):
        return abs(value) <= LIMITS.integer
    return isinstance(value, str | dict | list) and all(map(_plain, _inside(value)))
