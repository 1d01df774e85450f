"""HTTP Message Signatures (RFC 9421) and Content-Digest (RFC 9530): their texts, whoever signs and whatever is asked.

What a signature must cover, how old it may be and whose key counts is for those who use this.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import http_sf
import msgspec

HEADER_MOST: Final = 2048  # characters of Signature-Input, and of Signature


class BadSignature(Exception):
    """Who made a request is not proven. The text says why, and never repeats what was sent."""


class Signed(msgspec.Struct, frozen=True):
    """One signature, as the headers Signature-Input and Signature have it."""

    covered: tuple[str, ...]  # names of components, each without parameters
    parameters: dict[str, Any]  # in their order
    signature: bytes

    def base(self, values: Mapping[str, str]) -> bytes:
        """What is signed, by the value of each component."""
        return base(self.covered, self.parameters, values)


def read(signature_input: str, signature: str) -> Signed:
    """The only signature in these headers, under any label. Raises BadSignature."""
    if len(signature_input) > HEADER_MOST or len(signature) > HEADER_MOST:
        raise BadSignature("Signature-Input and Signature must be short.")
    try:
        ((label, (names, parameters)),) = dictionary(signature_input).items()
        value = dictionary(signature)[label][0]
        covered = tuple(name for name, extra in names if not extra)
    except (ValueError, TypeError, KeyError):
        covered, names, parameters, value = (), [""], {}, b""
    if not isinstance(value, bytes) or len(covered) != len(names) or not all(isinstance(c, str) for c in covered):
        raise BadSignature("Signature-Input and Signature must be one signature as RFC 9421 says.")
    return Signed(covered, dict(parameters), value)


def write(label: str, covered: Sequence[str], parameters: dict[str, Any], signature: bytes) -> dict[str, str]:
    """The two headers of a signature."""
    encoded = base64.b64encode(signature).decode()
    return {
        "Signature-Input": f"{label}={_described(covered, parameters)}",
        "Signature": f"{label}=:{encoded}:",
    }


def base(covered: Sequence[str], parameters: dict[str, Any], values: Mapping[str, str]) -> bytes:
    """What is signed (RFC 9421 section 2.5)."""
    lines = [f'"{name}": {values[name]}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {_described(covered, parameters)}']).encode(
        errors="surrogateescape"
    )


def content_digest(body: bytes) -> str:
    """The header Content-Digest of a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def is_digest_of(header: str, body: bytes) -> bool:
    """Whether a header Content-Digest has the sha-256 of a body."""
    try:
        value = dictionary(header)["sha-256"][0]
    except (ValueError, TypeError, KeyError):
        return False
    return isinstance(value, bytes) and hmac.compare_digest(value, hashlib.sha256(body).digest())


def dictionary(text: str) -> dict[str, Any]:
    """A structured field, by key (value, parameters). Raises ValueError."""
    found: Any = http_sf.parse(text.encode("ascii"), tltype="dictionary")
    return dict(found)


def _described(covered: Sequence[str], parameters: dict[str, Any]) -> str:
    """What the signature is over, in the one way to write it."""
    lists: Any = [([(name, {}) for name in covered], parameters)]
    return http_sf.ser(lists)
