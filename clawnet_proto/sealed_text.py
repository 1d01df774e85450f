"""Sealed inputs, outputs and progress of a task: where each is bound to, and what is inside (spec/08-task.md)."""

from __future__ import annotations

import os

import msgspec

from clawnet_proto import base64url, canonical
from clawnet_proto.errors import ProtocolError, RemoteProtocolError
from clawnet_proto.sealing import SealKey, seal
from clawnet_proto.signing import digest
from clawnet_proto.wire import Nonce, Record

# A field of 32000 characters has room for so many bytes beside encapsulated key and tag.
FIELD_BYTES = 23952


class Secret(Record, frozen=True, kw_only=True):
    """A sealed text. The salt keeps a short text from being guessed by its digest."""

    salt: Nonce
    text: str

    @classmethod
    def of(cls, text: str) -> Secret:
        return cls(salt=base64url.encode(os.urandom(16)), text=text)

    @property
    def plaintext(self) -> bytes:
        return canonical.encode({"salt": self.salt, "text": self.text})

    @property
    def digest(self) -> str:
        return digest(self.plaintext)

    def sealed_to(self, public: str, info: str) -> str:
        return seal(public, self.plaintext, info)


def unseal(key: SealKey, sealed: str, info: str, expected_digest: str = "", *, most: int = FIELD_BYTES) -> Secret:
    """Open a message's ``sealed``, or with ``most`` (bytes of plaintext) an artifact's bytes in base64url.

    Raises RemoteProtocolError ``sealed.unreadable`` or ``digest.mismatch``.
    """
    plaintext = key.open(sealed, info)
    if expected_digest and digest(plaintext) != expected_digest:
        raise RemoteProtocolError("digest.mismatch")
    if len(plaintext) > most:
        raise RemoteProtocolError("sealed.unreadable", "too long")
    try:
        secret = msgspec.convert(canonical.parse(plaintext.decode()), Secret)
        if len(base64url.decode(secret.salt)) != 16:
            raise ValueError
    except (msgspec.ValidationError, ValueError, ProtocolError):
        raise RemoteProtocolError("sealed.unreadable") from None
    return secret


def input_info(task: str, stage: str, attempt: int, source: str) -> str:
    return f"clawnet/1/input/{task}/{stage}/{attempt}/{source}"


def output_info(task: str, stage: str, attempt: int) -> str:
    return f"clawnet/1/output/{task}/{stage}/{attempt}"


def progress_info(task: str, stage: str, attempt: int, index: int) -> str:
    return f"clawnet/1/progress/{task}/{stage}/{attempt}/{index}"
