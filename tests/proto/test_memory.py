"""Neither good nor bad carriers leave anything behind."""

from __future__ import annotations

import gc
import tracemalloc

import msgspec

from clawnet_proto import base64url
from clawnet_proto.carrier import sign, verify
from tests.proto.authoring import Author
from tests.proto.faults import FAULTS, Draft, verdict
from tests.proto.samples import envelopes

_MESSAGES = 3000
# What caches and interned texts may still take: a tenth of what one envelope takes, for each message.
_BYTES_MOST = 50 * _MESSAGES


def test_memory_does_not_grow_with_the_messages_verified() -> None:
    author = Author("alice")
    made = list(envelopes(author, Author("bob"), full=True).values())
    bad = []
    for faults in FAULTS.values():
        draft = Draft()
        faults[0](draft)
        bad.append(draft.carrier())

    def work(start: int, count: int) -> None:
        for number in range(start, start + count):
            nonce = base64url.encode(number.to_bytes(16, "big"))
            verify(sign(author.key, msgspec.structs.replace(made[number % len(made)], nonce=nonce))[0])
            if number % 10 == 0:
                assert verdict(bad[number // 10 % len(bad)])

    work(0, 10 * len(bad))
    gc.collect()
    tracemalloc.start()
    try:
        work(_MESSAGES, _MESSAGES)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < _BYTES_MOST
