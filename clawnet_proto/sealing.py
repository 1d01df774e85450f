"""Sealing a text to one recipient: HPKE base mode (RFC 9180), X25519 and ChaCha20-Poly1305 (spec/08-task.md).

``info`` binds a sealed text to its place (task, stage, source), so that it opens nowhere else.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from clawnet_proto import base64url
from clawnet_proto.errors import RemoteProtocolError

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class SealKey:
    """A private X25519 key; ``public`` is the announced text. Its ``repr`` never shows it."""

    def __init__(self, secret: bytes) -> None:
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.public = base64url.encode(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate_secret(cls) -> bytes:
        """32 bytes for a new key."""
        return os.urandom(32)

    def open(self, sealed: str, info: str) -> bytes:
        """The plaintext. Raises RemoteProtocolError ``sealed.unreadable``."""
        try:
            return _SUITE.decrypt(base64url.decode(sealed), self._key, info.encode())
        except (InvalidTag, ValueError):
            raise RemoteProtocolError("sealed.unreadable") from None

    def __repr__(self) -> str:
        return f"SealKey({self.public})"


def seal(public: str, plaintext: bytes, info: str) -> str:
    """Seal to an announced key: base64url of encapsulated key and ciphertext.

    Raises RemoteProtocolError ``key.invalid`` for a key that nothing can be sealed to.
    """
    try:
        key = X25519PublicKey.from_public_bytes(base64url.decode(public))
        return base64url.encode(_SUITE.encrypt(plaintext, key, info.encode()))
    except ValueError:
        raise RemoteProtocolError("key.invalid", public[:43]) from None
