"""Ed25519 keys, their ``did:key`` texts and their files (spec/04-identity.md).

libsodium signs, ed25519-dalek, as vodozemac brings it, verifies: the faster each. The strictness the specification
asks for lies in part here: low-order and non-canonical keys, and R of low order, are refused before dalek sees them;
S >= L and a non-canonical R it refuses itself, by the cofactorless equation.
"""

from __future__ import annotations

import os
import stat
from binascii import b2a_base64
from functools import lru_cache
from pathlib import Path

from nacl import bindings
from vodozemac import Ed25519PublicKey, Ed25519Signature, SignatureException

from clawnet_proto import base64url
from clawnet_proto.errors import KeyFileError, RemoteProtocolError

_PREFIX = "did:key:z"
_ED25519 = b"\xed\x01"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT = {character: value for value, character in enumerate(_ALPHABET)}
_FIELD = 2**255 - 19
_NEUTRAL = (1).to_bytes(32, "little")
# The y coordinates of the eight points of low order (RFC 7748 section 7, for edwards25519).
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    }
)
# All their encodings, canonical or not.
_LOW_ORDER_POINTS = frozenset(
    (encoded | sign << 255).to_bytes(32, "little")
    for y in _LOW_ORDER
    for encoded in (y, y + _FIELD)
    if encoded < 2**255
    for sign in (0, 1)
)


class SigningKey:
    """A private Ed25519 key. Its ``repr`` never shows it."""

    __slots__ = ("_secret", "did", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.did = encode_did(self.public)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(os.urandom(32))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes (RFC 8032 section 5.1.5)."""
        return self._secret[:32]

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return bindings.crypto_sign(message, self._secret)[:64]

    def __repr__(self) -> str:
        return f"SigningKey({self.did})"


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature by a key that ``decode_did`` gave (SIG-4). Raises RemoteProtocolError."""
    if signature[:32] in _LOW_ORDER_POINTS or len(signature) != 64:
        raise RemoteProtocolError("signature.invalid")
    try:
        _verifying_key(public).verify_signature(message, Ed25519Signature.from_base64(_base64(signature)))
    except SignatureException:
        raise RemoteProtocolError("signature.invalid") from None


@lru_cache(maxsize=4096)
def _verifying_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_base64(_base64(public))


def _base64(data: bytes) -> str:
    """Base64 without padding, the one text form vodozemac takes."""
    return b2a_base64(data, newline=False).rstrip(b"=").decode()


def encode_did(public: bytes) -> str:
    """The ``did:key`` of 32 bytes of public key."""
    number = int.from_bytes(_ED25519 + public, "big")
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    return _PREFIX + "".join(reversed(digits))


@lru_cache(maxsize=4096)
def decode_did(did: str) -> bytes:
    """The 32 bytes of public key a ``did:key`` names. Raises RemoteProtocolError."""
    # An Ed25519 did:key is always 56 characters: anything else is refused before any arithmetic.
    if len(did) != 56 or not did.startswith(_PREFIX):
        raise RemoteProtocolError("key.malformed")
    number = 0
    for character in did[len(_PREFIX) :]:
        digit = _DIGIT.get(character)
        if digit is None:
            raise RemoteProtocolError("key.malformed")
        number = number * 58 + digit
    try:
        data = number.to_bytes(34, "big")
    except OverflowError:
        raise RemoteProtocolError("key.malformed") from None
    if not data.startswith(_ED25519):
        raise RemoteProtocolError("key.malformed")
    public = data[2:]
    _check_point(public)
    return public


def _check_point(public: bytes) -> None:
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= _FIELD or y in _LOW_ORDER:
        raise RemoteProtocolError("key.invalid")
    try:
        bindings.crypto_core_ed25519_add(public, _NEUTRAL)
    except Exception:
        raise RemoteProtocolError("key.invalid", "not on the curve") from None


def write_key_file(path: Path, secret: bytes, purpose: str) -> None:
    """Create a key file, 0600, never over an existing one. ``secret`` is 32 bytes. Raises KeyFileError."""
    line = f"clawnet-{purpose}-key-1:{base64url.encode(secret)}\n".encode()
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"{path} already exists; a key is never overwritten.") from None
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Half a key would stand in the way of a whole one.
        path.unlink(missing_ok=True)
        raise KeyFileError(f"The key file {path} cannot be written: {error.strerror}.") from None


def read_key_file(path: Path, purpose: str) -> bytes:
    """The 32 secret bytes of a key file. Raises KeyFileError, never with the content in it."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a key file"
        raise KeyFileError(f"The key file {path} cannot be read: {reason}.") from None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise KeyFileError(f"The key file {path} is open to other users; run: chmod 600 {path}")
    label, _, secret = text.removesuffix("\n").partition(":")
    try:
        seed = base64url.decode(secret)
    except ValueError:
        seed = b""
    if label != f"clawnet-{purpose}-key-1" or len(seed) != 32:
        raise KeyFileError(f"The key file {path} does not hold one ClawNet {purpose} key.")
    return seed
