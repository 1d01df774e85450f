"""Any bytes are a message, and it says what was signed, or have the one code that the independent verifier names."""

from __future__ import annotations

import json
from random import Random

import msgspec

from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from clawnet_proto.signing import digest, signed_bytes
from tests.fuzz.mutation import mutated_bytes, mutated_json
from tests.proto.authoring import canonical_text
from tests.proto.faults import ALICE, BOB, LOW_ORDER_DID, VALUES
from tests.vectors.mutants_message import judge


def check(data: bytes) -> None:
    found = _outcome(data)
    if isinstance(found, str):
        assert found == judge(data)
        return
    assert judge(data) == ""
    env = canonical_text(msgspec.to_builtins(found.envelope)).encode()
    assert (found.id, found.size) == (digest(signed_bytes(env)), len(env))


def _outcome(data: bytes) -> Message | str:
    """The message, or the code."""
    try:
        return verify(data)
    except RemoteProtocolError as error:
        return error.code


def seeds() -> list[bytes]:
    whole = [ALICE.carrier_of(canonical_text(value)) for value in VALUES.values()]
    first = json.loads(whole[0])
    return [
        *whole,
        *(json.dumps(first | {"kid": did}).encode() for did in (BOB.did, LOW_ORDER_DID, "did:key:z6Mk")),
        json.dumps(first | {"sig": first["sig"][:-1] + "x"}, indent=1).encode(),
        json.dumps(first | {"clawnet": "2", "extra": None}).encode(),
        json.dumps(first | {"env": "x" * 41_000}).encode(),
        json.dumps(first | {"env": "x" * 50_000}).encode(),
        whole[0][:-1] + b',"env":""}',
        b"[]", b"", b"\xff",
    ]  # fmt: skip


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return chance.choice([mutated_bytes, mutated_json])(data, chance, other)
