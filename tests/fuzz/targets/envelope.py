"""Any signed text is judged as the independent verifier judges it, also after a server wrote its carrier anew."""

from __future__ import annotations

import json
from random import Random

from clawnet_proto.specification import LIMITS
from tests.fuzz.mutation import mutated_bytes, mutated_json
from tests.fuzz.plain import text_of
from tests.fuzz.targets import carrier as any_bytes
from tests.proto.authoring import canonical_text
from tests.proto.faults import ALICE, VALUES, copy, verdict


def check(data: bytes) -> None:
    carrier = ALICE.carrier_of(text_of(data))
    any_bytes.check(carrier)
    if len(carrier) > LIMITS.carrier_bytes:
        return
    members = json.loads(carrier)
    for again in (json.dumps(members, sort_keys=True), json.dumps(dict(reversed(members.items())), indent=1)):
        # Escapes may make it longer than a carrier can be.
        if len(again) <= LIMITS.carrier_bytes:
            assert verdict(again) == verdict(carrier)


def seeds() -> list[bytes]:
    request = copy(VALUES["task.request"])
    extended = request | {"extensions": {"x": {"deep": [[[[[[[1]]]]]]], "true": True}, "y.z": "\x00\U0001f600"}}
    return [
        *(canonical_text(value).encode() for value in VALUES.values()),
        canonical_text(extended).encode(),
        canonical_text(extended | {"critical": ["x"]}).encode(),
        canonical_text(request | {"recipients": [ALICE.did] * 16}).encode(),
        canonical_text(request | {"type": "task.dance"}).encode(),
    ]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return chance.choice([mutated_bytes, mutated_json, mutated_json])(data, chance, other)
