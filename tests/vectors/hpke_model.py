"""HPKE in base mode, written from RFC 9180 with a given ephemeral key, and what chapter 15 asks around it.

X25519 and ChaCha20-Poly1305 are OpenSSL's; HKDF is ``hmac``. It is for vectors: real senders must not choose the
ephemeral key (SEAL-2).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vectors.message_model import Message, Refused, bytes_of, verify
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import LIMITS, TYPES, b64, canonical, digest

KEM_ID, KDF_ID, AEAD_ID = 0x0020, 0x0001, 0x0003
_KEM_SUITE = b"KEM" + KEM_ID.to_bytes(2, "big")
_SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (KEM_ID, KDF_ID, AEAD_ID))
ZERO = bytes(32)


def public_of_secret(secret: bytes) -> bytes:
    """The X25519 public key of a secret."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def exchange(secret: bytes, public: bytes) -> bytes:
    """X25519. Gives 32 zero bytes where OpenSSL refuses to (RFC 7748 section 6.1)."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return ZERO


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or ZERO, b"HPKE-v1" + suite + label + material, sha256)


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    out, block = b"", b""
    for number in range(1, 256):
        if len(out) >= length:
            break
        block = hmac.digest(key, block + labeled + bytes([number]), sha256)
        out += block
    return out[:length]


def context(dh: bytes, enc: bytes, public: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and base nonce of the first and only message (RFC 9180 sections 4.1 and 5.1)."""
    prk = _extract(_KEM_SUITE, b"", b"eae_prk", dh)
    shared = _expand(_KEM_SUITE, prk, b"shared_secret", enc + public, 32)
    schedule = b"\0" + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
    secret = _extract(_SUITE, shared, b"secret", b"")
    return _expand(_SUITE, secret, b"key", schedule, 32), _expand(_SUITE, secret, b"base_nonce", schedule, 12)


def sealable(public: bytes, checks: Checks = INTACT) -> bool:
    """Whether anything may be sealed to this key (SEAL-3); without it ``seal`` answers ``key.invalid``."""
    return exchange(bytes(range(32)), public) != ZERO or not checks.hold("zero-secrets-pass")


def seal(ephemeral: bytes, public: bytes, info: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """Encapsulated key and ciphertext, for an ephemeral secret."""
    enc = public_of_secret(ephemeral)
    key, nonce = context(exchange(ephemeral, public), enc, public, info)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


def open_sealed(secret: bytes, info: bytes, sealed: str, checks: Checks = INTACT) -> bytes:
    """What ``open`` answers. Raises Refused with ``sealed.unreadable``."""
    hold = checks.hold
    try:
        data = bytes_of(sealed)
    except ValueError:
        if hold("lax-base64-opens"):
            raise Refused("sealed.unreadable") from None
        kept = sealed.replace("+", "-").replace("/", "_").rstrip("=").replace("\n", "")
        data = base64.urlsafe_b64decode(kept + "=" * (-len(kept) % 4))
    enc, ciphertext = data[:32], data[32:]
    if len(data) < 48:
        if hold("short-texts-are-empty"):
            raise Refused("sealed.unreadable")
        return b""
    dh = exchange(secret, enc)
    if dh == ZERO and hold("zero-secrets-pass"):
        raise Refused("sealed.unreadable")
    for known in [info] if hold("info-unread") else [info, *OTHER_PLACES]:
        key, nonce = context(dh, enc, public_of_secret(secret), known)
        for aad in [b""] if hold("any-associated-data") else [b"", known]:
            try:
                return ChaCha20Poly1305(key).decrypt(nonce, ciphertext, aad)
            except InvalidTag:
                if not hold("tag-unread"):
                    return _keystream(key, nonce, ciphertext[:-16])
    raise Refused("sealed.unreadable")


OTHER_PLACES: list[bytes] = []
"""The info of every sealed text of the vectors: what a reader opens that does not look at the place."""


def _keystream(key: bytes, nonce: bytes, ciphertext: bytes) -> bytes:
    blank = ChaCha20Poly1305(key).encrypt(nonce, bytes(len(ciphertext)), b"")[:-16]
    return bytes(left ^ right for left, right in zip(blank, ciphertext, strict=True))


def open_text(secret: bytes, info: bytes, sealed: str, beside: str | None, checks: Checks = INTACT) -> str:
    """What ``open.text`` answers (TASK-53). Raises Refused."""
    hold = checks.hold
    plaintext = open_sealed(secret, info, sealed, checks)
    fault = _text_fault(plaintext, checks)
    if fault and not hold("form-before-digest"):
        raise Refused("sealed.unreadable")
    if beside is not None and hold("digest-beside-unread"):
        read = plaintext if hold("digest-of-the-text") else _text_in(plaintext).encode()
        if digest(read) != beside:
            raise Refused("digest.mismatch")
    if fault:
        raise Refused("sealed.unreadable")
    return _text_in(plaintext)


def _text_in(plaintext: bytes) -> str:
    """The text, also where a broken model let something pass that is not what TASK-50 says."""
    try:
        value = json.loads(plaintext)
    except ValueError:
        return plaintext.decode(errors="replace")
    return str(value["text"] if isinstance(value, dict) else value[-1])


def _text_fault(plaintext: bytes, checks: Checks) -> bool:
    """Whether a plaintext is not what TASK-50 says."""
    hold = checks.hold
    if len(plaintext) > 23952 and hold("plaintext-unbounded"):
        return True
    try:
        value = json.loads(plaintext)
    except ValueError:
        return hold("any-plaintext")
    if canonical(value) != plaintext and hold("plaintext-need-not-be-canonical"):
        return True
    if not isinstance(value, dict):
        return hold("plaintext-shapes-unread")
    if "salt" not in value and not hold("salt-may-be-absent"):
        value = value | {"salt": b64(bytes(16))}
    if set(value) != {"salt", "text"} and hold("plaintext-is-open"):
        return True
    if not isinstance(value["text"], str) or not isinstance(value["salt"], str):
        return hold("plaintext-types-unread")
    try:
        return len(bytes_of(value["salt"])) != 16 and hold("salt-length-unread")
    except ValueError:
        return hold("salt-base64-unread")


def sealed_carrier(secret_holder_key: bytes, sealed: str, **members: Any) -> bytes:
    """The text of a sealed carrier; ``members`` replace or join its own, None takes one away."""
    value = {"clawnet": "1", "seal_key": b64(secret_holder_key), "sealed": sealed} | members
    kept = {name: member for name, member in value.items() if member is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def carrier_info(recipient: str) -> bytes:
    """The info of a sealed carrier (SEAL-6)."""
    return f"clawnet/1/carrier/{recipient}".encode()


def arrive(request: dict[str, Any], checks: Checks = INTACT) -> Message:
    """What ``arrive`` answers, for the faults of chapter 15 and those that lie behind them. Raises Refused."""
    hold = checks.hold
    text = bytes_of(request["carrier"])
    opened = None
    if request["plane"] == "direct" or not hold("sealed-in-rooms"):
        opened = _opened(text, request["me"], [bytes_of(secret) for secret in request.get("secrets", [])], checks)
    if opened is not None and not hold("faults-inside-told-as-unopened"):
        try:
            verify(opened)
        except Refused:
            raise Refused("sealed.unopened") from None
    message = verify(text if opened is None else opened, checks)
    envelope = message.envelope

    def asked(name: str) -> bool:
        return opened is None or hold(name)

    if request["plane"] not in TYPES[message.type]["planes"] and asked("sealed-on-any-plane"):
        raise Refused("plane.mismatch")
    rooms = [request["room"]] if request["plane"] == "room" else request["rooms"]
    if envelope["room"] not in rooms and asked("sealed-in-any-room"):
        raise Refused("room.mismatch")
    if request["me"] not in envelope.get("recipients", [request["me"]]) and asked("sealed-means-addressed"):
        raise Refused("recipient.other")
    if envelope["expires_ms"] <= request["now_ms"] and asked("sealed-never-expires"):
        raise Refused("time.expired")
    return message


def _opened(text: bytes, me: str, secrets: Sequence[bytes], checks: Checks, depth: int = 0) -> bytes | None:
    """The carrier in a sealed carrier; None if the text is none (SEAL-9)."""
    hold = checks.hold
    if len(text) > LIMITS["carrier_bytes"] and hold("sealed-size-unread"):
        raise Refused("size.carrier")
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "sealed" not in value:
        return None
    if not hold("version-may-be-absent"):
        value.setdefault("clawnet", "1")
    if not hold("seal-key-may-be-absent"):
        value.setdefault("seal_key", b64(public_of_secret(secrets[0])))
    if set(value) != {"clawnet", "seal_key", "sealed"} and hold("sealed-carriers-are-open"):
        raise Refused("carrier.malformed")
    if not all(isinstance(member, str) for member in value.values()) and hold("sealed-types-unread"):
        raise Refused("carrier.malformed")
    if value["clawnet"] != "1" and hold("sealed-version-unread"):
        raise Refused("version.unsupported")
    known = secrets if hold("first-secret-alone") else secrets[:1]
    own = [secret for secret in known if b64(public_of_secret(secret)) == value["seal_key"]]
    if not hold("seal-key-unread"):
        own = list(known)
    info = carrier_info(me) if hold("info-without-recipient") else b"clawnet/1/carrier/"
    for secret in own:
        try:
            opened = open_sealed(secret, info, str(value["sealed"]), checks)
        except Refused:
            continue
        if not hold("sealed-in-sealed") and depth == 0:
            return _opened(opened, me, secrets, checks, 1) or opened
        return opened
    raise Refused("sealed.unopened" if hold("unopened-told-as-for-others") else "recipient.other")
