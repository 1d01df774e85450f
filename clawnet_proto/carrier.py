"""Carriers: from a signed text to a message and back (spec/02-messages.md, spec/05-signatures.md).

The order of checks is normative (spec/05-signatures.md): size, carrier, version, key, signature,
canonical form, schema, critical extensions. What depends on where and when a message arrived is
checked by ``freshness``, what depends on other messages by ``mesh``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from clawnet_proto import PROTOCOL_VERSION, base64url, canonical, json_text
from clawnet_proto.envelope import Envelope
from clawnet_proto.errors import LocalProtocolError, RemoteProtocolError
from clawnet_proto.families import BODIES, TYPE_OF
from clawnet_proto.keys import SigningKey, decode_did
from clawnet_proto.keys import verify as verify_signature
from clawnet_proto.message import Message
from clawnet_proto.signing import message_id, signed_bytes
from clawnet_proto.specification import LIMITS, TYPES
from clawnet_proto.wire import Record


class Carrier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The unverified object that travels: everything in it is a stranger's claim."""

    clawnet: str
    kid: str
    env: str
    sig: str


_decode_carrier = msgspec.json.Decoder(Carrier).decode
_encode_carrier = msgspec.json.Encoder().encode
_encode = msgspec.json.Encoder(order="sorted").encode
_ENVELOPES: Mapping[str, Any] = {name: Envelope[body] for name, body in BODIES.items()}  # type: ignore[valid-type]
# Canonical keys are sorted and no key of the envelope follows "type": its value closes the text.
_TYPE_MARK: Final = '"type":"'
_DECODERS: Mapping[str, Any] = {name + '"}': msgspec.json.Decoder(kind).decode for name, kind in _ENVELOPES.items()}


def verify(text: bytes | str) -> Message:
    """Verify one carrier and decode it. Raises RemoteProtocolError with the first rule it breaks."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > LIMITS.carrier_bytes:
        raise RemoteProtocolError("size.carrier", f"{len(data)} bytes")
    try:
        carrier = _decode_carrier(data)
        env = carrier.env.encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        carrier, env = _read_slowly(data)
    if len(env) > LIMITS.envelope_bytes:
        raise RemoteProtocolError("size.envelope", f"{len(env)} bytes")
    if carrier.clawnet != PROTOCOL_VERSION:
        raise RemoteProtocolError("version.unsupported", carrier.clawnet[:16])
    public = decode_did(carrier.kid)
    try:
        signature = base64url.decode(carrier.sig)
    except ValueError:
        raise RemoteProtocolError("signature.malformed") from None
    if len(signature) != 64:
        raise RemoteProtocolError("signature.malformed")
    signed = signed_bytes(env)
    verify_signature(public, signed, signature)
    envelope = _decode_typed(carrier.env, env)
    # What differs from its own encoding is not canonical: read the slow way, which names the fault.
    if envelope is None or envelope.kid != carrier.kid or _encode(envelope) != env:
        envelope = _decode_exactly(carrier)
    _check_envelope(envelope)
    return Message(message_id(signed), envelope, len(env))


def _read_slowly(data: bytes) -> tuple[Carrier, bytes]:
    """What typed decoding refuses may still be a carrier: of a member that occurs twice only the last counts."""
    try:
        found = json_text.members(data.decode())
    except ValueError:
        raise RemoteProtocolError("carrier.not_json") from None
    try:
        carrier = msgspec.convert(found, Carrier)
        # A lone surrogate has no UTF-8.
        (*_, env) = (text.encode() for text in (carrier.clawnet, carrier.kid, carrier.sig, carrier.env))
    except (msgspec.ValidationError, UnicodeEncodeError):
        raise RemoteProtocolError("carrier.malformed") from None
    return carrier, env


def _decode_typed(text: str, env: bytes) -> Envelope[Any] | None:
    """The envelope by way of its type, or None where only ``_decode_exactly`` can tell.

    Extensions hold values of any shape, which typed decoding does not bound.
    """
    decode = _DECODERS.get(text.rpartition(_TYPE_MARK)[2])
    if decode is None:
        return None
    try:
        envelope: Envelope[Any] = decode(env)
    except (msgspec.DecodeError, RecursionError):
        return None
    return envelope if envelope.extensions is UNSET else None


def _decode_exactly(carrier: Carrier) -> Envelope[Any]:
    value = canonical.parse(carrier.env)
    try:
        header: Envelope[Any] = msgspec.convert(value, Envelope[Any])
    except msgspec.ValidationError as error:
        raise RemoteProtocolError("schema.envelope", str(error)) from None
    if header.clawnet != carrier.clawnet or header.kid != carrier.kid:
        raise RemoteProtocolError("carrier.mismatch")
    kind = _ENVELOPES.get(header.type)
    if kind is None:
        raise RemoteProtocolError("type.unknown", header.type)
    try:
        envelope: Envelope[Any] = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError("schema.body", str(error)) from None
    return envelope


def _check_envelope(envelope: Envelope[Any]) -> None:
    """Schema rules beyond types, and critical extensions; after the types are known to fit."""
    if envelope.clawnet != PROTOCOL_VERSION:
        raise RemoteProtocolError("carrier.mismatch")
    rule = TYPES[envelope.type]
    count = 0 if envelope.recipients is UNSET else len(envelope.recipients)
    if (rule.recipients == "none" and count) or (rule.recipients == "one" and count != 1):
        raise RemoteProtocolError("schema.body", "recipients")
    if (envelope.thread is UNSET) != (rule.thread == "forbidden"):
        raise RemoteProtocolError("schema.body", "thread")
    if (envelope.answers is UNSET) != (rule.answers == "forbidden"):
        raise RemoteProtocolError("schema.body", "answers")
    envelope.body.check()
    if rule.family == "identity":
        envelope.body.check_signer(envelope.sender, envelope.kid)
    if envelope.critical is not UNSET:
        raise RemoteProtocolError("critical.unsupported", envelope.critical[0])


def sign(key: SigningKey, envelope: Envelope[Any]) -> tuple[bytes, Message]:
    """Sign an envelope: the carrier's text and the message it will be to others.

    Raises LocalProtocolError, before anything is signed, for what a verifier would refuse.
    """
    try:
        env = _encode(envelope)
        if len(env) > LIMITS.envelope_bytes:
            raise LocalProtocolError("size.envelope", f"{len(env)} bytes")
        text = env.decode()
        # Our encoder wrote it: if typed decoding takes it, it is canonical.
        checked = _decode_typed(text, env) or _decode_exactly(Carrier(PROTOCOL_VERSION, key.did, text, ""))
        if checked.kid != key.did:
            raise LocalProtocolError("carrier.mismatch")
        _check_envelope(checked)
    except UnicodeEncodeError:
        raise LocalProtocolError("canonical.string") from None
    except RecursionError:
        raise LocalProtocolError("canonical.depth") from None
    except RemoteProtocolError as error:
        raise LocalProtocolError(error.code, error.detail) from None
    signed = signed_bytes(env)
    signature = base64url.encode(key.sign(signed))
    data = _encode_carrier(Carrier(PROTOCOL_VERSION, key.did, text, signature))
    if len(data) > LIMITS.carrier_bytes:
        raise LocalProtocolError("size.carrier", f"{len(data)} bytes")
    return data, Message(message_id(signed), checked, len(env))


def body_type(body: Record) -> str:
    """The wire type of a body."""
    return TYPE_OF[type(body)]
