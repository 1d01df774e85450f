"""Each line of any file is a record that is written as that very line, or is named; a second reader agrees."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from clawnet_proto.errors import TranscriptError
from clawnet_proto.specification import directory
from clawnet_proto.transcript import Entry, Header, Writer, read
from tests.fuzz.mutation import mutated_bytes, mutated_json
from tests.fuzz.plain import canonical_value
from tests.proto.authoring import NOW_MS, ROOM, canonical_text

_LONGEST = 8_388_608
_RELINKED = b"~"  # as first byte: links are computed anew, so that a change can get past them


def check(data: bytes) -> None:
    lines = list(io.BytesIO(_relinked(data[1:]) if data.startswith(_RELINKED) else data))
    bad = []
    records = list(read(lines))
    assert [number for number, _ in records] == list(range(1, max(len(lines), 1) + 1))
    for number, record in records:
        if isinstance(record, TranscriptError):
            assert record.line == number
            bad.append(number)
        else:
            assert isinstance(record, Header if number == 1 else Entry)
            assert canonical_text(msgspec.to_builtins(record)).encode() + b"\n" == lines[number - 1]
    assert bad == _bad_lines(lines)


def _bad_lines(lines: list[bytes]) -> list[int]:
    if not lines:
        return [1]
    bad = []
    previous: str | None = ""
    for number, line in enumerate(lines, 1):
        value = _object(line, "header" if number == 1 else "entry")
        if value is None:
            bad.append(number)
            previous = None
            continue
        if previous is not None and _link(previous, value) != value["link"]:
            bad.append(number)
        previous = value["link"]
    return bad


def _object(line: bytes, kind: str) -> Any:
    if not line.endswith(b"\n") or len(line) > _LONGEST:
        return None
    try:
        value = canonical_value(line[:-1].decode())
    except UnicodeDecodeError:
        return None
    return value if _validator(kind).is_valid(value) else None


@cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((directory() / f"schemas/transcript.{kind}.json").read_text()))


def _link(previous: str, value: Any) -> str:
    data = previous.encode() + b"\n" + canonical_text(value | {"link": ""}).encode()
    return base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


def _relinked(data: bytes) -> bytes:
    previous = ""
    lines = []
    for line in io.BytesIO(data):
        try:
            value = json.loads(line)
            previous = _link(previous, value)
            line = canonical_text(value | {"link": previous}).encode() + b"\n"
        except (ValueError, TypeError, RecursionError):
            pass
        lines.append(line)
    return b"".join(lines)


def seeds() -> list[bytes]:
    writer = Writer()
    lines = [writer.header(created_ms=NOW_MS, recorder="matrix:u/recorder:example.org")]
    for number in range(4):
        lines.append(
            writer.entry(
                transport="matrix",
                plane="direct" if number == 2 else "room",
                room="" if number == 2 else ROOM,
                sender="matrix:u/alice:example.org",
                event_id=f"$event{number}",
                event=f'{{"n": {number}, "é": "\\u0000"}}',
                received_ms=NOW_MS + number,
            )
        )
    whole = b"".join(lines)
    return [whole, _RELINKED + whole, *lines[:2], _RELINKED + b"".join(lines[:2]), lines[0] + lines[2], b"{}\n", b""]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    mark = _RELINKED if data.startswith(_RELINKED) else b""
    lines = list(io.BytesIO(data.removeprefix(mark)))
    way = chance.randrange(5)
    if way == 0 or not lines:
        return mutated_bytes(data, chance, other)
    at = chance.randrange(len(lines))
    if way == 1:
        lines[at : at + chance.randrange(2)] = chance.choice([[], [lines[-1]], lines[:2]])
    elif way == 2:
        mark = b"" if mark else _RELINKED
    else:
        lines[at] = mutated_json(lines[at][:-1], chance, other) + lines[at][-1:]
    return mark + b"".join(lines)
