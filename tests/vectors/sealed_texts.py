"""What is sealed for the vectors: with an ephemeral key that is the same each time, and to keys of low order."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.vectors.hpke_model import ZERO, context, seal
from tests.vectors.writing import BOB, digest, fixed

P = 2**255 - 19
LOW = [
    ("zero", 0),
    ("one", 1),
    ("a point of order 8", 325606250916557431795983626356110631294008115727848805560023387167927233504),
    ("another point of order 8", 39382357235489614581723060781553021112529911719440698176882885853963445705823),
    ("p less one", P - 1),
    ("p", P),
    ("p plus one", P + 1),
]
"""RFC 7748 section 6.1: with these, X25519 gives the all-zero secret."""


def sealed_to(public: bytes, info: str | bytes, plaintext: bytes, name: str = "", aad: bytes = b"") -> bytes:
    place = info.encode() if isinstance(info, str) else info
    return seal(fixed(f"ephemeral {name} {place!r} {digest(plaintext)}"), public, place, plaintext, aad)


def low(number: int) -> bytes:
    return number.to_bytes(32, "little")


def weak(enc: bytes, info: str, plaintext: bytes) -> bytes:
    """What everybody can seal to BOB with an encapsulated key of low order: the shared secret is zero."""
    key, nonce = context(ZERO, enc, BOB.seal_key, info.encode())
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")
