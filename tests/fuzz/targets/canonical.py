"""What is read is what Matrix's and RFC 8785's encoders write of a value that may be sent; nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from clawnet_proto import canonical
from clawnet_proto.errors import ProtocolError
from tests.fuzz.mutation import mutated_bytes, mutated_json
from tests.fuzz.plain import canonical_value, text_of
from tests.proto.authoring import canonical_text
from tests.proto.faults import VALUES, nested

REFUSED = object()


def check(data: bytes) -> None:
    text = text_of(data)
    expected = canonical_value(text)
    value = _outcome(lambda: canonical.parse(text))
    if expected is None:
        assert value is REFUSED
    else:
        # Written again, since 1 == True.
        assert canonical_text(value) == text == canonical_text(expected)
        assert canonical.encode(value) == text.encode()
    _check_written(text)


def _outcome(run: Callable[[], Any]) -> Any:
    """What it gives, or REFUSED by a rule of canonical text."""
    try:
        return run()
    except ProtocolError as error:
        if error.stage != "canonical":
            raise
        return REFUSED


def _check_written(text: str) -> None:
    """Of any value, ``encode`` writes what ``parse`` reads, or nothing."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return
    written = _outcome(lambda: canonical.encode(value))
    if written is not REFUSED:
        assert canonical_text(canonical.parse(written.decode())) == written.decode() == canonical_text(value)


def seeds() -> list[bytes]:
    return [
        *(canonical_text(value).encode() for value in list(VALUES.values())[::5]),
        b'{"-":0,"a":[true,false,{"b":""}],"z":-9007199254740991}',
        rb'["\b\t\n\f\r\"\\","\u0000\u001f","/"]',
        '["é\u2028\U0001f600\uffff\x7f"]'.encode(),
        canonical_text(nested(12)).encode(),
        b"[" + b"0," * 4094 + b"0]",
        b'{"b":null,"a":1.5}',
        b"",
    ]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return chance.choice([mutated_bytes, mutated_bytes, mutated_json])(data, chance, other)
