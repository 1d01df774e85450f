"""Bad carriers, each with one fault and the code that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from clawnet_proto import base64url
from clawnet_proto.bindings import matrix as binding
from clawnet_proto.families import handshake, task
from clawnet_proto.families.presence import Address
from clawnet_proto.keys import encode_did
from clawnet_proto.signing import digest, signed_bytes
from tests.agent.simulated import Member, generate, identity_of, request
from tests.agent.stranger import Stranger
from tests.proto.authoring import canonical_text

Carrier = dict[str, Any]
Make = Callable[[Stranger], Carrier]

BAD = "a bad question"


def signed(author: Stranger, env: str, **members: object) -> Carrier:
    """A carrier with a valid signature over any text; ``members`` replace its own."""
    signature = author.key.sign(signed_bytes(env.encode()))
    carrier = {"clawnet": "1", "kid": author.did, "env": env, "sig": base64url.encode(signature)}
    return carrier | members


def asking(author: Stranger, question: str = BAD, **fields: Any) -> Carrier:
    """A request for one stage of a model."""
    body = request(generate(), question=question)
    carrier: Carrier = json.loads(author.says(body, **fields))
    return carrier


def awarding(author: Stranger, asked: Carrier, to: Member) -> Carrier:
    """The award that would make ``to`` work on a request."""
    thread = digest(signed_bytes(asked["env"].encode())) if isinstance(asked.get("env"), str) else "x" * 43
    award = task.Award(stage="answer", attempt=1, lease_ms=15_000)
    carrier: Carrier = json.loads(author.says(award, recipients=(to.did,), thread=thread, answers=thread))
    return carrier


def with_env(change: Callable[[str], str]) -> Make:
    """A request whose text was changed before it was signed."""

    def make(eve: Stranger) -> Carrier:
        env = asking(eve)["env"]
        changed = change(env)
        assert changed != env
        return signed(eve, changed)

    return make


def with_fields(change: Callable[[dict[str, Any]], object]) -> Make:
    """A request whose fields were changed before it was signed."""

    def make(eve: Stranger) -> Carrier:
        fields = json.loads(asking(eve)["env"])
        change(fields)
        return signed(eve, canonical_text(fields))

    return make


def with_members(**members: object) -> Make:
    """A request whose carrier was changed after it was signed."""
    return lambda eve: asking(eve) | members


def flipped(eve: Stranger) -> Carrier:
    carrier = asking(eve)
    first = "A" if carrier["sig"][0] != "A" else "B"
    return carrier | {"sig": first + carrier["sig"][1:]}


def edited_text(eve: Stranger) -> Carrier:
    carrier = asking(eve)
    return carrier | {"env": carrier["env"].replace("bad", "mad")}


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def greeting(eve: Stranger, **fields: Any) -> Carrier:
    """A hello to whoever joined first."""
    body = handshake.Hello(versions=("1",), address=Address(uri=eve.address, device="DEVICE"))
    name = next(iter(eve.network.accounts)).removeprefix("matrix:u/").partition(":")[0]
    carrier: Carrier = json.loads(eve.says(body, **({"recipients": (identity_of(name).did,)} | fields)))
    return carrier


LOW_ORDER = encode_did(bytes(32))

REFUSED: dict[str, tuple[str, Make]] = {
    "a carrier that is too large": ("size.carrier", with_members(env="x" * 50_000)),
    "an envelope that is too large": ("size.envelope", with_members(env="x" * 41_000)),
    "a carrier without a signature": (
        "carrier.malformed",
        lambda eve: {key: value for key, value in asking(eve).items() if key != "sig"},
    ),
    "a carrier with a member too many": ("carrier.malformed", with_members(extra="x")),
    "a carrier with a number": ("carrier.malformed", with_members(sig=7)),
    "a carrier with null": ("carrier.malformed", with_members(kid=None)),
    "a deeply nested carrier": ("carrier.malformed", with_members(env=nested(100))),
    "an unknown version": ("version.unsupported", with_members(clawnet="2")),
    "a version that is a command for terminals": ("version.unsupported", with_members(clawnet="\x1b[2J\n\x07")),
    "a key that is none": ("key.malformed", with_members(kid="did:key:z6Mk")),
    "a key of low order": ("key.invalid", with_members(kid=LOW_ORDER)),
    "a signature that is too short": ("signature.malformed", with_members(sig="AAAA")),
    "a signature that is not base64url": ("signature.malformed", with_members(sig="=" * 86)),
    "a wrong signature": ("signature.invalid", flipped),
    "a text changed after it was signed": ("signature.invalid", edited_text),
    "text that is no JSON": ("canonical.syntax", with_env(lambda env: env[:-1] + ",")),
    "white space": ("canonical.whitespace", with_env(lambda env: env.replace('":', '": ', 1))),
    "bytes after the end": ("canonical.whitespace", with_env(lambda env: env + "{}")),
    "keys out of order": ("canonical.order", with_env(lambda env: '{"type":"task.request",' + env[1:])),
    "an escape that is not the shortest": (
        "canonical.string",
        with_env(lambda env: env.replace("bad", "\\u0062ad", 1)),
    ),
    "half of a surrogate pair": ("canonical.string", with_env(lambda env: env.replace("bad", "\\ud800", 1))),
    "a duplicate key": (
        "canonical.duplicate_key",
        with_env(lambda env: env.replace('"clawnet":"1"', '"clawnet":"1","clawnet":"1"')),
    ),
    "an integer of 2^53": (
        "canonical.number",
        with_env(lambda env: env.replace('"hops":0', '"hops":9007199254740992')),
    ),
    "a fraction": ("canonical.number", with_env(lambda env: env.replace('"hops":0', '"hops":0.5'))),
    "an exponent": ("canonical.number", with_env(lambda env: env.replace('"hops":0', '"hops":0e0'))),
    "a very long number": ("canonical.number", with_env(lambda env: env.replace('"hops":0', '"hops":' + "9" * 9000))),
    "null": ("canonical.null", with_env(lambda env: env.replace('"hops":0', '"hops":null'))),
    "deep nesting": ("canonical.depth", with_env(lambda env: env.replace('"hops":0', '"hops":' + "[" * 12 + "]" * 12))),
    "deepest nesting": ("canonical.depth", with_env(lambda env: env.replace('"hops":0', '"hops":' + "[" * 30_000))),
    "an envelope without a nonce": ("schema.envelope", with_fields(lambda fields: fields.pop("nonce"))),
    "an envelope with a field too many": ("schema.envelope", with_fields(lambda fields: fields.update(to="me"))),
    "another key within": ("carrier.mismatch", with_fields(lambda fields: fields.update(kid=LOW_ORDER))),
    "an unknown type": ("type.unknown", with_fields(lambda fields: fields.update(type="task.\x1b[2J"))),
    "a body that does not fit": ("schema.body", with_fields(lambda fields: fields["body"].pop("title"))),
    "a stage that reads nothing there is": (
        "schema.body",
        with_fields(lambda fields: fields["body"]["stages"][0]["prompt"][0].update(source="\x1b[2J")),
    ),
    "a text with the digest of another": (
        "digest.mismatch",
        with_fields(lambda fields: fields["body"]["inputs"][0].update(text="another question")),
    ),
    "a critical extension": ("critical.unsupported", with_fields(lambda fields: fields.update(critical=["toll"]))),
    "a message for another room": (
        "room.mismatch",
        lambda eve: asking(eve, room="matrix:roomid/elsewhere:example.org"),
    ),
    "a lifetime that is too long": (
        "time.lifetime",
        lambda eve: asking(eve, expires_ms=eve.network.now_ms() + 86_400_001),
    ),
    "a life that ends before it begins": ("time.lifetime", lambda eve: asking(eve, expires_ms=eve.network.now_ms())),
    "a direct message in the room": ("plane.mismatch", greeting),
}


# What an event holds that carries nothing at all.
UNREADABLE: dict[str, Callable[[Stranger, Carrier, Carrier], dict[str, Any]]] = {
    "carriers that are texts": lambda eve, *bad: {binding.CARRIERS: [json.dumps(carrier) for carrier in bad]},
    "no array": lambda eve, *bad: {binding.CARRIERS: {"0": bad[0]}},
    "too many": lambda eve, *bad: {binding.CARRIERS: [*bad, *[bad[0]] * 15]},
    "none": lambda eve, *bad: {binding.CARRIERS: []},
    "an edit": lambda eve, *bad: {
        binding.CARRIERS: list(bad),
        "m.new_content": {"msgtype": "m.notice", "body": "x", binding.CARRIERS: list(bad)},
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$event-1"},
    },
    "new content alone": lambda eve, *bad: {"m.new_content": {binding.CARRIERS: list(bad)}},
}
