"""Vectors of the envelope: each demand of its table, agreement with the carrier, types, critical extensions."""

from __future__ import annotations

import copy
from typing import Any

from tests.vectors.breaking import UNREACHABLE, Breaker, find
from tests.vectors.samples import BODIES, envelope, some_id
from tests.vectors.shapes import MOST, Shape, checks
from tests.vectors.writing import ALICE, BOB, CAROL, Subject, b64, message_id, text_of

Value = dict[str, Any]

_EXTENSIONS: Value = {"org.example.billing": {"plan": ["a", 1, True]}, "trace": "x"}


def _request(**members: Any) -> Value:
    return envelope("task.request", BODIES["task.request"][0], **members)


def _cancel(**members: Any) -> Value:
    return envelope("task.cancel", BODIES["task.cancel"][0], **members)


def _with(value: Value, **members: Any) -> Value:
    """A whole envelope with other members, which may have any value."""
    return value | members


_FACES = "\U0001f600"

GOOD: list[tuple[str, str, Value]] = [
    ("no optional member", "MSG-11", envelope("presence.leave", {"revision": 1})),
    ("thread and answers", "MSG-19", _cancel(room="a room")),
    ("one recipient", "MSG-18", _request(recipients=[BOB.did])),
    ("sixteen recipients", "MSG-18 LIM-1", _request(recipients=[BOB.did, CAROL.did] * 8)),
    ("the sender as recipient", "MSG-18", _request(recipients=[ALICE.did])),
    ("a recipient that is no did", "TERM-8", _request(recipients=["x" * 56])),
    ("a recipient of 56 characters in 224 bytes", "TERM-6 TERM-8", _request(recipients=[_FACES * 56])),
    ("a thread that is no base64url", "TERM-8", _cancel(thread=" " * 43)),
    ("a thread of 43 characters in 172 bytes", "TERM-6 TERM-8", _cancel(thread=_FACES * 43)),
    ("an answer to itself as thread", "MSG-19", _cancel(thread=some_id("answers"))),
    ("a nonce that is no base64url", "MSG-13 TERM-8", _request(nonce="\u00e9" * 22)),
    ("a nonce with spare bits", "MSG-13 TERM-8", _request(nonce="A" * 21 + "B")),
    ("a room of 3 characters", "MSG-14", _request(room="a:b")),
    ("a room of 300 characters in 1200 bytes", "MSG-14 TERM-6", _request(room=_FACES * 300)),
    ("a room that is no URI", "MSG-14", _request(room="no URI")),
    ("sent at 0", "TERM-4", _request(sent_ms=0, expires_ms=1)),
    ("sent and expired at the greatest moment", "TERM-4 SIG-6", _request(sent_ms=MOST, expires_ms=MOST)),
    ("expired before it was sent, which is judged later", "SIG-6", _request(expires_ms=0)),
    ("a sender that is no did, whose key nothing proves here", "TERM-8 SIG-6", _with(_request(), sender="x" * 56)),
    ("an extension", "MSG-25 VER-9", _request(extensions={"org.example.billing": 1})),
    ("extensions of all kinds", "MSG-25 MSG-28", _request(extensions=_EXTENSIONS)),
    ("sixteen extensions", "LIM-1", _request(extensions={f"x{number:02}": 1 for number in range(16)})),
    ("an extension named by 64 characters", "MSG-25", _request(extensions={"x" * 64: []})),
    ("an extension that begins with a digit", "VER-8", _request(extensions={"0-_.": []})),
    ("an extension with members that the schema knows", "MSG-11 MSG-25",
     _request(extensions={"x": {"type": "other", "kid": 1}})),
    ("an extension nested to the limit", "VER-11 CAN-10", _request(extensions={"x": [[[[[[[[[["a"]]]]]]]]]]})),
    ("an extension that is false", "MSG-25", _request(extensions={"x": False})),
]  # fmt: skip

# about | requirements | envelope | code | the verifier that lacks the check
FAULTY: list[tuple[str, str, Value | str, str, str]] = [
    ("an object without members", "MSG-11", "{}", "schema.envelope", "required-unread"),
    ("an array", "MSG-11", "[]", "schema.envelope", "envelope-form-unchecked"),
    ("a text", "MSG-11", '"envelope"', "schema.envelope", "envelope-form-unchecked"),
    ("true", "MSG-11", "true", "schema.envelope", "envelope-form-unchecked"),
    ("an id of its own", "MSG-17 MSG-11", _with(_request(), id=some_id("id")), "schema.envelope",
     "schema-Envelope-extra-unchecked"),
    ("a sequence number", "MSG-15 MSG-11", _with(_request(), sequence=1), "schema.envelope",
     "schema-Envelope-extra-unchecked"),
    ("an optional member that is null", "MSG-11 CAN-3", _with(_cancel(), recipients=None), "canonical.null",
     "null-passes"),
    ("a body that is null", "CAN-3", _with(_request(), body=None), "canonical.null", "null-passes"),
    ("sent at a fraction of a millisecond", "TERM-4 CAN-6", _with(_request(), sent_ms=1.5), "canonical.number",
     "fractions-pass"),
    ("sent after the greatest moment", "TERM-4 CAN-6", _with(_request(), sent_ms=MOST + 1), "canonical.number",
     "great-integers-pass"),
    ("an extension nested too deep", "VER-11 CAN-10 MSG-28", _request(extensions={"x": [[[[[[[[[[[]]]]]]]]]]]}),
     "canonical.depth", "depth-unbounded"),
    ("an extension of too many values", "VER-11 CAN-11 MSG-28", _request(extensions={"x": [0] * 4096}),
     "canonical.nodes", "nodes-unbounded"),
    ("an extension with null", "MSG-28 CAN-3", _request(extensions={"x": {"y": None}}), "canonical.null",
     "null-passes"),
    ("an extension with a fraction", "MSG-28 TERM-5", _request(extensions={"x": [0.5]}), "canonical.number",
     "fractions-pass"),
    ("an extension with a key in upper case", "MSG-28 CAN-4", _request(extensions={"x": {"Y": 1}}), "canonical.key",
     "any-key-passes"),
    ("another version than the carrier's", "MSG-12 VER-4", _with(_request(), clawnet="2"), "carrier.mismatch",
     "carrier-version-unmatched"),
    ("another key than the carrier's", "MSG-12", _with(_request(), kid=BOB.did), "carrier.mismatch",
     "carrier-kid-unmatched"),
    ("another key than the carrier's, which is no did", "MSG-12 TERM-8", _with(_request(), kid="x" * 56),
     "carrier.mismatch", "carrier-kid-unmatched"),
    ("the key of the carrier with another case", "MSG-12 TERM-7", _with(_request(), kid=ALICE.did.swapcase()),
     "carrier.mismatch", "carrier-kid-unmatched"),
    ("an unknown type", "MSG-23 VER-6", _with(_request(), type="task.dance"), "type.unknown", "unknown-types-pass"),
    ("an unknown type with a body that is no object", "MSG-23 SIG-9", _with(_request(), type="x", body=[]),
     "type.unknown", "unknown-types-pass"),
    ("a known type in upper case", "MSG-23 TERM-7", _with(_request(), type="Task.request"), "type.unknown",
     "unknown-types-pass"),
    ("a known type with a space", "MSG-23 TERM-7", _with(_request(), type="task.request "), "type.unknown",
     "unknown-types-pass"),
    ("the type constructor", "MSG-23", _with(_request(), type="constructor"), "type.unknown", "unknown-types-pass"),
    ("the type __proto__", "MSG-23", _with(_request(), type="__proto__"), "type.unknown", "unknown-types-pass"),
    ("a type of 64 characters in 256 bytes", "TERM-6", _with(_request(), type=_FACES * 64), "type.unknown",
     "unknown-types-pass"),
    ("the body of another type", "MSG-11", _with(_cancel(), type="task.close"), "schema.body",
     "required-unread"),
    ("a body that is an array", "MSG-11 SIG-9", _with(_cancel(), body=[]), "schema.body", "body-form-unchecked"),
    ("a body that is a text", "MSG-11 SIG-9", _with(_cancel(), body="{}"), "schema.body", "body-form-unchecked"),
    ("a critical extension", "MSG-27 VER-9", _request(critical=["org.example.billing"], extensions=_EXTENSIONS),
     "critical.unsupported", "critical-ignored"),
    ("the second extension is critical", "MSG-27", _request(critical=["trace"], extensions=_EXTENSIONS),
     "critical.unsupported", "critical-ignored"),
    ("a critical name that is no extension", "VER-9", _request(critical=["billing"]), "critical.unsupported",
     "critical-only-in-extensions"),
    ("a critical name that is not among the extensions", "VER-9",
     _request(critical=["billing"], extensions=_EXTENSIONS), "critical.unsupported", "critical-only-in-extensions"),
    ("a critical name that is a member of the envelope", "VER-9", _request(critical=["thread"]),
     "critical.unsupported", "critical-only-in-extensions"),
    ("sixteen critical names", "LIM-1 VER-9", _request(critical=[f"x{number}" for number in range(16)]),
     "critical.unsupported", "critical-ignored"),
    ("a critical name twice", "VER-9", _request(critical=["trace", "trace"], extensions=_EXTENSIONS),
     "critical.unsupported", "critical-ignored"),
    ("order of checks: a member more, and another version", "ERR-1 SIG-9", _with(_request(), clawnet="2", extra=1),
     "schema.envelope", "schema-Envelope-extra-unchecked"),
    ("order of checks: another key, and an unknown type", "ERR-1 SIG-9", _with(_request(), kid=BOB.did, type="x"),
     "carrier.mismatch", "type-before-mismatch"),
    ("order of checks: an unknown type, and a critical extension", "ERR-1 SIG-9 SIG-6",
     _with(_request(critical=["x"]), type="x"), "type.unknown", "critical-before-schema"),
    ("order of checks: a bad body, and a critical extension", "ERR-1 SIG-6", _with(_request(critical=["x"]), body={}),
     "schema.body", "critical-before-schema"),
    ("order of checks: a missing member, and a bad body", "ERR-1 SIG-9",
     {name: item for name, item in _with(_request(), body={}).items() if name != "room"}, "schema.envelope",
     "schema-Envelope.room-missing-unchecked"),
    ("order of checks: an unknown type, and a thread that it may not have", "ERR-1 SIG-9",
     _with(_request(), type="x", thread=some_id("thread")), "type.unknown", "unknown-types-pass"),
]  # fmt: skip

_ALL = _with(_request(recipients=[BOB.did]), critical=["trace"], extensions=_EXTENSIONS)


def _demands(subject: Subject) -> None:
    breaker = Breaker()
    for check in checks("Envelope"):
        if (check.record, check.field, check.what) in UNREACHABLE:
            continue
        field = check.field.partition("[")[0]
        base = _cancel() if field in ("thread", "answers") else _ALL if field in ("critical", "extensions") else None
        value = copy.deepcopy(base or _request(recipients=[BOB.did]))
        holder = find(value, Shape("object", records=("Envelope",)), check)
        assert holder is value, check
        words = breaker.broken(value, check)
        requirements = {"line-feed": "MSG-11 MSG-16", "extra": "MSG-11 MSG-24 VER-7"}.get(check.what, "MSG-11")
        vector = subject.error(words, requirements, "verify", {"carrier": b64(ALICE.carrier(value))},
                               "schema.envelope", check.name)  # fmt: skip
        vector["id"] = f"envelope-{check.field or 'record'}-{check.what}".replace("[]", "-item")


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("envelope", "envelopes: what each member may be, agreement with the carrier, types, extensions")
    for about, requirements, value in GOOD:
        text = text_of(value)
        answer = {"id": message_id(text.encode())} | {name: value[name] for name in ("sender", "kid", "type")}
        subject.ok(about, requirements, "verify", {"carrier": b64(ALICE.carrier(text))}, answer)
    _demands(subject)
    for about, requirements, value_or_text, code, kills in FAULTY:
        request = {"carrier": b64(ALICE.carrier(value_or_text))}
        subject.error(about, requirements, "verify", request, code, kills)
    return subject
