"""The keys of an actor: RSA-2048 for requests, Ed25519 for activities (AP-6, AP-7).

Neither is the ClawNet key: one key has one purpose (ID-9).
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bots.errors import ConfigError
from bots.message_signature import BadSignature
from bots.paths import make_private
from clawnet_proto.errors import KeyFileError, RemoteProtocolError
from clawnet_proto.keys import SigningKey, decode_did, read_key_file, verify, write_key_file

Algorithm = Literal["rsa-v1_5-sha256", "ed25519"]

_RSA_FILE: Final = "activitypub-rsa.pem"
_ED25519_FILE: Final = "activitypub.key"
_PURPOSE: Final = "activitypub"
_BITS: Final = 2048
_BITS_MOST: Final = 4096
_EXPONENT_MOST: Final = 1 << 32  # a longer one makes verifying slow
_PEM_MOST: Final = 4096  # characters
_DID: Final = "did:key:"


class PublicKey(msgspec.Struct, frozen=True):
    """Another actor's key, which decides by itself with what algorithm it verifies."""

    id: str  # canonical URL
    owner: str  # the actor's id
    algorithm: Algorithm
    data: bytes  # DER of the RSA key (SubjectPublicKeyInfo), or the 32 bytes of the Ed25519 key


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody claims to have signed this. All is checked but the key: that is still to be found."""

    key_id: str  # canonical URL
    message: Callable[[], bytes]  # what is signed, computed once there is a key to check it by; raises BadSignature
    signature: bytes
    algorithms: tuple[Algorithm, ...]  # which of them may make such a claim
    created_s: int  # when, by the word of who signed; Unix seconds
    expires_s: int = 1 << 40  # until when it shall count


class ActorKeys(msgspec.Struct, frozen=True):
    """Our own keys. Their ``repr`` shows nothing secret."""

    rsa: rsa.RSAPrivateKey
    ed25519: SigningKey

    @property
    def pem(self) -> str:
        """The public RSA key (SubjectPublicKeyInfo, PEM)."""
        encoded = self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return encoded.decode()

    @property
    def multibase(self) -> str:
        """The public Ed25519 key as a Multikey: ``z6Mk...``."""
        return self.ed25519.did.removeprefix(_DID)

    def sign(self, algorithm: Algorithm, message: bytes) -> bytes:
        """A signature: RSASSA-PKCS1-v1_5 with SHA-256, or Ed25519."""
        if algorithm == "ed25519":
            return self.ed25519.sign(message)
        return self.rsa.sign(message, padding.PKCS1v15(), hashes.SHA256())


def open_keys(folder: Path) -> ActorKeys:
    """The keys in ``folder``, made at first need: 0600, each whole or not at all. Raises ConfigError.

    Making them takes up to a second of computing.
    """
    make_private(folder)
    try:
        _make(folder / _RSA_FILE, _write_rsa)
        _make(folder / _ED25519_FILE, lambda path: write_key_file(path, os.urandom(32), _PURPOSE))
        return ActorKeys(_read_rsa(folder / _RSA_FILE), SigningKey(read_key_file(folder / _ED25519_FILE, _PURPOSE)))
    except (KeyFileError, OSError) as error:
        said = f"The keys in {folder} cannot be made or read: {error.strerror}." if isinstance(error, OSError) else ""
        raise ConfigError(
            "activitypub.keys",
            said or str(error),
            "Put them back from a copy; other servers remember them.",
        ) from None


def _make(path: Path, write: Callable[[Path], None]) -> None:
    """Make a file if it is not there, and never over one that somebody else makes at the same moment."""
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write(fresh)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_rsa(path: Path) -> None:
    encoded = rsa.generate_private_key(public_exponent=65537, key_size=_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(encoded)
        file.flush()
        os.fsync(file.fileno())


def _read_rsa(path: Path) -> rsa.RSAPrivateKey:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise KeyFileError(f"The key file {path} is open to other users; run: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyFileError(f"The key file {path} does not hold one RSA key.")
    return key


# -- others' keys --------------------------------------------------------------------------------------------


def from_pem(key_id: str, owner: str, pem: str) -> PublicKey:
    """An RSA key of 2048 to 4096 bits. Raises BadSignature."""
    try:
        key = serialization.load_pem_public_key(pem.encode()) if len(pem) <= _PEM_MOST else None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey) or not _BITS <= key.key_size <= _BITS_MOST:
        raise BadSignature(f"publicKeyPem must be an RSA key of {_BITS} to {_BITS_MOST} bits.")
    if key.public_numbers().e >= _EXPONENT_MOST:
        raise BadSignature("The exponent of the RSA key is too large.")
    data = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(key_id, owner, "rsa-v1_5-sha256", data)


def from_multibase(key_id: str, owner: str, text: str) -> PublicKey:
    """An Ed25519 key from its Multikey. Raises BadSignature."""
    try:
        return PublicKey(key_id, owner, "ed25519", decode_did(_DID + text))
    except RemoteProtocolError:
        raise BadSignature("publicKeyMultibase must be an Ed25519 key.") from None


def check(claim: Claim, key: PublicKey) -> None:
    """Whether this key made that claim. Raises BadSignature.

    The key's kind decides what is computed; the claim's ``algorithms`` can forbid it, never choose it.
    """
    if key.id != claim.key_id or key.algorithm not in claim.algorithms:
        raise BadSignature("The key is not of the kind that the signature names.")
    try:
        if key.algorithm == "ed25519":
            verify(key.data, claim.message(), claim.signature)
        else:
            _rsa(key.data).verify(claim.signature, claim.message(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, RemoteProtocolError):
        raise BadSignature("The signature does not hold.") from None


@lru_cache(maxsize=256)
def _rsa(data: bytes) -> rsa.RSAPublicKey:
    key = serialization.load_der_public_key(data)
    assert isinstance(key, rsa.RSAPublicKey)
    return key
