"""What is signed, and the message id (spec/05-signatures.md)."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from clawnet_proto import base64url

PAYLOAD_TYPE = "application/vnd.clawnet.envelope.v1+json"
COMMITMENT_TYPE = "application/vnd.clawnet.commitment.v1+json"


def pre_authentication(payload_type: str) -> Callable[[bytes], bytes]:
    """The DSSE pre-authentication encoding (version 1) for payloads of one type."""
    head = f"DSSEv1 {len(payload_type)} {payload_type} ".encode()
    return lambda payload: b"%b%d %b" % (head, len(payload), payload)


signed_bytes: Final = pre_authentication(PAYLOAD_TYPE)
"""What a signature over an envelope's UTF-8 bytes is made of."""
committed_bytes: Final = pre_authentication(COMMITMENT_TYPE)
"""What a commitment to the next key is made of (ID-19)."""


def message_id(signed: bytes) -> str:
    """The id of a message: base64url of SHA-256 over its signed bytes, 43 characters."""
    return base64url.encode(sha256(signed).digest())


def digest(data: bytes) -> str:
    """The digest texts of this protocol: base64url of SHA-256, 43 characters."""
    return base64url.encode(sha256(data).digest())
