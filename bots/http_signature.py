"""Who made an HTTP request: RFC 9421 signatures by the key that a ``did:key`` names (spec/bindings/http.md, HTTP-8)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import http_sf

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import SigningKey, decode_did, encode_did, verify

SKEW_S: Final = 60
_LABEL: Final = "clawnet"
_WITHOUT_BODY: Final = ("@method", "@target-uri")
_WITH_BODY: Final = (*_WITHOUT_BODY, "content-digest")
_HEADER_MOST: Final = 2048  # characters


class BadSignature(Exception):
    """A request's signature is there and does not hold."""


def sign(key: SigningKey, did: str, method: str, url: str, body: bytes, now_s: int) -> dict[str, str]:
    """The headers that prove who makes a request; ``b""`` is no body."""
    covered = _WITH_BODY if body else _WITHOUT_BODY
    headers = {"Content-Digest": _digest(body)} if body else {}
    parameters: dict[str, Any] = {"created": now_s, "keyid": did, "alg": "ed25519"}
    described = _described(covered, parameters)
    signature = key.sign(_base(covered, described, method, url, headers.get("Content-Digest", "")))
    encoded = base64.b64encode(signature).decode()
    return headers | {"Signature-Input": f"{_LABEL}={described}", "Signature": f"{_LABEL}=:{encoded}:"}


def signer(headers: Mapping[str, str], method: str, url: str, body: bytes, now_s: int) -> str | None:
    """The did of the key that signed a request, None if it bears no signature. Raises BadSignature."""
    given, signatures = headers.get("Signature-Input"), headers.get("Signature")
    if given is None and signatures is None:
        return None
    if given is None or signatures is None or len(given) > _HEADER_MOST or len(signatures) > _HEADER_MOST:
        raise BadSignature("Signature-Input and Signature must come together, and be short.")
    covered, parameters, signature = _read(given, signatures)
    if any(name not in covered for name in (_WITH_BODY if body else _WITHOUT_BODY)):
        raise BadSignature("It must cover @method and @target-uri, and content-digest where there is a body.")
    if any(name not in _WITH_BODY for name in covered) or len(set(covered)) < len(covered):
        raise BadSignature("It may cover nothing but @method, @target-uri and content-digest.")
    created, did, algorithm = parameters.get("created"), parameters.get("keyid"), parameters.get("alg", "ed25519")
    if not isinstance(created, int) or abs(created - now_s) > SKEW_S:
        raise BadSignature(f"created must be within {SKEW_S} s of this server's clock, which shows {now_s}.")
    expires = parameters.get("expires", now_s)
    if not isinstance(expires, int) or expires < now_s:
        raise BadSignature("It has expired.")
    if not isinstance(did, str) or algorithm != "ed25519":
        raise BadSignature('keyid must be a did:key, and alg "ed25519".')
    digest = headers.get("Content-Digest", "")
    if "content-digest" in covered and not hmac.compare_digest(_sha256_of(digest), hashlib.sha256(body).digest()):
        raise BadSignature("Content-Digest is not the sha-256 of the body.")
    described = _described(covered, parameters)
    try:
        public = decode_did(did)
        verify(public, _base(covered, described, method, url, digest), signature)
    except RemoteProtocolError as error:
        raise BadSignature(f"The signature does not hold ({error.code}).") from None
    return encode_did(public)


def _read(given: str, signatures: str) -> tuple[tuple[str, ...], dict[str, Any], bytes]:
    """The covered names, the parameters, and the signature of the only label that there is. Raises BadSignature."""
    try:
        ((label, (names, parameters)),) = _dictionary(given).items()
        signature = _dictionary(signatures)[label][0]
        covered = tuple(name for name, extra in names if not extra)
    except (ValueError, TypeError, KeyError):
        covered, names, parameters, signature = (), [""], {}, b""
    if not isinstance(signature, bytes) or len(covered) != len(names) or not all(isinstance(c, str) for c in covered):
        raise BadSignature("Signature-Input and Signature must be one signature as RFC 9421 says.")
    return covered, parameters, signature


def _described(covered: tuple[str, ...], parameters: dict[str, Any]) -> str:
    """What the signature is over, in the one way to write it."""
    lists: Any = [([(name, {}) for name in covered], parameters)]
    return http_sf.ser(lists)


def _base(covered: tuple[str, ...], described: str, method: str, url: str, digest: str) -> bytes:
    values = {"@method": method, "@target-uri": url, "content-digest": digest}
    lines = [f'"{name}": {values[name]}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {described}']).encode()


def _digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _sha256_of(header: str) -> bytes:
    """The sha-256 in a Content-Digest header, b"" if there is none."""
    try:
        value = _dictionary(header)["sha-256"][0]
    except (ValueError, TypeError, KeyError):
        return b""
    return value if isinstance(value, bytes) else b""


def _dictionary(text: str) -> dict[str, Any]:
    """A structured field, by key (value, parameters). Raises ValueError."""
    found: Any = http_sf.parse(text.encode("ascii"), tltype="dictionary")
    return dict(found)
