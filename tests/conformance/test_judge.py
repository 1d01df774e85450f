"""Answers beside expectations: nothing but the right answer passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from bots.conformance.judge import Answer, Mismatch, NotAnAnswer, difference, encapsulated_key, judge, parse
from bots.conformance.vectors import Step
from clawnet_proto import base64url

Json = dict[str, Any]

SECRET = bytes(range(32))
KEY = X25519PrivateKey.from_private_bytes(SECRET)
PUBLIC = base64url.encode(KEY.public_key().public_bytes_raw())
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
CARRIER = {"clawnet": "1", "kid": "did:key:z6Mk", "env": '{"a":"é"}', "sig": "AA"}


def ok(**members: Any) -> Answer:
    return Answer("ok", members)


@pytest.mark.parametrize(
    "expected, got",
    [
        (1, True),
        (1, 1.0),
        (0, False),
        (1, "1"),
        ([], {}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}),
        ("a", "A"),
        ({}, None),
    ],
)
def test_values_that_differ(expected: object, got: object) -> None:
    assert difference(expected, got) is not None
    assert difference([{"deep": expected}], [{"deep": got}]) is not None
    assert difference(expected, expected) is None


def test_the_place_of_the_difference_is_named() -> None:
    expected: Json = {"state": {"tasks": {"x": {"stages": [{"state": "working"}]}}}}
    got: Json = {"state": {"tasks": {"x": {"stages": [{}]}}}}
    assert difference(expected, got) == Mismatch(
        expected='"working"', got="nothing there", where="/state/tasks/x/stages/0/state"
    )


def signing() -> Step:
    return Step(op="sign", request={}, expect={"ok": {"id": "id", "members": CARRIER}})


def in_bytes(value: object) -> str:
    return base64url.encode((value if isinstance(value, str) else json.dumps(value)).encode())


@pytest.mark.parametrize(
    "text", [json.dumps(CARRIER), json.dumps(CARRIER, indent=2, ensure_ascii=False, sort_keys=True)]
)
def test_a_signed_carrier_is_compared_by_its_members(text: str) -> None:
    assert judge(signing(), ok(carrier=in_bytes(text), id="id")) is None


@pytest.mark.parametrize(
    "answer",
    [
        ok(carrier=in_bytes(CARRIER), id="other"),
        ok(carrier=in_bytes(CARRIER)),
        ok(carrier=in_bytes(CARRIER), id="id", more=1),
        ok(carrier=in_bytes({**CARRIER, "sig": "AQ"}), id="id"),
        ok(carrier=in_bytes({**CARRIER, "more": "x"}), id="id"),
        ok(carrier=in_bytes({**CARRIER, "sig": 1}), id="id"),
        ok(carrier=in_bytes({name: CARRIER[name] for name in ("clawnet", "kid", "env")}), id="id"),
        ok(carrier=in_bytes('{"clawnet":"2",' + json.dumps(CARRIER)[1:]), id="id"),
        ok(carrier=in_bytes("[]"), id="id"),
        ok(carrier=in_bytes('{"env":' + "[" * 100_000), id="id"),
        ok(carrier="e30=", id="id"),
        ok(carrier={}, id="id"),
        ok(carrier=base64url.encode(b"\xff"), id="id"),
        Answer("error", "size.carrier"),
    ],
)
def test_a_wrong_signed_carrier(answer: Answer) -> None:
    assert judge(signing(), answer) is not None


def sealing() -> Step:
    opens = {"secret": base64url.encode(SECRET), "info": "here", "plaintext": base64url.encode(b"hello")}
    return Step(op="seal", request={}, expect={"opens": opens})


def sealed(text: bytes = b"hello", info: bytes = b"here") -> str:
    return base64url.encode(SUITE.encrypt(text, KEY.public_key(), info))


def sealed_carrier(**members: object) -> str:
    return in_bytes({"clawnet": "1", "seal_key": PUBLIC, "sealed": sealed(), **members})


def test_what_was_sealed_is_opened() -> None:
    first, second = ok(sealed=sealed()), ok(carrier=sealed_carrier())
    assert judge(sealing(), first) is None
    assert judge(sealing(), second) is None
    one_time = [encapsulated_key(sealing(), answer) for answer in (first, second, first)]
    assert one_time[0] == one_time[2] != one_time[1]
    assert all(len(key) == 43 for key in one_time)


@pytest.mark.parametrize(
    "answer",
    [
        ok(sealed=sealed(b"hallo")),
        ok(sealed=sealed(info=b"there")),
        ok(sealed=sealed() + "="),
        ok(sealed=""),
        ok(sealed=1),
        ok(sealed=sealed(), more=1),
        ok(),
        ok(carrier=sealed_carrier(clawnet="2")),
        ok(carrier=sealed_carrier(seal_key=base64url.encode(bytes(32)))),
        ok(carrier=sealed_carrier(more="")),
        ok(carrier=sealed_carrier(sealed=sealed(b"hallo"))),
        ok(carrier=sealed_carrier(sealed=1)),
        ok(carrier=in_bytes("[" * 100_000 + "]" * 100_000)),
        Answer("error", "key.invalid"),
        Answer("unsupported", "seal"),
    ],
)
def test_what_was_sealed_wrongly(answer: Answer) -> None:
    assert judge(sealing(), answer) is not None


def nested(depth: int, opening: str, closing: str) -> bytes:
    """An answer of this depth: its object, the one in it, and others."""
    return b'{"ok":{"a":%b1%b}}' % (opening.encode() * (depth - 2), closing.encode() * (depth - 2))


BRACKETS = pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"a":', "}"), ("[0,", ",[]]")])


@BRACKETS
def test_an_answer_may_be_nested(opening: str, closing: str) -> None:
    answer = parse(nested(63, opening, closing))
    assert judge(signing(), answer) is not None
    parse(nested(64, "[", "]"))


@BRACKETS
@pytest.mark.parametrize("depth", [65, 300, 960, 985, 1000, 100_000])
def test_an_answer_that_is_nested_too_deep(opening: str, closing: str, depth: int) -> None:
    with pytest.raises(NotAnAnswer, match=r"^it is nested more than 64 deep$"):
        parse(nested(depth, opening, closing))


@pytest.mark.parametrize("answer", [ok(), ok(error="key.malformed"), Answer("error", "key.invalid")])
def test_an_error_is_that_error_and_nothing_else(answer: Answer) -> None:
    step = Step(op="did.decode", request={}, expect={"error": "key.malformed"})
    assert judge(step, Answer("error", "key.malformed")) is None
    assert judge(step, answer) is not None
