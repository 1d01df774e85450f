"""An answer beside what was expected. No process, no file: bytes in, a verdict out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from bots.conformance.vectors import Step
from clawnet_proto import PROTOCOL_VERSION, base64url

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_CARRIER = frozenset({"clawnet", "kid", "env", "sig"})
_SEALED_CARRIER = frozenset({"clawnet", "seal_key", "sealed"})
_ABSENT = object()
# No answer of spec/testee.md comes near it, and no reader of JSON fails at it.
_DEPTH_MOST = 64  # arrays and objects inside each other
_TOO_DEEP = f"it is nested more than {_DEPTH_MOST} deep"


class NotAnAnswer(ValueError):
    """A line that spec/testee.md does not allow as an answer."""


class Answer(msgspec.Struct, frozen=True):
    """One answer of a testee."""

    kind: Literal["ok", "error", "unsupported"]
    value: Any

    def __str__(self) -> str:
        return f"{self.kind} {written(self.value)}"


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """What was expected and what came; ``where`` is the place in the answer, "" for all of it."""

    expected: str
    got: str
    where: str = ""


def parse(line: bytes) -> Answer:
    """An answer from its line (without the line feed). Raises NotAnAnswer, which says why."""
    try:
        value = _strict_json(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotAnAnswer("it is not UTF-8") from None
    except ValueError as error:
        raise NotAnAnswer(str(error)) from None
    if not isinstance(value, dict) or len(value) != 1:
        raise NotAnAnswer("it is not an object with one member")
    ((kind, content),) = value.items()
    if (kind == "ok" and isinstance(content, dict)) or (kind in ("error", "unsupported") and isinstance(content, str)):
        return Answer(kind, content)
    raise NotAnAnswer("its member is neither ok with an object nor error or unsupported with a text")


def written(value: object) -> str:
    """A value as JSON text."""
    return _sayable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def judge(step: Step, answer: Answer) -> Mismatch | None:
    """What is wrong with an answer, None if nothing is. ``unsupported`` is for the caller to judge."""
    ((kind, expected),) = step.expect.items()
    if kind == "error":
        if answer != Answer("error", expected):
            return Mismatch(expected=str(Answer("error", expected)), got=str(answer))
        return None
    if answer.kind != "ok":
        wanted = "what opens" if kind == "opens" else written(expected)
        return Mismatch(expected=f"ok {wanted}", got=str(answer))
    if kind == "opens":
        return _judge_sealed(expected, answer.value)
    if step.op == "sign" and "members" in expected:
        return _judge_signed(expected, answer.value)
    return difference(expected, answer.value)


def difference(expected: object, got: object, where: str = "") -> Mismatch | None:
    """The first place where two JSON values differ. Unlike Python, 1, 1.0 and true are three values."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            found = difference(expected.get(key, _ABSENT), got.get(key, _ABSENT), f"{where}/{_sayable(key)}")
            if found is not None:
                return found
        return None
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            found = difference(one, other, f"{where}/{index}")
            if found is not None:
                return found
        return None
    if type(expected) is type(got) and expected == got:
        return None
    return Mismatch(expected=_shown(expected), got=_shown(got), where=where)


def encapsulated_key(step: Step, answer: Answer) -> str:
    """The one-time key of a sealed text that opened, "" for all other answers. It must never come again."""
    if "opens" not in step.expect or answer.kind != "ok":
        return ""
    sealed = answer.value.get("sealed") or _carrier(answer.value, _SEALED_CARRIER)["sealed"]
    return base64url.encode(base64url.decode(sealed)[:32])


def _judge_signed(expected: Mapping[str, Any], got: Mapping[str, Any]) -> Mismatch | None:
    if got.keys() != {"carrier", "id"}:
        return Mismatch(expected="ok with carrier and id", got=f"ok {written(got)}")
    try:
        carrier = _carrier(got, _CARRIER)
    except ValueError as error:
        return Mismatch(expected="a carrier", got=str(error), where="/carrier")
    signed = {"id": got["id"], "members": {name: carrier[name] for name in expected["members"]}}
    return difference(dict(expected), signed)


def _judge_sealed(expected: Mapping[str, str], got: Mapping[str, Any]) -> Mismatch | None:
    """Open what was sealed by the library, not by the reference implementation."""
    key = X25519PrivateKey.from_private_bytes(base64url.decode(expected["secret"]))
    try:
        sealed = got.get("sealed")
        if got.keys() == {"carrier"}:
            carrier = _carrier(got, _SEALED_CARRIER)
            sealed = carrier["sealed"]
            public = base64url.encode(key.public_key().public_bytes_raw())
            head = {"clawnet": PROTOCOL_VERSION, "seal_key": public}
            if wrong := difference(head, {name: carrier[name] for name in head}, "/carrier"):
                return wrong
        elif got.keys() != {"sealed"} or not isinstance(sealed, str):
            return Mismatch(expected="ok with sealed or carrier", got=f"ok {written(got)}")
        plaintext = _SUITE.decrypt(base64url.decode(sealed), key, expected["info"].encode())
    except InvalidTag:
        return Mismatch(expected="a sealed text that opens", got="one that does not open")
    except ValueError as error:
        return Mismatch(expected="a sealed text that opens", got=str(error))
    return difference(expected["plaintext"], base64url.encode(plaintext), "/plaintext")


def _carrier(answer: Mapping[str, Any], members: frozenset[str]) -> dict[str, str]:
    """The carrier in an answer, parsed. Raises ValueError."""
    text = answer.get("carrier")
    if not isinstance(text, str):
        raise ValueError("no carrier in base64url")
    carrier = _strict_json(base64url.decode(text).decode("utf-8"))
    if not isinstance(carrier, dict) or carrier.keys() != members:
        raise ValueError(f"not an object with the members {', '.join(sorted(members))}")
    if not all(isinstance(value, str) for value in carrier.values()):
        raise ValueError("a member of the carrier that is not text")
    return carrier


def _strict_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, which says why there is none."""
    try:
        value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    level = [value]
    for _ in range(_DEPTH_MOST):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _sayable(text: str) -> str:
    """Text whose lone surrogates, which no stream takes, are escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(value: object) -> str:
    return "nothing there" if value is _ABSENT else written(value)
