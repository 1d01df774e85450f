"""Keys and signatures in plain integers (ID-5, ID-6, SIG-4); each check can be left out by name."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha512
from typing import NoReturn

from tests.vectors import curve
from tests.vectors.curve import BASE, L, P
from tests.vectors.writing import BASE_58

KEY_MUTANTS = (
    "empty-did-passes", "did-prefix-unchecked", "did-prefix-case-folded", "other-multibase-passes", "did-trimmed",
    "did-cut-at-56", "did-length-unchecked", "did-number-unchecked", "look-alikes-read", "foreign-letters-read-as-zero",
    "multicodec-unchecked", "did-overflow-cut", "great-y-passes", "low-order-keys-pass", "off-curve-keys-pass",
    "signature-length-unchecked", "great-s-passes", "only-high-bits-of-s", "low-order-r-passes",
    "non-canonical-r-passes", "cofactor-multiplied", "equation-unchecked", "prehash-accepted", "context-accepted",
    "digest-signed",
)  # fmt: skip

_DOMAIN = b"SigEd25519 no Ed25519 collisions"
_LOW_ORDER = [curve.times(number, curve.torsion()) for number in range(8)]


class Unsound(Exception):
    """The code of what is wrong with a key or signature."""


def _fault(code: str) -> NoReturn:
    raise Unsound(code)


class KeyJudge:
    """Judges keys and signatures. ``lacks`` says whether the check of a name is left out."""

    def __init__(self, lacks: Callable[[str], bool]) -> None:
        self._lacks = lacks

    def read(self, text: str) -> bytes:
        """The public key of a ``did:key``. Raises :class:`Unsound`."""
        if self._lacks("did-trimmed"):
            text = text.strip()
        if self._lacks("did-cut-at-56"):
            text = text[:56]
        head, digits = text[:9], text[9:]
        if not digits and self._lacks("empty-did-passes"):
            return b""
        if self._lacks("other-multibase-passes") and head[8:] in ("u", "f"):
            data = base64.urlsafe_b64decode(digits + "==") if head[8:] == "u" else bytes.fromhex(digits)
            return data[2:]
        if self._lacks("did-prefix-case-folded"):
            head = head.lower()
        if self._lacks("did-prefix-unchecked"):
            digits = text[-47:]
        elif head != "did:key:z":
            _fault("key.malformed")
        if self._lacks("look-alikes-read"):
            digits = digits.translate(str.maketrans("0OIl", "oo11"))
        public = self._public(digits)
        self.check(public)
        return public

    def _public(self, digits: str) -> bytes:
        number = 0
        for digit in digits:
            if digit not in BASE_58 and not self._lacks("foreign-letters-read-as-zero"):
                _fault("key.malformed")
            number = number * 58 + max(BASE_58.find(digit), 0)
        if self._lacks("did-number-unchecked"):
            return (number & (1 << 256) - 1).to_bytes(32, "big")
        if self._lacks("did-overflow-cut"):
            number &= (1 << 272) - 1
        data = number.to_bytes((number.bit_length() + 7) // 8, "big")
        if (len(digits), len(data)) != (47, 34) and not self._lacks("did-length-unchecked"):
            _fault("key.malformed")
        if data[:2] != b"\xed\x01" and not self._lacks("multicodec-unchecked"):
            _fault("key.malformed")
        return data[2:]

    def check(self, public: bytes) -> None:
        """ID-6. Raises :class:`Unsound`."""
        y = int.from_bytes(public, "little") & (1 << 255) - 1
        bad = y >= P and not self._lacks("great-y-passes")
        bad |= y in curve.LOW_ORDER_Y and not self._lacks("low-order-keys-pass")
        bad |= curve.x_of(y % P) is None and not self._lacks("off-curve-keys-pass")
        if bad:
            _fault("key.invalid")

    def verify(self, public: bytes, signature: bytes, message: bytes) -> None:
        """SIG-4. Raises :class:`Unsound`."""
        self.check(public)
        if len(signature) != 64 and not self._lacks("signature-length-unchecked"):
            _fault("signature.malformed")
        signature = signature[:64].ljust(64, b"\0")
        r, s = signature[:32], int.from_bytes(signature[32:], "little")
        limit = 1 << 253 if self._lacks("only-high-bits-of-s") else L
        if s >= limit and not self._lacks("great-s-passes"):
            _fault("signature.invalid")
        point = curve.decode(r)
        low = point in _LOW_ORDER
        if self._lacks("non-canonical-r-passes"):
            low = low and point is not None and curve.encode(point) == r
        if low and not self._lacks("low-order-r-passes"):
            _fault("signature.invalid")
        if not any(self._holds(public, r, s, said) for said in self._readings(message)):
            _fault("signature.invalid")

    def _readings(self, message: bytes) -> list[tuple[bytes, bytes]]:
        """The prefix and the message that may have been signed."""
        readings = [(b"", message)]
        if self._lacks("prehash-accepted"):
            readings.append((_DOMAIN + b"\x01\x00", sha512(message).digest()))
        if self._lacks("context-accepted"):
            readings.append((_DOMAIN + b"\x00\x07clawnet", message))
        if self._lacks("digest-signed"):
            readings.append((b"", sha512(message).digest()))
        return readings

    def _holds(self, public: bytes, r: bytes, s: int, said: tuple[bytes, bytes]) -> bool:
        if self._lacks("equation-unchecked"):
            return True
        found = _found(public, r, s % L, said[0], said[1])
        point = curve.decode(r)
        if point is not None and self._lacks("cofactor-multiplied"):
            return curve.times(8, curve.add(found, curve.negative(point))) == curve.ZERO
        if self._lacks("non-canonical-r-passes"):
            return found == point
        return curve.encode(found) == r


@lru_cache(maxsize=4096)
def _found(public: bytes, r: bytes, s: int, prefix: bytes, message: bytes) -> curve.Point:
    """[S]B - [k]A; the neutral point where A is none."""
    a = curve.decode(public) or curve.ZERO
    k = curve.challenge(prefix, r, public, message)
    return curve.add(curve.times(s, BASE), curve.negative(curve.times(k, a)))
