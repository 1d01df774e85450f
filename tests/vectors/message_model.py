"""A small verifier, written from the text: what ``verify`` answers, as far as the vectors here need it.

It is slow and short: JSON by ``json``, Ed25519 by OpenSSL with the checks of ID-6 and SIG-4 around it. It knows no
fault of canonical text by name and no schema but those of ``identity``: vectors with such faults live elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import BASE_58, ENVELOPE_TYPE, LIMITS, TYPES, canonical, did, digest, encoded, message_id

COMMITMENT_TYPE = "application/vnd.clawnet.commitment.v1+json"
P = 2**255 - 19
LOW_ORDER_Y = {
    0,
    1,
    P - 1,
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
}


class Refused(Exception):
    """A check failed; ``code`` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Message:
    """A verified message."""

    id: str
    envelope: dict[str, Any]

    @property
    def sender(self) -> str:
        return str(self.envelope["sender"])

    @property
    def kid(self) -> str:
        return str(self.envelope["kid"])

    @property
    def type(self) -> str:
        return str(self.envelope["type"])

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = self.envelope["body"]
        return body

    @property
    def sent_ms(self) -> int:
        return int(self.envelope["sent_ms"])

    def answer(self) -> dict[str, str]:
        """What ``verify`` and ``arrive`` answer."""
        return {"id": self.id, "sender": self.sender, "kid": self.kid, "type": self.type}


def bytes_of(text: str) -> bytes:
    """Base64url to bytes as TERM-2 says. Raises ValueError."""
    if not re.fullmatch("[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise ValueError("spare bits")
    return data


def public_of(name: str) -> bytes:
    """The public key that a ``did:key`` names. Raises Refused with ``key.malformed`` or ``key.invalid``."""
    digits = name.removeprefix("did:key:z")
    if len(name) != 56 or not name.startswith("did:key:z") or set(digits) - set(BASE_58):
        raise Refused("key.malformed")
    number = 0
    for digit in digits:
        number = number * 58 + BASE_58.index(digit)
    if number >= 2 ** (34 * 8) or number.to_bytes(34, "big")[:2] != b"\xed\x01":
        raise Refused("key.malformed")
    public = number.to_bytes(34, "big")[2:]
    if not honest_point(public):
        raise Refused("key.invalid")
    return public


def honest_point(public: bytes) -> bool:
    """Whether ID-6 lets 32 bytes be a public key."""
    y = int.from_bytes(public, "little") % 2**255
    if y >= P or y in LOW_ORDER_Y:
        return False
    d = -121665 * pow(121666, -1, P) % P
    square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    return pow(square, (P - 1) // 2, P) == 1


def signed_by(public: bytes, signature: bytes, message: bytes) -> bool:
    """SIG-4 for an honest point: OpenSSL's cofactorless check, and no *R* of low order."""
    if len(signature) != 64 or int.from_bytes(signature[:32], "little") % 2**255 % P in LOW_ORDER_Y:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=10_000)
def verify(text: bytes, checks: Checks = INTACT) -> Message:
    """The stages *size* to *critical* of SIG-6, as far as the module says. Raises Refused."""
    if len(text) > LIMITS["carrier_bytes"]:
        raise Refused("size.carrier")
    try:
        carrier = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise Refused("carrier.not_json") from None
    if not isinstance(carrier, dict) or set(carrier) != {"clawnet", "kid", "env", "sig"}:
        raise Refused("carrier.malformed")
    if not all(isinstance(value, str) for value in carrier.values()):
        raise Refused("carrier.malformed")
    if carrier["clawnet"] != "1":
        raise Refused("version.unsupported")
    public = public_of(carrier["kid"])
    env = carrier["env"].encode()
    try:
        signature = bytes_of(carrier["sig"])
    except ValueError:
        raise Refused("signature.malformed") from None
    if checks.hold("any-signature-passes") and not signed_by(public, signature, encoded(ENVELOPE_TYPE, env)):
        raise Refused("signature.invalid")
    envelope = json.loads(env)
    if canonical(envelope) != env:
        raise ValueError("this model knows no faults of canonical text")
    if envelope["kid"] != carrier["kid"] and checks.hold("kid-of-envelope-unread"):
        raise Refused("carrier.mismatch")
    row = TYPES.get(envelope["type"])
    if row is None:
        raise Refused("type.unknown")
    if envelope["type"].startswith("identity.") and not identity_body_fits(envelope, checks):
        raise Refused("schema.body")
    if not addressed_as(row, envelope, checks):
        raise Refused("schema.body")
    if envelope["type"].startswith("identity.") and not chain_proven(envelope, checks):
        raise Refused("identity.broken_chain")
    if "critical" in envelope:
        raise Refused("critical.unsupported")
    return Message(message_id(env), envelope)


def addressed_as(row: dict[str, Any], envelope: dict[str, Any], checks: Checks) -> bool:
    """MSG-18 and MSG-19."""
    if not checks.hold("addressing-members-unread"):
        return True
    count = len(envelope.get("recipients", []))
    if (row["recipients"] == "none" and count) or (row["recipients"] == "one" and count != 1):
        return False
    return all(
        row[name] == "optional" or (row[name] == "required") == (name in envelope) for name in ("thread", "answers")
    )


def identity_body_fits(envelope: dict[str, Any], checks: Checks) -> bool:
    """The schemas of ``identity.rotate`` and ``identity.revoke``."""
    body, rotate = envelope["body"], envelope["type"] == "identity.rotate"
    names = {"chain", "next_key_digest"} if rotate else {"chain", "since_ms"}
    optional = set() if rotate else {"reason"}
    if set(body) - optional != names and checks.hold("bodies-are-open"):
        return False
    chain = body.get("chain", [])
    most = LIMITS["rotations"] if checks.hold("rotations-unbounded") else 1000
    least = 1 if rotate and checks.hold("empty-rotate-passes") else 0
    if not isinstance(chain, list) or not least <= len(chain) <= most:
        return False
    if rotate and checks.hold("digest-length-unread") and not text_of_length(body.get("next_key_digest"), 43):
        return False
    if not rotate and not (millis(body.get("since_ms")) and len(body.get("reason", "")) <= 300):
        return False
    for link in chain:
        known = set(link) | (set() if checks.hold("since-unread") else {"since_ms"})
        if known != {"key", "commitment", "since_ms"} and checks.hold("links-are-open"):
            return False
        if checks.hold("since-unread") and not millis(link.get("since_ms")):
            return False
        if checks.hold("link-lengths-unread") and not (
            text_of_length(link["key"], 56) and text_of_length(link["commitment"], 86)
        ):
            return False
    return True


def millis(value: object) -> bool:
    return type(value) is int and 0 <= value <= LIMITS["integer"]


def text_of_length(value: object, length: int) -> bool:
    return isinstance(value, str) and len(value) == length


def commitment_text(generation: int, identity: str, next_public: bytes) -> bytes:
    """What a commitment is a signature over (ID-19)."""
    value = {"generation": generation, "identity": identity, "next_key_digest": digest(next_public)}
    return encoded(COMMITMENT_TYPE, canonical(value))


def chain_proven(envelope: dict[str, Any], checks: Checks) -> bool:
    """ID-20 and ID-23."""
    sender, kid = envelope["sender"], envelope["kid"]
    try:
        before, last = public_of(sender), sender
    except Refused:
        return False
    seen = {sender} if checks.hold("chain-may-return-to-sender") else set()
    for generation, link in enumerate(envelope["body"]["chain"], 1):
        try:
            key = public_of(link["key"])
        except Refused as fault:
            if fault.code == "key.invalid" and not checks.hold("weak-keys-in-links"):
                key = weak_public(link["key"])
            else:
                unread = "malformed-keys-in-links" if fault.code == "key.malformed" else "no-points-in-links"
                return not checks.hold(unread)
        if link["key"] in seen:
            return False
        if checks.hold("keys-may-repeat"):
            seen.add(link["key"])
        if not committed(before, generation, sender, key, link["commitment"], checks):
            return False
        before, last = key, link["key"]
    return last == kid or not checks.hold("kid-need-not-be-last")


def weak_public(name: str) -> bytes:
    number = 0
    for digit in name.removeprefix("did:key:z"):
        number = number * 58 + BASE_58.index(digit)
    return number.to_bytes(34, "big")[2:]


def committed(before: bytes, generation: int, sender: str, key: bytes, commitment: str, checks: Checks) -> bool:
    """Whether a commitment ties ``key`` to the key before it; each named weakness lets one more text pass."""
    if not checks.hold("commitments-unread") or (generation == 1 and not checks.hold("first-link-unproven")):
        return True
    try:
        signature = bytes_of(commitment)
    except ValueError:
        if checks.hold("commitment-lax-base64"):
            return False
        signature = base64.b64decode(commitment.replace("-", "+").replace("_", "/") + "==")
    texts = [(before, commitment_text(generation, sender, key))]
    if not checks.hold("generation-not-signed"):
        texts += [(before, commitment_text(other, sender, key)) for other in range(20)]
    if not checks.hold("identity-is-the-key-before"):
        texts.append((before, commitment_text(generation, did(before), key)))
    if not checks.hold("digest-of-the-did"):
        value = {"generation": generation, "identity": sender, "next_key_digest": digest(did(key).encode())}
        texts.append((before, encoded(COMMITMENT_TYPE, canonical(value))))
    if not checks.hold("commitment-by-its-own-key"):
        texts.append((key, commitment_text(generation, sender, key)))
    if not checks.hold("commitment-by-first-key"):
        texts.append((public_of(sender), commitment_text(generation, sender, key)))
    if not checks.hold("commitment-as-envelope"):
        value = {"generation": generation, "identity": sender, "next_key_digest": digest(key)}
        texts.append((before, encoded(ENVELOPE_TYPE, canonical(value))))
    if not checks.hold("commitment-without-type"):
        value = {"generation": generation, "identity": sender, "next_key_digest": digest(key)}
        texts.append((before, canonical(value)))
    if not checks.hold("commitment-malleable"):
        order = 2**252 + 27742317777372353535851937790883648493
        s = int.from_bytes(signature[32:], "little") % order
        signature = signature[:32] + s.to_bytes(32, "little")
    return any(signed_by(public, signature, text) for public, text in texts)
