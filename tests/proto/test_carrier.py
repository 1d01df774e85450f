"""Carriers: what is wrong has one code, the same for everybody (spec/02-messages.md, spec/05-signatures.md)."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
import pytest

from clawnet_proto.carrier import sign, verify
from clawnet_proto.errors import LocalProtocolError
from clawnet_proto.families import BODIES, task
from clawnet_proto.signing import digest, message_id, signed_bytes
from clawnet_proto.specification import ERRORS, LIMITS
from tests.proto.authoring import canonical_text, some_digest
from tests.proto.faults import ALICE, BOB, FAULTS, VALUES, Draft, Fault, copy, nested, verdict
from tests.proto.samples import envelopes, request
from tests.vectors.mutants_message import judge


@pytest.mark.parametrize(
    "code,fault",
    [
        pytest.param(code.split()[0], fault, id=f"{code}-{number}")
        for code, faults in FAULTS.items()
        for number, fault in enumerate(faults)
    ],
)
def test_each_fault_has_its_code(code: str, fault: Fault) -> None:
    draft = Draft()
    fault(draft)
    carrier = draft.carrier()
    assert verdict(carrier) == code
    assert judge(carrier) == code


def test_every_code_of_a_verifier_is_tried() -> None:
    stages = {"size", "carrier", "version", "key", "signature", "canonical", "schema", "critical"}
    assert {code.split()[0] for code in FAULTS} == {code for code, rule in ERRORS.items() if rule.stage in stages}


# A text has one first fault, so of the canonical ones only one stands among the pairs; and what has no
# known type has no schema of its body. A chain and a text with a digest stand in no type together.
IN_PAIRS = [
    code
    for code in FAULTS
    if (not code.startswith("canonical.") or code == "canonical.whitespace") and code != "identity.broken_chain"
]


@pytest.mark.parametrize("earlier,later", list(itertools.combinations(IN_PAIRS, 2)))
def test_of_two_faults_the_one_checked_first_is_named(earlier: str, later: str) -> None:
    draft = Draft()
    for code in (later, earlier):
        FAULTS[code][0](draft)
    carrier = draft.carrier()
    assert verdict(carrier) == earlier.split(maxsplit=1)[0]
    assert judge(carrier) == earlier.split(maxsplit=1)[0]


# --- what is right ---


@pytest.mark.parametrize("kind", VALUES)
def test_every_type_comes_back_as_it_was_signed(kind: str) -> None:
    env = canonical_text(VALUES[kind])
    message = verify(ALICE.carrier_of(env))
    assert message.type == kind.split(maxsplit=1)[0]
    assert message.envelope.kid == ALICE.did
    assert message.sender == (BOB.did if message.type == "identity.rotate" else ALICE.did)
    assert message.size == len(env.encode())
    assert message.id == message_id(signed_bytes(env.encode())) == digest(signed_bytes(env.encode()))
    assert sign(ALICE.key, message.envelope) == (json_carrier(env), message)
    assert type(message.body) is BODIES[message.type]


def json_carrier(env: str) -> bytes:
    """As our encoder writes it: without white space, in the order of the specification."""
    return json.dumps(json.loads(ALICE.carrier_of(env)), separators=(",", ":"), ensure_ascii=False).encode()


def test_what_is_signed_is_what_the_specification_says() -> None:
    assert signed_bytes(b"{}") == b"DSSEv1 40 application/vnd.clawnet.envelope.v1+json 2 {}"


def test_however_a_server_writes_the_carrier_the_message_is_the_same() -> None:
    data = Draft().carrier()
    carrier = json.loads(data)
    message = verify(data)
    for rewritten in (
        json.dumps(carrier, indent=3),
        json.dumps(dict(reversed(carrier.items()))),
        json.dumps(carrier).replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" if character == "a" else character for character in json.dumps(carrier))
        .replace("cl\\u0061wnet", "clawnet", 1),
        "\n\t " + json.dumps(carrier) + "\r\n",
        json.dumps(carrier).replace('"clawnet": "1"', '"clawnet": "7", "clawnet": "1"'),
    ):  # fmt: skip
        assert verify(rewritten) == message
        assert verify(rewritten.encode()) == message


def test_a_text_is_read_as_its_utf_8() -> None:
    value = copy(VALUES["task.cancel in full"])
    value["body"]["reason"] = "Zürich \U0001f600 \u2028\x7f"
    carrier = ALICE.carrier_of(canonical_text(value))
    assert verify(carrier).body.reason == verify(carrier.decode()).body.reason == value["body"]["reason"]
    assert verdict("\ud800") == "carrier.not_json"
    assert verdict(json.dumps("\ud800")) == "carrier.malformed"


@pytest.mark.parametrize(
    "extensions",
    [{"x": True}, {"org.example.billing": {"a": [1, "two", {"b": {}}]}}, {"x": nested(10)}, {"x": [0] * 4000}],
    ids=lambda extensions: canonical_text(extensions)[:20],
)
def test_unknown_extensions_are_accepted(extensions: dict[str, Any]) -> None:
    draft = Draft()
    draft.value["extensions"] = extensions
    message = verify(draft.carrier())
    assert message.envelope.extensions == extensions
    assert sign(ALICE.key, message.envelope)[1] == message


def test_a_carrier_may_be_as_large_as_the_limit_and_no_larger() -> None:
    carrier = Draft().carrier()
    assert verdict(carrier + b" " * (LIMITS.carrier_bytes - len(carrier))) == ""
    assert verdict(carrier + b" " * (LIMITS.carrier_bytes - len(carrier) + 1)) == "size.carrier"
    draft = Draft()
    draft.value["extensions"] = {"pad": ""}
    room = LIMITS.envelope_bytes - len(canonical_text(draft.value).encode())
    draft.value["extensions"] = {"pad": "x" * room}
    assert verdict(draft.carrier()) == ""
    draft.value["extensions"] = {"pad": "x" * (room + 1)}
    assert verdict(draft.carrier()) == "size.envelope"


def test_the_largest_request_is_read_the_same_way_by_type_and_exactly() -> None:
    """No message that typed decoding takes has more values than canonical text may have."""
    part = {"part": "data", "source": "a", "form": "line"}
    value = copy(VALUES["task.request"])
    request = value["body"]
    inputs = [{"name": name, "digest": digest(b""), "text": ""} for name in "abcdefgh"]
    stages = [
        request["stages"][0] | {"id": f"s{number}", "prompt": [part] * 32, "parameters": dict(
            request["stages"][0]["parameters"], stop=["."] * 8
        )}
        for number in range(16)
    ]  # fmt: skip
    value["body"] = request | {"inputs": inputs, "stages": stages}
    carrier = ALICE.carrier_of(canonical_text(value))
    assert verdict(carrier) == judge(carrier) == ""


# --- signing ---

WRONG_INPUT = task.Input(name="question", digest=some_digest("another text"), text="a text")

UNSIGNABLE: list[tuple[str, str, dict[str, Any]]] = [
    ("schema.envelope", "task.cancel", {"nonce": "short"}),
    ("schema.envelope", "task.cancel", {"sent_ms": -1}),
    ("schema.envelope", "task.cancel", {"sent_ms": "soon"}),
    ("schema.envelope", "task.cancel", {"room": ""}),
    ("schema.envelope", "task.cancel", {"extensions": {}}),
    ("canonical.number", "task.cancel", {"sent_ms": 2**53}),
    ("canonical.number", "task.cancel", {"sent_ms": 1.5}),
    ("canonical.number", "task.cancel", {"extensions": {"x": 0.5}}),
    ("canonical.null", "task.cancel", {"thread": None}),
    ("canonical.null", "task.cancel", {"extensions": {"x": [None]}}),
    ("canonical.key", "task.cancel", {"extensions": {"X": 1}}),
    ("canonical.string", "task.cancel", {"room": "\ud800abc"}),
    ("canonical.depth", "task.cancel", {"extensions": {"x": nested(11)}}),
    ("canonical.nodes", "task.cancel", {"extensions": {"x": [0] * 4096}}),
    ("carrier.mismatch", "task.cancel", {"clawnet": "2"}),
    ("carrier.mismatch", "task.cancel", {"kid": BOB.did}),
    ("carrier.mismatch", "task.cancel", {"kid": BOB.did, "sender": BOB.did}),
    ("identity.broken_chain", "identity.rotate", {"sender": ALICE.did}),
    ("type.unknown", "task.cancel", {"type": "task.dance"}),
    ("schema.body", "task.cancel", {"type": "task.fail"}),
    ("schema.body", "task.cancel", {"recipients": (BOB.did,)}),
    ("schema.body", "presence.leave", {"thread": some_digest("x")}),
    ("schema.body", "presence.leave", {"answers": some_digest("x")}),
    ("schema.body", "task.award", {"recipients": (ALICE.did, BOB.did)}),
    ("digest.mismatch", "task.request", {"body": request(inputs=(WRONG_INPUT,))}),
    ("critical.unsupported", "task.cancel", {"critical": ("x",), "extensions": {"x": 1}}),
    ("size.envelope", "task.cancel", {"extensions": {"x": "x" * 41_000}}),
    ("size.carrier", "task.cancel", {"extensions": {"x": '"' * 18_000}}),
]


@pytest.mark.parametrize("code,kind,changes", UNSIGNABLE)
def test_what_a_verifier_would_refuse_is_not_signed(code: str, kind: str, changes: dict[str, Any]) -> None:
    envelope = msgspec.structs.replace(envelopes(ALICE, BOB)[kind], **changes)
    with pytest.raises(LocalProtocolError) as caught:
        sign(ALICE.key, envelope)
    assert caught.value.code == code


def test_an_extension_that_holds_itself_is_not_signed() -> None:
    circle: list[Any] = []
    circle.append(circle)
    envelope = msgspec.structs.replace(envelopes(ALICE, BOB)["task.cancel"], extensions={"x": circle})
    with pytest.raises(LocalProtocolError) as caught:
        sign(ALICE.key, envelope)
    assert caught.value.code == "canonical.depth"
