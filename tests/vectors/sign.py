"""Vectors of signing: the one signature and id of an envelope, and what a sender refuses to sign (ERR-6)."""

from __future__ import annotations

import json
from typing import Any

from tests.vectors.samples import BODIES, envelope
from tests.vectors.writing import ALICE, BOB, LIMITS, Author, Subject, Vector, b64, message_id, text_of

_EXAMPLE_ENV = (
    '{"body":{"address":{"device":"ALICE1","uri":"matrix:u/alice:example.org"},"versions":["1"]},"clawnet":"1",'
    '"expires_ms":1767225660000,"kid":"did:key:z6MkneMkZqwqRiU5mJzSG3kDwzt9P8C59N4NGTfBLfSGE7c7",'
    '"nonce":"AAECAwQFBgcICQoLDA0ODw","recipients":["did:key:z6Mkv4fhuJNepggTLQ4LtYSsiYFayjovLj1fpKMeqe9ss2Gw"],'
    '"room":"matrix:roomid/example","sender":"did:key:z6MkneMkZqwqRiU5mJzSG3kDwzt9P8C59N4NGTfBLfSGE7c7",'
    '"sent_ms":1767225600000,"type":"handshake.hello"}'
)
_EXAMPLE = Author("the example", seed=bytes(range(1, 33)))


def _value(kind: str, form: int = 0, **members: Any) -> dict[str, Any]:
    return envelope(kind, BODIES[kind][form], **members)


def _padded(pad: str) -> str:
    return text_of(_value("task.cancel", extensions={"pad": pad}))


_SPARE = LIMITS["envelope_bytes"] - len(_padded(""))
_TEXT = text_of(_value("task.cancel"))

GOOD: list[tuple[str, str, Author, str]] = [
    ("the hello of the example", "SIG-1 SIG-2 SIG-3", _EXAMPLE, _EXAMPLE_ENV),
    ("an announce", "SIG-2", ALICE, text_of(_value("presence.announce", 1))),
    ("a request with letters beyond ASCII", "SIG-1 MSG-5", ALICE, text_of(_value("task.request", 1))),
    ("a result", "SIG-2", ALICE, text_of(_value("task.result", 1))),
    ("an unproven key", "SIG-2 ID-2 ERR-6", BOB, text_of(_value("task.cancel", kid=BOB.did))),
    ("characters beyond U+FFFF", "SIG-1 MSG-5", ALICE, _padded("\U0001f600\U0010ffff")),
    ("control characters and U+2028", "SIG-1 MSG-5", ALICE, _padded("\0\b\t\n\f\r\u001f\u007f\u2028")),
    ("as large as an envelope can be", "SIG-1 MSG-6", ALICE, _padded("x" * _SPARE)),
]

# about | requirements | text | code | the verifier that lacks the check
REFUSED: list[tuple[str, str, str, str, str]] = [
    ("one byte too large", "MSG-6", _padded("x" * (_SPARE + 1)), "size.envelope", "envelope-size-unchecked"),
    ("so many quotation marks that the carrier is too large", "MSG-6", _padded('"' * (_SPARE // 2)), "size.carrier",
     "carrier-size-unchecked"),
    ("white space", "MSG-11", _TEXT.replace(",", ", "), "canonical.whitespace", "white-space-skipped"),
    ("a line feed at the end", "MSG-11", _TEXT + "\n", "canonical.whitespace", "text-after-value-passes"),
    ("a key twice", "MSG-11", _TEXT.replace('"body":{}', '"body":{},"body":{}'), "canonical.duplicate_key",
     "duplicate-keys-pass"),
    ("keys out of order", "MSG-11", json.dumps(dict(reversed(json.loads(_TEXT).items())), separators=(",", ":")),
     "canonical.order", "key-order-unchecked"),
    ("a fraction", "MSG-11", _TEXT.replace('"sent_ms":', '"sent_ms":0.5').replace("0.51", "1.", 1), "canonical.number",
     "fractions-pass"),
    ("the key of somebody else", "MSG-12 ID-2", text_of(_value("task.cancel", kid=BOB.did)), "carrier.mismatch",
     "carrier-kid-unmatched"),
    ("a version that is not this one", "MSG-12", text_of(_value("task.cancel", clawnet="2")), "carrier.mismatch",
     "carrier-version-unmatched"),
    ("a member that the schema does not name", "MSG-11", text_of(_value("task.cancel") | {"extra": 1}),
     "schema.envelope", "schema-Envelope-extra-unchecked"),
    ("a body that is not of its type", "MSG-11", text_of(_value("task.cancel") | {"body": {"extra": 1}}),
     "schema.body", "schema-Cancel-extra-unchecked"),
    ("an unknown type", "MSG-23 ERR-6", text_of(_value("task.cancel") | {"type": "task.dance"}), "type.unknown",
     "signs-unchecked"),
    ("a wrong digest", "TASK-38", text_of(_value("task.result") | {"body": BODIES["task.result"][0] | {"text": "x"}}),
     "digest.mismatch", "output-digests-unchecked"),
    ("a thread where there must be none", "MSG-19",
     text_of(_value("presence.leave", thread=_value("task.cancel")["thread"])), "schema.body",
     "forbidden-thread-passes"),
    ("a critical extension", "MSG-27 MSG-26 ERR-6", text_of(_value("task.cancel", critical=["x"], extensions={"x": 1})),
     "critical.unsupported", "signs-unchecked"),
]  # fmt: skip


def build() -> Subject:
    """All vectors of the subject."""
    subject = Subject("sign", "signing: the one signature and id of an envelope, and what is not signed")
    for about, requirements, author, text in GOOD:
        answer: Vector = {"id": message_id(text.encode()), "members": json.loads(author.carrier(text))}
        subject.ok(about, requirements, "sign", {"seed": b64(author.seed), "env": b64(text.encode())}, answer)
    for about, requirements, text, code, kills in REFUSED:
        request = {"seed": b64(ALICE.seed), "env": b64(text.encode())}
        subject.error(
            f"refused: {about}",
            requirements if "ERR-6" in requirements else f"{requirements} ERR-6",
            "sign",
            request,
            code,
            kills,
        )
    return subject
