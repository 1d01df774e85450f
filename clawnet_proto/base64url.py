"""Canonical base64url without padding (RFC 4648 section 5): one text for each byte string."""

from __future__ import annotations

import binascii

_TO_URL = bytes.maketrans(b"+/", b"-_")
# The standard alphabet's own characters, and padding, become one that no alphabet has.
_FROM_URL = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", None, b"==", b"=")
# The spare bits of the last character must be zero: 4 of them after one byte, 2 after two.
_LAST = (None, None, frozenset("AQgw"), frozenset("AEIMQUYcgkosw048"))


def encode(data: bytes) -> str:
    """Bytes to text."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Text to bytes. Raises ValueError for anything ``encode`` would not have written."""
    rest = len(text) % 4
    padding, last = _PADDING[rest], _LAST[rest]
    if padding is None or (last is not None and text[-1] not in last):
        raise ValueError("not canonical base64url")
    return binascii.a2b_base64(text.encode("ascii").translate(_FROM_URL) + padding, strict_mode=True)
