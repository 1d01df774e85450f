"""Requests as they arrive at an inbox, signed by somebody and then tampered with."""

from __future__ import annotations

from collections.abc import Mapping

from bots.transports.activitypub.keys import ActorKeys, PublicKey, from_multibase, from_pem
from bots.transports.activitypub.request import Request
from tests.transports.actor_keys import some_keys

BASE = "https://my.example"
INBOX = f"{BASE}/inbox"
OWNER = "https://other.example/actor"
RSA_ID = f"{OWNER}#main-key"
ED25519_ID = f"{OWNER}#ed25519-key"
NOW_S = 1_790_000_000
BODY = b'{"type":"Follow"}'


def keys(number: int = 0) -> ActorKeys:
    return some_keys(number)


def rsa_key(number: int = 0) -> PublicKey:
    return from_pem(RSA_ID, OWNER, keys(number).pem)


def ed25519_key(number: int = 0) -> PublicKey:
    return from_multibase(ED25519_ID, OWNER, keys(number).multibase)


def request(
    headers: Mapping[str, str],
    *more: tuple[str, str],
    method: str = "POST",
    target: str = "/inbox",
    body: bytes = BODY,
    base: str = BASE,
) -> Request:
    """What arrives with these headers, and some more."""
    return Request(method=method, base=base, target=target, headers=[*headers.items(), *more], body=body)
