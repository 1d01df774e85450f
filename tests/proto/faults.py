"""Carriers with one fault each, in the order in which a verifier checks (spec/05-signatures.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from clawnet_proto import base64url
from clawnet_proto.carrier import sign, verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import encode_did
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS
from tests.proto.authoring import Author, canonical_text, some_digest
from tests.proto.samples import envelopes

ALICE, BOB = Author("alice"), Author("bob")
VALUES: dict[str, dict[str, Any]] = {
    f"{kind}{' in full' if full else ''}": json.loads(json.loads(sign(ALICE.key, envelope)[0])["env"])
    for full in (False, True)
    for kind, envelope in envelopes(ALICE, BOB, full=full).items()
}
LOW_ORDER_DID = encode_did((1).to_bytes(32, "little"))
L = 2**252 + 27742317777372353535851937790883648493


def copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def verdict(data: bytes | str) -> str:
    """The code of our verifier, "" if there is nothing wrong."""
    try:
        verify(data)
    except RemoteProtocolError as error:
        return error.code
    return ""


@dataclass
class Draft:
    """A carrier in the making: each fault changes it at the point where its author would have."""

    value: dict[str, Any] = field(default_factory=lambda: copy(VALUES["task.result in full"]))
    write: Callable[[Any], str] = canonical_text
    members: dict[str, object] = field(default_factory=dict)
    finish: list[Callable[[bytes], bytes]] = field(default_factory=list)

    def carrier(self) -> bytes:
        data = ALICE.carrier_of(self.write(self.value), self.members)
        for change in self.finish:
            data = change(data)
        return data


Fault = Callable[[Draft], object]


def body(**changes: Any) -> Fault:
    return lambda draft: draft.value["body"].update(changes)


def envelope(**changes: Any) -> Fault:
    return lambda draft: draft.value.update(changes)


def without(name: str) -> Fault:
    return lambda draft: draft.value.pop(name)


def members(**changes: object) -> Fault:
    return lambda draft: draft.members.update(changes)


def data(change: Callable[[bytes], bytes]) -> Fault:
    return lambda draft: draft.finish.append(change)


def text(change: Callable[[str], str]) -> Fault:
    """The envelope's text is changed before it is signed."""

    def apply(draft: Draft) -> None:
        before = draft.write
        draft.write = lambda value: change(before(value))

    return apply


def signature(change: Callable[[bytes], bytes]) -> Fault:
    """The signature's bytes are changed."""

    def apply(data: bytes) -> bytes:
        carrier = json.loads(data)
        carrier["sig"] = base64url.encode(change(base64url.decode(carrier["sig"])))
        return json.dumps(carrier).encode()

    return lambda draft: draft.finish.append(apply)


def sig(change: Callable[[str], str]) -> Fault:
    """The signature's text is changed."""

    def apply(data: bytes) -> bytes:
        carrier = json.loads(data)
        carrier["sig"] = change(carrier["sig"])
        return json.dumps(carrier).encode()

    return lambda draft: draft.finish.append(apply)


def replaced(kind: str, fault: Fault) -> Fault:
    """A fault of a message of another type."""

    def apply(draft: Draft) -> None:
        draft.value = copy(VALUES[kind])
        fault(draft)

    return apply


def stage(**changes: Any) -> Fault:
    return replaced("task.request", lambda draft: draft.value["body"]["stages"][0].update(changes))


def task_input(**changes: Any) -> Fault:
    return replaced("task.request", lambda draft: draft.value["body"]["inputs"][0].update(changes))


def plus_order(data: bytes) -> bytes:
    return data[:32] + (int.from_bytes(data[32:], "little") + L).to_bytes(32, "little")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


# In the order of checks; one fault each. The first of each group also takes part in the test of pairs.
FAULTS: dict[str, list[Fault]] = {
    "size.carrier": [data(lambda data: data + b" " * 50_000)],
    "carrier.not_json": [
        data(lambda data: b"[" * 40_000),
        data(lambda data: data + b"}"),
        data(lambda data: data[:-1]),
        data(lambda data: b""),
        data(lambda data: b"\xef\xbb\xbf" + data),
        data(lambda data: data.replace(b"clawnet", b"claw\xffnet")),
        data(lambda data: data.replace(b'"1"', b'"\xed\xa0\x80"')),
        data(lambda data: data.replace(b'"1"', b"NaN")),
        data(lambda data: data.replace(b'"1"', b"-Infinity")),
        data(lambda data: data.replace(b'"1"', b"01")),
        data(lambda data: data.replace(b'"1"', b'"1\n"')),
        data(lambda data: data.replace(b'"1"', b"'1'")),
        data(lambda data: b"not JSON"),
    ],
    "carrier.malformed": [
        members(extra="member"),
        members(id="a message names no id of its own"),
        members(clawnet=1),
        members(kid=None),
        members(env={"type": "task.result"}),
        members(sig=["text"]),
        members(sig=True),
        members(env="\ud800"),
        members(kid="\udc00"),
        members(extra=nested(600)),
        data(lambda data: b"[" * 20_000 + b"]" * 20_000),
        data(lambda data: data[:-1] + b',"env":null}'),
        data(lambda data: data[:-1] + b',"sig":"\\ud800"}'),
        data(lambda data: b'{"clawnet":' + b"1" * 6000 + b"}"),
        data(lambda data: b"[]"),
        data(lambda data: b"null"),
        data(lambda data: b"{}"),
        data(lambda data: b'"text"'),
        data(lambda data: data.replace(b'"sig"', b'"signature"')),
        data(lambda data: data.replace(b'"sig"', b'"\\ud800"')),
    ],
    "size.envelope": [
        envelope(extensions={"pad": "x" * LIMITS.envelope_bytes}),
        envelope(extensions={"pad": "é" * (LIMITS.envelope_bytes // 2)}),
    ],
    "version.unsupported": [
        members(clawnet="2"),
        members(clawnet=""),
        members(clawnet="01"),
        members(clawnet="1.0"),
        members(clawnet="1 "),
    ],
    "key.malformed": [
        members(kid=ALICE.did[:-1]),
        members(kid=""),
        members(kid=ALICE.did.replace("z6Mk", "z6LS")),
        members(kid=ALICE.did + "#key"),
        members(kid="did:web:example.org"),
    ],
    "key.invalid": [members(kid=LOW_ORDER_DID), members(kid=encode_did((2**255 - 1).to_bytes(32, "little")))],
    "signature.malformed": [
        sig(lambda sig: sig + "=="),
        sig(lambda sig: ""),
        sig(lambda sig: sig[:-1]),
        sig(lambda sig: sig[:-2]),
        sig(lambda sig: sig + "AA"),
        sig(lambda sig: sig[:-1] + "B"),
        sig(lambda sig: sig[:-1] + "+"),
        sig(lambda sig: sig[:-1] + "\n"),
        sig(lambda sig: sig[:-1] + "é"),
        sig(lambda sig: " " + sig),
    ],
    "signature.invalid": [
        signature(lambda data: bytes([data[0] ^ 1]) + data[1:]),
        signature(lambda data: data[:-1] + bytes([data[-1] ^ 16])),
        signature(plus_order),
        signature(lambda data: bytes(64)),
        members(kid=BOB.did),
        data(lambda data: data.replace(b"gemma3", b"gemma4")),
    ],
    "canonical.whitespace": [text(lambda text: text + " "), text(lambda text: text.replace(":", ": ", 1))],
    "canonical.syntax": [text(lambda text: text[:-1]), text(lambda text: ""), text(lambda text: "x" + text)],
    "canonical.null": [body(text=None), envelope(thread=None), text(lambda text: "null")],
    "canonical.number": [
        envelope(sent_ms=1.5),
        envelope(sent_ms=1e3),
        envelope(sent_ms=2**53),
        envelope(sent_ms=10**4000),
        text(lambda text: text.replace('"attempt":1', '"attempt":-0')),
        text(lambda text: text.replace('"attempt":1', '"attempt":01')),
        text(lambda text: text.replace('"attempt":1', '"attempt":1.0')),
        envelope(extensions={"x": {"y": [0.5]}}),
    ],
    "canonical.string": [
        text(lambda text: text.replace("/", "\\/")),
        text(lambda text: text.replace("A", "\\u0041", 1)),
        text(lambda text: text.replace("text/plain", "text\u0001plain")),
        text(lambda text: text.replace("text/plain", "text\\u000aplain")),
        text(lambda text: text.replace("text/plain", "\\ud83d\\ude00")),
    ],
    "canonical.key": [envelope(Extra=1), envelope(extensions={"x": {"A": 1}}), envelope(**{"": 1})],
    "canonical.duplicate_key": [
        text(lambda text: text.replace('"type":', '"type":"task.fail","type":')),
        text(lambda text: text.replace('"attempt":1', '"attempt":1,"attempt":1')),
        text(lambda text: text.replace('"kid"', '"extensions":{"x":1,"x":2},"kid"')),
    ],
    "canonical.order": [
        text(lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":"))),
        text(lambda text: text.replace('"attempt":1,', "").replace('"award"', '"award":"","attempt"', 1)),
    ],
    "canonical.depth": [envelope(extensions={"x": nested(11)}), envelope(deep=nested(500))],
    "canonical.nodes": [envelope(extensions={"x": [0] * 4096})],
    "schema.envelope": [
        envelope(nonce="short"),
        envelope(extra=1),
        envelope(sent_ms=-1),
        envelope(sent_ms="1"),
        envelope(sent_ms=True),
        envelope(expires_ms=[]),
        envelope(clawnet=""),
        envelope(clawnet="12345"),
        envelope(type=""),
        envelope(type="x" * 65),
        envelope(type=1),
        envelope(room="no"),
        envelope(room="x" * 301),
        envelope(sender=ALICE.did[:-1]),
        envelope(kid=ALICE.did + "1"),
        envelope(recipients=[]),
        envelope(recipients=BOB.did),
        envelope(recipients=[BOB.did] * 17),
        envelope(recipients=["short"]),
        envelope(thread="short"),
        envelope(answers=""),
        envelope(critical=[]),
        envelope(critical=["Upper"]),
        envelope(critical=["x\n"]),
        envelope(critical=["x"] * 17),
        envelope(extensions={}),
        envelope(extensions=[]),
        envelope(extensions={"-x": 1}),
        envelope(extensions={f"x{number}": 1 for number in range(17)}),
        without("body"),
        without("room"),
        without("type"),
        text(lambda text: "{}"),
        text(lambda text: "[]"),
        text(lambda text: '"text"'),
    ],
    "carrier.mismatch": [envelope(clawnet="2"), envelope(kid=BOB.did)],
    "type.unknown": [envelope(type="task.dance"), envelope(type="Task.result"), envelope(type='"type":"task.result')],
    "schema.body": [
        body(extra=1),
        body(text=1),
        body(attempt=0),
        body(attempt=1001),
        body(attempt=True),
        body(stage=""),
        body(finish="tired"),
        body(usage={}),
        body(inputs=[{"source": "question"}]),
        body(inputs=[{"source": "question", "digest": some_digest("x"), "extra": 1}]),
        body(media_type="x"),
        body(parameters={}),
        body(text="x" * 16_001),
        envelope(body=[]),
        envelope(body="text"),
        envelope(body={}),
        envelope(type="task.fail"),
        body(sealed="c2VhbGVk"),
        lambda draft: draft.value["body"].pop("text"),
        body(text="é" * 8001, output_digest=digest(("é" * 8001).encode())),
        replaced("task.fail", body(code="Upper")),
        replaced("task.fail", body(code="x\n")),
        replaced("task.fail", body(retryable=1)),
        replaced("presence.announce", body(kind="god")),
        replaced("presence.announce", body(seal_key="A" * 42 + "B")),
        replaced("presence.announce", body(addresses=[])),
        replaced("presence.announce", body(role="two words")),
        replaced("handshake.hello", body(versions=[])),
        replaced("task.award", body(lease_ms=999)),
        replaced("task.award", body(inputs=[])),
        replaced("task.progress", body(sealed="not base64url!")),
        replaced("task.progress", body(sealed="c2VhbGVk\n")),
        stage(id="Draft"),
        stage(id="draft\n"),
        stage(id="question"),
        stage(prompt=[]),
        stage(prompt=[{"part": "picture"}]),
        stage(prompt=[{"text": "a part without its kind"}]),
        stage(prompt=[{"part": "data", "source": "draft", "form": "line"}]),
        stage(prompt=[{"part": "data", "source": "nowhere", "form": "line"}]),
        stage(kind="dance"),
        replaced("task.request", body(inputs=[])),
        replaced("task.request", lambda draft: draft.value["body"]["inputs"].extend(draft.value["body"]["inputs"])),
        replaced("task.request", body(privacy="sealed")),
        replaced("task.request", body(hops=9)),
        task_input(name="Question"),
    ],
    "schema.body in recipients": [
        without("recipients"),
        envelope(recipients=[BOB.did, ALICE.did]),
        replaced("presence.leave", envelope(recipients=[BOB.did])),
        replaced("task.cancel", envelope(recipients=[BOB.did])),
    ],
    "schema.body in thread": [without("thread"), replaced("task.request", envelope(thread=some_digest("x")))],
    "schema.body in answers": [without("answers"), replaced("task.request", envelope(answers=some_digest("x")))],
    "digest.mismatch": [body(output_digest=some_digest("other")), task_input(digest=some_digest("other"))],
    "identity.broken_chain": [
        replaced("identity.rotate", lambda draft: draft.value["body"]["chain"][0].update(commitment="A" * 86)),
        replaced("identity.rotate", lambda draft: draft.value["body"]["chain"][0].update(commitment="=" * 86)),
        replaced("identity.rotate", lambda draft: draft.value["body"]["chain"][0].update(key=BOB.did)),
        replaced("identity.rotate", lambda draft: draft.value["body"]["chain"][0].update(key=LOW_ORDER_DID)),
        replaced("identity.rotate", lambda draft: draft.value["body"]["chain"].append(draft.value["body"]["chain"][0])),
        replaced(
            "identity.revoke",
            lambda draft: draft.value["body"]["chain"].append(VALUES["identity.rotate"]["body"]["chain"][0]),
        ),
    ],
    "critical.unsupported": [
        envelope(critical=["billing"], extensions={"billing": 1}),
        envelope(critical=["billing"]),
    ],
}  # fmt: skip
