"""Any text is decoded by base64url, did:key and sealing as others decode it, or refused with their one error."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from hashlib import sha256
from random import Random

from clawnet_proto import base64url
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import decode_did, encode_did
from clawnet_proto.sealing import SealKey, seal
from tests.fuzz.mutation import mutated_bytes
from tests.fuzz.plain import text_of
from tests.proto.faults import ALICE, BOB, LOW_ORDER_DID
from tests.proto.samples import SEALED
from tests.vectors.mutants_message import judge

_KEY = SealKey(bytes(range(32)))


def check(data: bytes) -> None:
    text = text_of(data)
    _check_base64url(text)
    _check_did(text)
    _check_sealing(text)


def _check_base64url(text: str) -> None:
    try:
        decoded = base64url.decode(text)
    except ValueError:
        assert _decoded(text) is None
    else:
        assert decoded == _decoded(text)
        assert base64url.encode(decoded) == text


def _decoded(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text else None


def _check_did(text: str) -> None:
    # The independent verifier gets past the key to the missing signature only if it takes the key.
    carrier = json.dumps({"clawnet": "1", "kid": text, "env": "", "sig": ""}).encode()
    judged = judge(carrier)
    found = _outcome(lambda: decode_did(text))
    if isinstance(found, str):
        assert judged in (found, "carrier.malformed", "size.carrier")
    else:
        assert judged == "signature.malformed"
        assert encode_did(found) == text


def _check_sealing(text: str) -> None:
    assert _outcome(lambda: _KEY.open(text, text)) == "sealed.unreadable"
    sealed = _outcome(lambda: seal(text, b"hidden", "").encode())
    if isinstance(sealed, str):
        assert sealed == "key.invalid"
    else:
        assert len(base64url.decode(text)) == 32
        expected = b"hidden" if text == _KEY.public else "sealed.unreadable"
        assert _outcome(lambda: _KEY.open(sealed.decode(), "")) == expected


def _outcome(run: Callable[[], bytes]) -> bytes | str:
    """What it gives, or the code."""
    try:
        return run()
    except RemoteProtocolError as error:
        return error.code


def seeds() -> list[bytes]:
    texts = [
        *(author.did for author in (ALICE, BOB)),
        LOW_ORDER_DID,
        encode_did(b"\xff" * 32),
        encode_did((2).to_bytes(32, "little")),
        "did:key:z" + "1" * 47,
        "did:key:z" + "z" * 47,
        _KEY.public,
        *(base64url.encode(sha256(b"seed").digest()[:length]) for length in (0, 1, 2, 3, 31, 32)),
        base64url.encode(b"".join(sha256(bytes([number])).digest() for number in range(3))),
        SEALED,
        "AAA=", "AB", "++//", "é",
    ]  # fmt: skip
    return [text.encode() for text in texts]


def mutate(data: bytes, chance: Random, other: bytes) -> bytes:
    return mutated_bytes(data, chance, other)
