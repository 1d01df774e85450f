"""Signatures within an activity: FEP-8b32 with the cryptosuite eddsa-jcs-2022 (AP-21, AP-22)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import rfc8785

from bots.message_signature import BadSignature
from bots.transports.activitypub.keys import ActorKeys, Claim
from bots.transports.activitypub.names import BadUrl, canonical

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUE: Final = re.compile(r"z[1-9A-HJ-NP-Za-km-z]{64,88}")  # of 64 bytes
_BYTES: Final = 64
_TIME_MOST: Final = 40  # characters
_PROOFS_MOST: Final = 4
_FIXED: Final = {"type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022", "proofPurpose": "assertionMethod"}


def attach(document: dict[str, Any], keys: ActorKeys, key_id: str, now_s: int) -> dict[str, Any]:
    """The document with a proof. Its ``@context`` must be an array."""
    created = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    options = _FIXED | {"@context": document["@context"], "verificationMethod": key_id, "created": created}
    signature = keys.sign("ed25519", _message(document, options))
    return document | {"proof": options | {"proofValue": _base58(signature)}}


def claim(document: dict[str, Any]) -> Claim | None:
    """Who claims to have signed an activity; None if it bears no proof. Raises BadSignature.

    What is signed is not computed here, but where somebody asks for it.
    """
    proof = _proof(document)
    if proof is None:
        return None
    method, value = proof.get("verificationMethod"), proof.get("proofValue")
    if proof.get("type") != _FIXED["type"] or proof.get("proofPurpose") != _FIXED["proofPurpose"]:
        raise BadSignature("The proof must be a DataIntegrityProof with the purpose assertionMethod.")
    if proof.get("@context", document.get("@context")) != document.get("@context"):
        raise BadSignature("The proof must have the @context of what it proves.")
    try:
        key_id = canonical(method if isinstance(method, str) else "")
    except BadUrl:
        raise BadSignature("verificationMethod must be a URL.") from None
    created, expires = _time(proof.get("created")), _time(proof.get("expires", "9999-01-01T00:00:00Z"))
    if created is None or expires is None or expires < created:
        raise BadSignature("created must be a time, and expires one after it.")
    options = {name: item for name, item in proof.items() if name != "proofValue"}
    if "@context" in document:
        options["@context"] = document["@context"]
    plain = {name: item for name, item in document.items() if name not in ("proof", "signature")}
    return Claim(
        key_id=key_id,
        message=cache(lambda: _message(plain, options)),
        signature=_from_base58(value),
        algorithms=("ed25519",),
        created_s=created,
        expires_s=expires,
    )


def _proof(document: dict[str, Any]) -> dict[str, Any] | None:
    """The only proof of our cryptosuite; others count for nothing. Raises BadSignature."""
    given = document.get("proof")
    proofs = given if isinstance(given, list) else [] if given is None else [given]
    if len(proofs) > _PROOFS_MOST or not all(isinstance(proof, dict) for proof in proofs):
        raise BadSignature("proof must be an object, or a few of them.")
    found = [proof for proof in proofs if proof.get("cryptosuite") == _FIXED["cryptosuite"]]
    if len(found) > 1:
        raise BadSignature("There may be only one proof by eddsa-jcs-2022.")
    return found[0] if found else None


def _message(document: dict[str, Any], options: dict[str, Any]) -> bytes:
    """What is signed: the digests of the canonical texts of the options and of the document without its proof.

    Both have the same ``@context``.
    """
    try:
        shared = {name: rfc8785.dumps(document[name]) for name in ("@context",) if name in document}
        texts = [_text(options, shared), _text(document, shared)]
    except (rfc8785.CanonicalizationError, ValueError, RecursionError):
        raise BadSignature("It has no canonical text (RFC 8785).") from None
    return b"".join(hashlib.sha256(text).digest() for text in texts)


def _text(members: dict[str, Any], known: Mapping[str, bytes]) -> bytes:
    """The canonical text of an object, some of whose members' texts are known."""
    names = sorted(members, key=lambda name: name.encode("utf-16-be"))
    texts = (rfc8785.dumps(name) + b":" + (known.get(name) or rfc8785.dumps(members[name])) for name in names)
    return b"{" + b",".join(texts) + b"}"


def _time(value: object) -> int | None:
    """Unix seconds of a time with a zone (RFC 3339), None if it is none."""
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) and len(value) <= _TIME_MOST else "")
        return None if found.tzinfo is None else int(found.timestamp())
    except (ValueError, OverflowError):
        return None


def _base58(data: bytes) -> str:
    """Bytes as multibase text (base58btc)."""
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return "z" + "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def _from_base58(text: object) -> bytes:
    """The 64 bytes of a proof value. Raises BadSignature."""
    number = 0
    for character in text[1:] if isinstance(text, str) and _VALUE.fullmatch(text) else "":
        number = number * 58 + _ALPHABET.index(character)
    if number.bit_length() > 8 * _BYTES or not number or _base58(data := number.to_bytes(_BYTES, "big")) != text:
        raise BadSignature("proofValue must be 64 bytes in base58btc.")
    return data
