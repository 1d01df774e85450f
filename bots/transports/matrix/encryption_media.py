"""Bytes encrypted before the media repository gets them, as Matrix encrypts attachments (AES-256 in counter mode).

An event too large to be encrypted into one travels like that, and so does every chunk of an artifact as soon as we
are in an encrypted room: its key stands behind the ``#`` of its URI, and the message that names the URI is encrypted.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from bots.errors import Refused
from bots.transports.matrix import media
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_words import from_base64, unpadded
from clawnet_proto.bindings.matrix import CARRIERS

FILE = "net.clawnet.file"
FILE_BYTES = 62_000  # what an event may hold without encryption

_KEY_BYTES = 32
_NONCE = bytes(16)  # every key encrypts one text alone


class _Key(msgspec.Struct, frozen=True):
    k: str
    alg: str


class File(msgspec.Struct, frozen=True):
    """``EncryptedFile`` of the Matrix specification."""

    url: str
    key: _Key
    iv: str
    hashes: dict[str, str]
    v: str


async def store_carriers(account: Account, content: dict[str, Any]) -> dict[str, Any]:
    """The content with its carriers moved into the media repository. Raises RetryLater, Refused, Fatal."""
    key, iv = secrets.token_bytes(_KEY_BYTES), secrets.token_bytes(8) + bytes(8)
    sealed = _crypt(key, iv, msgspec.json.encode(content[CARRIERS]))
    file = {
        "url": await media.store(account, sealed),
        "key": {"kty": "oct", "alg": "A256CTR", "ext": True, "k": _urlsafe(key), "key_ops": ["encrypt", "decrypt"]},
        "iv": unpadded(iv),
        "hashes": {"sha256": unpadded(hashlib.sha256(sealed).digest())},
        "v": "v2",
    }
    return {name: value for name, value in content.items() if name != CARRIERS} | {FILE: file}


async def fetch_carriers(account: Account, file: File) -> msgspec.Raw | None:
    """The carriers kept in a file, as JSON; None if it is not what was promised. Raises RetryLater, Refused, Fatal."""
    try:
        key, iv = from_base64(file.key.k.translate(_STANDARD)), from_base64(file.iv)
        digest = from_base64(file.hashes.get("sha256", ""))
    except ValueError:
        return None
    if file.v != "v2" or file.key.alg != "A256CTR" or len(key) != _KEY_BYTES or len(iv) != 16:
        return None
    sealed = await media.fetch(account, file.url, FILE_BYTES)
    if len(sealed) > FILE_BYTES or hashlib.sha256(sealed).digest() != digest:
        return None
    return msgspec.Raw(_crypt(key, iv, sealed))


async def store_chunk(account: Account, data: bytes) -> str:
    """Store bytes encrypted; the URI holds the key. Raises RetryLater, Refused, Fatal."""
    key = secrets.token_bytes(_KEY_BYTES)
    return f"{await media.store(account, _crypt(key, _NONCE, data))}#{_urlsafe(key)}"


async def fetch_chunk(account: Account, uri: str, most: int) -> bytes:
    """Fetch bytes, decrypted if the URI holds a key. Raises as ``media.fetch`` does."""
    place, hash_sign, text = uri.partition("#")
    if not hash_sign:
        return await media.fetch(account, uri, most)
    try:
        key = from_base64(text.translate(_STANDARD))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise Refused("matrix.bad_address", f"{place[:100]!r} is no address in a media repository.")
    return _crypt(key, _NONCE, await media.fetch(account, place, most))


_STANDARD = str.maketrans("-_", "+/")
_URLSAFE = str.maketrans("+/", "-_")


def _urlsafe(data: bytes) -> str:
    return unpadded(data).translate(_URLSAFE)


def _crypt(key: bytes, counter: bytes, data: bytes) -> bytes:
    cipher = Cipher(AES(key), CTR(counter)).encryptor()
    return cipher.update(data) + cipher.finalize()
