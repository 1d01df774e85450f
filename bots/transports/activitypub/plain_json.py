"""Strangers' JSON: bounded in every way before anybody looks into it (AP-10)."""

from __future__ import annotations

import json
import math
from typing import Any, Final

DEPTH_MOST: Final = 32
NODES_MOST: Final = 65536  # names and values, in one text

_DIGITS_MOST: Final = 16  # of 2^53-1
_FLOAT_MOST: Final = 40  # characters
_INTEGER_MOST: Final = (1 << 53) - 1


class Malformed(Exception):
    """It is not as the text says. The message says what, and never repeats what was sent."""


def parse(body: bytes, most: int) -> dict[str, Any]:
    """The JSON object in at most ``most`` bytes of UTF-8; of members that come twice the last counts. Raises Malformed.

    Nothing in it is nested deeper than 32, no number is beyond 2^53-1 or infinite, and all text can be encoded.
    """
    if len(body) > most:
        raise Malformed(f"It has more than {most} bytes.")
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_constant, parse_int=_integer, parse_float=_float)
    except (ValueError, RecursionError):
        raise Malformed("It is no JSON of ours: UTF-8, not too deep, without numbers beyond 2^53-1.") from None
    if not isinstance(found, dict):
        raise Malformed("It must be a JSON object.")
    _bound(found)
    return found


def _bound(document: dict[str, Any]) -> None:
    nodes, level = 0, [document]
    for _ in range(DEPTH_MOST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _check(value)
            elif isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
        nodes += len(below)
        if not below or nodes > NODES_MOST:
            break
        level = below
    else:
        raise Malformed(f"It is nested deeper than {DEPTH_MOST}.")
    if nodes > NODES_MOST:
        raise Malformed(f"It has more than {NODES_MOST} names and values.")


def _check(text: str) -> None:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise Malformed("It has half a surrogate pair.") from None


def _constant(name: str) -> object:
    raise ValueError(name)


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _DIGITS_MOST or abs(number := int(digits)) > _INTEGER_MOST:
        raise ValueError("too large")
    return number


def _float(digits: str) -> float:
    if len(digits) > _FLOAT_MOST or not math.isfinite(number := float(digits)):
        raise ValueError("too large")
    return number
