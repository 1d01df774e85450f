"""HTTP Message Signatures (RFC 9421) by RSA and Ed25519, as newer servers send and take them (AP-18, AP-19)."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import Any, Final

from bots import message_signature
from bots.message_signature import BadSignature, content_digest, is_digest_of
from bots.transports.activitypub.keys import ActorKeys, Algorithm, Claim
from bots.transports.activitypub.names import BadUrl, ascii_authority, canonical, host
from bots.transports.activitypub.request import Request

SKEW_S: Final = 3600

_LABEL: Final = "sig1"
_COVERED: Final = ("@method", "@target-uri", "@authority")
_COVERED_MOST: Final = 32
_ENOUGH: Final = (
    {"@method", "@target-uri"},
    {"@method", "@authority", "@request-target"},
    {"@method", "@authority", "@path", "@query"},
)
_ALGORITHMS: Final[dict[str | None, tuple[Algorithm, ...]]] = {
    None: ("rsa-v1_5-sha256", "ed25519"),
    "rsa-v1_5-sha256": ("rsa-v1_5-sha256",),
    "ed25519": ("ed25519",),
}
_FIELD: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")


def sign(
    keys: ActorKeys,
    key_id: str,
    method: str,
    url: str,
    body: bytes,
    now_s: int,
    algorithm: Algorithm = "rsa-v1_5-sha256",
) -> dict[str, str]:
    """The headers Host, Date, Signature-Input, Signature, and Content-Digest for a body (``b""`` is none)."""
    headers = {"Host": host(url), "Date": formatdate(now_s, usegmt=True)}
    values = {"@method": method, "@target-uri": url, "@authority": host(url)}
    if body:
        headers["Content-Digest"] = values["content-digest"] = content_digest(body)
    parameters: dict[str, Any] = {"created": now_s, "keyid": key_id, "alg": algorithm}
    signature = keys.sign(algorithm, message_signature.base(tuple(values), parameters, values))
    return headers | message_signature.write(_LABEL, tuple(values), parameters, signature)


def claim(request: Request, now_s: int) -> Claim:
    """Who claims to have made a request. Raises BadSignature."""
    signed = message_signature.read(request.one("Signature-Input") or "", request.one("Signature") or "")
    covered, parameters = signed.covered, signed.parameters
    if not any(enough <= set(covered) for enough in _enough(request)):
        raise BadSignature("It must cover @method and @target-uri, or @method, @authority, @path and @query.")
    if request.body and "content-digest" not in covered:
        raise BadSignature("It must cover content-digest: there is a body.")
    if len(set(covered)) < len(covered) or len(covered) > _COVERED_MOST:
        raise BadSignature("It covers something twice, or too much.")
    created, expires = parameters.get("created"), parameters.get("expires", now_s)
    if type(created) is not int or abs(created - now_s) > SKEW_S:
        raise BadSignature(f"created must be within {SKEW_S} s of this server's clock, which shows {now_s}.")
    if type(expires) is not int or expires < now_s:
        raise BadSignature("It has expired.")
    key_id, algorithms = parameters.get("keyid"), _ALGORITHMS.get(_text(parameters.get("alg")))
    if not isinstance(key_id, str) or algorithms is None:
        raise BadSignature("keyid must be a URL, and alg rsa-v1_5-sha256 or ed25519.")
    try:
        key_id = canonical(key_id)
    except BadUrl:
        raise BadSignature("keyid must be a URL.") from None
    values = {name: _value(request, name) for name in covered}
    if "content-digest" in covered and not is_digest_of(values["content-digest"], request.body):
        raise BadSignature("Content-Digest is not the sha-256 of the body.")
    if "host" in covered and ascii_authority(values["host"], request.base) != host(request.base + "/"):
        raise BadSignature("Host is not the host that we are known by.")
    message = signed.base(values)
    return Claim(
        key_id=key_id,
        message=lambda: message,
        signature=signed.signature,
        algorithms=algorithms,
        created_s=created,
    )


def _enough(request: Request) -> list[set[str]]:
    """What a signature may cover at the least, one of these."""
    without_query = [] if "?" in request.target else [{"@method", "@authority", "@path"}]
    return [*_ENOUGH, *without_query]


def _text(value: object) -> str | None:
    """A parameter that is a string or is not there."""
    return value if value is None or isinstance(value, str) else ""


def _value(request: Request, name: str) -> str:
    path, _, query = request.target.partition("?")
    derived = {
        "@method": request.method,
        "@target-uri": request.url,
        "@authority": host(request.url),
        "@scheme": request.base.partition(":")[0],
        "@request-target": request.target,
        "@path": path,
        "@query": f"?{query}",
    }
    values = [derived[name]] if name in derived else request.all(name) if _FIELD.fullmatch(name) else []
    if not values or not all(value.isascii() for value in values):
        raise BadSignature("It covers what is not there, or not ASCII.")
    return ", ".join(values)
