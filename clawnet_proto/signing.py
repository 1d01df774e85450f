"""What is signed, and the message id (spec/05-signatures.md)."""

from __future__ import annotations

from hashlib import sha256

from clawnet_proto import base64url

PAYLOAD_TYPE = "application/vnd.clawnet.envelope.v1+json"
_HEAD = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} ".encode()


def signed_bytes(envelope: bytes) -> bytes:
    """The DSSE pre-authentication encoding of our payload type and an envelope's UTF-8 bytes."""
    return b"%b%d %b" % (_HEAD, len(envelope), envelope)


def message_id(signed: bytes) -> str:
    """The id of a message: base64url of SHA-256 over its signed bytes, 43 characters."""
    return base64url.encode(sha256(signed).digest())


def digest(data: bytes) -> str:
    """The digest texts of this protocol: base64url of SHA-256, 43 characters."""
    return base64url.encode(sha256(data).digest())
