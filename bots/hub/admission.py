"""Whether a posted carrier may be handed on (spec/bindings/http.md, HTTP-4 to HTTP-6)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import check_addressing, check_time
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import SealedCarrier
from clawnet_proto.signing import digest
from clawnet_proto.specification import ERRORS, LIMITS
from clawnet_proto.wire import present


class Posted(msgspec.Struct, frozen=True):
    """A carrier that may be handed on. ``message`` is None for a sealed one: only its recipient can open it."""

    id: str
    text: bytes
    message: Message | None = None


class Fault(msgspec.Struct, frozen=True):
    """Why a carrier, or a whole request, is not taken."""

    code: str
    detail: str = ""


class BadRequest(Exception):
    """The body is not as HTTP-4 says."""


class _Body(msgspec.Struct):
    carriers: list[msgspec.Raw]


class _Plain(msgspec.Struct):
    carriers: list[Any]


_SEALED: Final = set(SealedCarrier.__struct_fields__)
_decode: Final = msgspec.json.Decoder(_Body).decode


def carriers(body: bytes) -> list[object]:
    """The carriers in a request's body, as parsed JSON. Raises BadRequest."""
    try:
        found = _listed(body)
    except (msgspec.MsgspecError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadRequest('The body must be JSON: {"carriers": [...]}') from error
    if not 1 <= len(found) <= LIMITS.carriers_per_event:
        raise BadRequest(f"There must be 1 to {LIMITS.carriers_per_event} carriers.")
    return found


def _listed(body: bytes) -> list[object]:
    try:
        return [msgspec.json.decode(raw) for raw in _decode(body).carriers]
    except msgspec.MsgspecError:
        # Text that no message can have, a lone surrogate say, is the fault of one carrier and not of its neighbours.
        return list(msgspec.convert(json.loads(body), _Plain).carriers)


def judge(carrier: object, room: str, now_ms: int) -> Posted | Fault:
    """A carrier that was posted into a room. Never raises."""

    def check(message: Message) -> None:
        recipients = present(message.envelope.recipients, ("",))
        check_addressing(message, me=recipients[0], room=room, plane="room")
        check_time(message, now_ms)

    return _judged(carrier, check)


def direct(carrier: object, recipient: str, now_ms: int) -> Posted | Fault:
    """A carrier that was posted to a peer: what is sealed only its recipient can open. Never raises."""

    def check(message: Message) -> None:
        check_addressing(message, me=recipient, room="", plane="direct")
        check_time(message, now_ms)

    if isinstance(carrier, dict) and carrier.keys() == _SEALED:
        return _sealed(carrier)
    return _judged(carrier, check)


def _judged(carrier: object, check: Callable[[Message], None]) -> Posted | Fault:
    try:
        text = msgspec.json.encode(carrier)
        message = verify(text)
        check(message)
    except RemoteProtocolError as error:
        return Fault(error.code, error.detail)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return Fault("carrier.malformed")
    return Posted(message.id, text, message)


def _sealed(carrier: dict[str, object]) -> Posted | Fault:
    """Written anew from what it must be: three strings."""
    try:
        text = msgspec.json.encode(msgspec.convert(carrier, SealedCarrier))
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return Fault("carrier.malformed")
    return Fault("size.carrier") if len(text) > LIMITS.carrier_bytes else Posted(digest(text), text)


def status(fault: Fault) -> int:
    """The HTTP status that says the same."""
    if fault.code.startswith("size."):
        return 413
    return 400 if fault.code in ERRORS else 403
