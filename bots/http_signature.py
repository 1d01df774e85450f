"""Who made an HTTP request: RFC 9421 signatures by the key that a ``did:key`` names (spec/bindings/http.md, HTTP-8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bots import message_signature
from bots.message_signature import BadSignature, content_digest, is_digest_of
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import SigningKey, decode_did, encode_did, verify

__all__ = ["SKEW_S", "BadSignature", "sign", "signer"]

SKEW_S: Final = 60
_LABEL: Final = "clawnet"
_WITHOUT_BODY: Final = ("@method", "@target-uri")
_WITH_BODY: Final = (*_WITHOUT_BODY, "content-digest")


def sign(key: SigningKey, did: str, method: str, url: str, body: bytes, now_s: int) -> dict[str, str]:
    """The headers that prove who makes a request; ``b""`` is no body."""
    covered = _WITH_BODY if body else _WITHOUT_BODY
    headers = {"Content-Digest": content_digest(body)} if body else {}
    parameters: dict[str, Any] = {"created": now_s, "keyid": did, "alg": "ed25519"}
    values = {"@method": method, "@target-uri": url, "content-digest": headers.get("Content-Digest", "")}
    signature = key.sign(message_signature.base(covered, parameters, values))
    return headers | message_signature.write(_LABEL, covered, parameters, signature)


def signer(headers: Mapping[str, str], method: str, url: str, body: bytes, now_s: int) -> str | None:
    """The did of the key that signed a request, None if it bears no signature. Raises BadSignature."""
    given, signatures = headers.get("Signature-Input"), headers.get("Signature")
    if given is None and signatures is None:
        return None
    if given is None or signatures is None:
        raise BadSignature("Signature-Input and Signature must come together.")
    signed = message_signature.read(given, signatures)
    covered, parameters = signed.covered, signed.parameters
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
    if "content-digest" in covered and not is_digest_of(digest, body):
        raise BadSignature("Content-Digest is not the sha-256 of the body.")
    try:
        public = decode_did(did)
        values = {"@method": method, "@target-uri": url, "content-digest": digest}
        verify(public, signed.base(values), signed.signature)
    except RemoteProtocolError as error:
        raise BadSignature(f"The signature does not hold ({error.code}).") from None
    return encode_did(public)
