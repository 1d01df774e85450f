"""Mutations: of any bytes, and of bytes that are JSON, where the structure survives the change."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

from tests.proto.authoring import canonical_text

# What JSON, UTF-8 and the rules of canonical text give a meaning.
TOKENS = [
    *(bytes([character]) for character in b'{}[]",:\\-+.0129eEtfn \t\n\r\x00\x1f\x7f\x80\xff='),
    b"null", b"true", b"false", b"NaN", b"Infinity", b"-0", b"00", b"1.0", b"1e5", b"1e999", b"0.1",
    b"9007199254740991", b"9007199254740992", b"-9007199254740992", b"18446744073709551616", b"9" * 5000,
    b'""', b"{}", b"[]", b'"a":1,', b'"a":null', b",0", b"[" * 13, b"]" * 13, b"[" * 2000, b'{"a":' * 13,
    b"[0" + b",0" * 4096,
    b"\\n", b"\\/", b"\\u0000", b"\\u000a", b"\\u001F", b"\\u001f", b"\\u0041", b"\\u00e9", b"\\x41",
    b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", "é".encode(), "\u2028".encode(), "\U0001f600".encode(),
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbf\xbf",
    b'"extensions":{"a":{}},', b'"critical":["a"],', b'"thread":"', b'"type":"', b"did:key:z6Mk", b"A" * 43, b"A" * 300,
]  # fmt: skip
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 4096, 2**53 - 1, 2**53, -(2**53), 2**64, 10**400, 0.5, 1.0, 1e300, "", "x", "Upper",
    "x\n", "\x00", "é", "\ud800", "\U0001f600", [], {}, [1], {"a": 1}, {"A": 1}, "A" * 43, "x" * 17_000, [0] * 4097,
    {"extra": []}, "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", "1", "2", "direct", "task.result",
]  # fmt: skip
NAMES = [
    "extra",
    "text",
    "thread",
    "answers",
    "critical",
    "extensions",
    "recipients",
    "type",
    "sealed",
    "a",
    "Upper",
    "",
]


def mutated_bytes(data: bytes, chance: Random, other: bytes = b"") -> bytes:
    """One to four changes anywhere; a splice takes its piece from ``other``."""
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        data = chance.choice(_CHANGES)(data, chance, other)
    return data


def _place(data: bytes, chance: Random) -> tuple[int, int]:
    """A short piece; seldom a long one."""
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice([0, 1, 1, 2, 4, 16, len(data) // 2]))


def _flip(data: bytes, chance: Random, other: bytes) -> bytes:
    if not data:
        return b"\x00"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _delete(data: bytes, chance: Random, other: bytes) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + data[end:]


def _put(data: bytes, chance: Random, other: bytes) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + chance.choice(TOKENS) + data[chance.choice([start, end]) :]


def _repeat(data: bytes, chance: Random, other: bytes) -> bytes:
    start, end = _place(data, chance)
    return data[:end] + data[start:end] * chance.choice([1, 1, 2, 40]) + data[end:]


def _noise(data: bytes, chance: Random, other: bytes) -> bytes:
    start, end = _place(data, chance)
    return data[:start] + chance.randbytes(chance.randint(1, 4)) + data[end:]


def _splice(data: bytes, chance: Random, other: bytes) -> bytes:
    start, end = _place(data, chance)
    first, last = _place(other, chance)
    return data[:start] + other[first:last] + data[end:]


_CHANGES: list[Callable[[bytes, Random, bytes], bytes]] = [_flip, _delete, _put, _put, _repeat, _noise, _splice]


def mutated_json(data: bytes, chance: Random, other: bytes = b"") -> bytes:
    """Members put, removed, added, moved, doubled or nested; what is no JSON object or array is changed as bytes."""
    value, source = _read(data), _read(other)
    if not isinstance(value, dict | list) or not value:
        return mutated_bytes(data, chance, other)
    doubled = False
    for _ in range(chance.choice([1, 1, 2])):
        holder, key = chance.choice(places(value) or [(value, None)])
        change = chance.choice(["put", "put", "remove", "add", "move", "grow", "nest", "double"])
        if key is None or change == "add":
            _add(holder, chance)
        elif change == "put":
            holder[key] = deepcopy(chance.choice(JUNK))
        elif change == "remove":
            del holder[key]
        elif change == "move":
            from_holder, from_key = chance.choice(places(source) or [(holder, key)])
            holder[key] = deepcopy(from_holder[from_key])
        elif change == "grow":
            holder[key] = _grown(holder[key], chance)
        elif change == "nest":
            for _ in range(chance.choice([1, 8, 13])):
                holder[key] = chance.choice([[holder[key]], {"a": holder[key]}])
        else:
            doubled = True
    return _written(value, chance if doubled else None)


def _read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every key or index in it, as far as one would look."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending and len(found) < 1000:
        holder = pending.pop()
        if isinstance(holder, dict | list):
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            found.extend((holder, key) for key in keys)
            pending.extend(holder[key] for key in keys)
    return found


def _add(holder: Any, chance: Random) -> None:
    if isinstance(holder, dict):
        holder[chance.choice(NAMES)] = deepcopy(chance.choice(JUNK))
    else:
        holder.insert(chance.randint(0, len(holder)), deepcopy(chance.choice(JUNK)))


def _grown(value: Any, chance: Random) -> Any:
    """Nearly the same number, text or array; anything else as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value + chance.choice([-1, 1, 2**31, -value, -2 * value])
    if not isinstance(value, str | list):
        return value
    without: Any = value[:-1]
    last: Any = value[-1:]
    return chance.choice([without, value[1:], without + last * 2, without + last * 40])


def _written(value: Any, doubling: Random | None) -> bytes:
    """As canonical as it can be; ``doubling`` writes one member twice."""
    text = canonical_text(value)
    members = [(key, holder[key]) for holder, key in places(value) if isinstance(key, str)]
    if doubling is not None and members:
        key, item = doubling.choice(members)
        member = f"{canonical_text(key)}:{canonical_text(item)}"
        text = text.replace(member, f"{member},{member}", 1)
    return text.encode("utf-8", "surrogatepass")
