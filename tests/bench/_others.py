"""What others do with the same contents: sign a JSON text, or check one and read it.

Each gets what it needs in the form it likes best, keys and dictionaries made beforehand, and none checks that a
text is canonical or that it fits a schema, as ``verify`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from signedjson.key import decode_signing_key_base64, get_verify_key
from signedjson.sign import sign_json, verify_signed_json
from unpaddedbase64 import encode_base64

from clawnet_proto import base64url
from clawnet_proto.keys import SigningKey


@dataclass(frozen=True)
class Other:
    """``verify`` and ``sign`` go once through all texts."""

    name: str
    verify: Callable[[], None]
    sign: Callable[[], None]


def others(key: SigningKey, texts: Sequence[bytes]) -> list[Other]:
    """All of them. Raises ImportError if the packages of the extra ``bench`` are not installed."""
    return [_signedjson(key, texts), _joserfc(key, texts), _a2a(key, texts)]


def _signedjson(key: SigningKey, texts: Sequence[bytes]) -> Other:
    """Matrix's own: the signature covers canonical JSON, made anew from what was parsed."""
    canonicaljson = import_module("canonicaljson")
    signing_key = decode_signing_key_base64("ed25519", "1", encode_base64(key.seed))
    verify_key = get_verify_key(signing_key)
    values = [json.loads(text) for text in texts]

    def written(value: dict[str, Any]) -> bytes:
        # Signing adds to the object it is given.
        signed: bytes = canonicaljson.encode_canonical_json(sign_json(dict(value), "example.org", signing_key))
        return signed

    signed = [written(value) for value in values]

    def verify() -> None:
        for data in signed:
            verify_signed_json(json.loads(data), "example.org", verify_key)

    def sign() -> None:
        for value in values:
            written(value)

    return Other("signedjson with canonicaljson", verify, sign)


def _jwk(key: SigningKey) -> Any:
    secret, public = base64url.encode(key.seed), base64url.encode(key.public)
    return import_module("joserfc.jwk").OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": secret, "x": public})


_ALGORITHM = "Ed25519"
_HEADER = {"alg": _ALGORITHM}


def _joserfc(key: SigningKey, texts: Sequence[bytes]) -> Other:
    jws, jwk = import_module("joserfc.jws"), _jwk(key)
    values = [json.loads(text) for text in texts]

    def written(value: dict[str, Any]) -> str:
        payload = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        compact: str = jws.serialize_compact(_HEADER, payload, jwk, algorithms=[_ALGORITHM])
        return compact

    signed = [written(value) for value in values]

    def verify() -> None:
        for compact in signed:
            json.loads(jws.deserialize_compact(compact, jwk, algorithms=[_ALGORITHM]).payload)

    def sign() -> None:
        for value in values:
            written(value)

    return Other("joserfc, JWS", verify, sign)


def _a2a(key: SigningKey, texts: Sequence[bytes]) -> Other:
    """A message of one text part that holds our body, which its models leave unread; the SDK signs only agent cards."""
    types, json_format = import_module("a2a.types"), import_module("google.protobuf.json_format")
    jws, jwk = import_module("joserfc.jws"), _jwk(key)

    def message(text: bytes) -> Any:
        value = json.loads(text)
        body = json.dumps(value["body"], ensure_ascii=False, separators=(",", ":"))
        return types.Message(
            message_id=value["nonce"],
            context_id=value["room"],
            task_id=value.get("thread", ""),
            role=types.Role.ROLE_AGENT,
            parts=[types.Part(text=body, media_type="application/json")],
            metadata={name: value[name] for name in ("kid", "sender", "sent_ms", "expires_ms", "type")},
        )

    messages = [message(text) for text in texts]

    def written(message: Any) -> str:
        payload = json_format.MessageToJson(message, indent=None)
        compact: str = jws.serialize_compact(_HEADER, payload, jwk, algorithms=[_ALGORITHM])
        return compact

    signed = [written(message) for message in messages]

    def verify() -> None:
        for compact in signed:
            payload = jws.deserialize_compact(compact, jwk, algorithms=[_ALGORITHM]).payload
            json_format.Parse(payload, types.Message())

    def sign() -> None:
        for message in messages:
            written(message)

    return Other("A2A SDK's models, JWS", verify, sign)
