"""HTTP signatures as most servers know them: draft-cavage-http-signatures-12 with RSA (AP-16, AP-17)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from bots.message_signature import BadSignature
from bots.transports.activitypub.keys import ActorKeys, Claim
from bots.transports.activitypub.names import BadUrl, ascii_authority, canonical, host, path
from bots.transports.activitypub.request import Request

SKEW_S: Final = 3600

_TARGET: Final = "(request-target)"
_REQUIRED: Final = (_TARGET, "host", "date")
_HEADER_MOST: Final = 4096  # characters
_COVERED_MOST: Final = 32
_PARAMETER: Final = re.compile(r'[ \t]*([A-Za-z]+)=(?:"([^"\\]*)"|([0-9]+))[ \t]*(?:,|\Z)')
_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_ALGORITHMS: Final = frozenset({"rsa-sha256", "hs2019"})
_DATE: Final = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII)


def sign(keys: ActorKeys, key_id: str, method: str, url: str, body: bytes, now_s: int) -> dict[str, str]:
    """The headers Host, Date, Signature, and Digest for a body (``b""`` is none). ``url`` is canonical."""
    headers = {"Host": host(url), "Date": formatdate(now_s, usegmt=True)}
    if body:
        headers["Digest"] = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
    values = {_TARGET: f"{method.lower()} {path(url)}"} | {name.lower(): value for name, value in headers.items()}
    signature = base64.b64encode(keys.sign("rsa-v1_5-sha256", _base(values))).decode()
    covered = " ".join(values)
    return headers | {
        "Signature": f'keyId="{key_id}",algorithm="rsa-sha256",headers="{covered}",signature="{signature}"'
    }


def claim(request: Request, now_s: int) -> Claim:
    """Who claims to have made a request. Raises BadSignature."""
    parameters = _parameters(request.one("Signature") or "")
    if parameters.get("algorithm", "hs2019").lower() not in _ALGORITHMS:
        raise BadSignature("algorithm must be rsa-sha256 or hs2019.")
    covered = parameters.get("headers", "").lower().split(" ")
    required = (*_REQUIRED, "digest") if request.body else _REQUIRED
    if not set(required) <= set(covered):
        raise BadSignature("It must cover (request-target), host, date, and digest where there is a body.")
    if len(set(covered)) < len(covered) or len(covered) > _COVERED_MOST:
        raise BadSignature("It covers something twice, or too much.")
    try:
        key_id = canonical(parameters["keyId"])
        signature = base64.b64decode(parameters["signature"], validate=True)
    except (KeyError, BadUrl, ValueError):
        raise BadSignature("It needs a keyId that is a URL, and a signature in base64.") from None
    own_host, date = request.one("Host") or "", _date(request.one("Date") or "")
    if ascii_authority(own_host, request.base) != host(request.base + "/"):
        raise BadSignature("Host is not the host that we are known by.")
    if abs(date - now_s) > SKEW_S:
        raise BadSignature(f"Date must be within {SKEW_S} s of this server's clock, which shows {now_s}.")
    if "digest" in covered:
        _check_digest(request.one("Digest") or "", request.body)
    message = _base({name: _value(request, name) for name in covered})
    return Claim(
        key_id=key_id,
        message=lambda: message,
        signature=signature,
        algorithms=("rsa-v1_5-sha256",),
        created_s=date,
    )


def _base(values: dict[str, str]) -> bytes:
    return "\n".join(f"{name}: {value}" for name, value in values.items()).encode()


def _parameters(header: str) -> dict[str, str]:
    """The parameters of the header Signature. Raises BadSignature."""
    found: dict[str, str] = {}
    place = 0
    while place < len(header) <= _HEADER_MOST:
        match = _PARAMETER.match(header, place)
        if match is None or match[1] in found:
            raise BadSignature('Signature must be a list of name="value", none of them twice.')
        found[match[1]] = match[2] if match[2] is not None else match[3]
        place = match.end()
    return found


def _value(request: Request, name: str) -> str:
    if name == _TARGET and request.target.isascii():
        return f"{request.method.lower()} {request.target}"
    values = request.all(name) if _NAME.fullmatch(name) else []
    if not values or not all(value.isascii() for value in values):
        raise BadSignature("It covers a header that is not there, or not ASCII.")
    return ", ".join(values)


def _date(text: str) -> int:
    """Unix seconds of an HTTP date (RFC 9110 section 5.6.7)."""
    try:
        found = parsedate_to_datetime(text) if _DATE.fullmatch(text) else datetime.min.replace(tzinfo=UTC)
        return int(found.timestamp())
    except (ValueError, OverflowError):
        return 0


def _check_digest(header: str, body: bytes) -> None:
    """The header has the SHA-256 of the body, in whatever company (RFC 3230). Raises BadSignature."""
    entries = [entry.strip().partition("=") for entry in header.split(",")]
    found = [value for name, _, value in entries if name.lower() == "sha-256"]
    expected = base64.b64encode(hashlib.sha256(body).digest())
    if len(found) != 1 or not hmac.compare_digest(found[0].encode(errors="surrogateescape"), expected):
        raise BadSignature("Digest is not the SHA-256 of the body.")
