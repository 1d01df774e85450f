"""A parcel as event content (spec/bindings/matrix.md)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from bots.errors import Refused
from bots.transports import Parcel
from bots.transports.matrix import addresses
from clawnet_proto.bindings.matrix import CARRIERS, CARRIERS_MOST, DIRECT, members

CONTENT_BYTES = 62_000  # a whole event may be 65,536 bytes; the server adds hashes, signatures, causes
ALL_DEVICES = "*"

_INTEGER_MOST = 2**53 - 1


def room_content(parcel: Parcel) -> dict[str, Any]:
    """The content of an ``m.room.message``. Raises Refused for what no homeserver may be given."""
    content: dict[str, Any] = {
        "msgtype": "m.notice",
        "body": parcel.body,
        "m.mentions": {"user_ids": [_user(parcel.mention)]} if parcel.mention else {},
    }
    if parcel.carriers:
        content[CARRIERS] = _carriers(parcel)
    if parcel.thread_root:
        content["m.relates_to"] = {
            "rel_type": "m.thread",
            "event_id": parcel.thread_root,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": parcel.thread_root},
        }
    check_size(content)
    return content


def direct_messages(parcel: Parcel) -> dict[str, Any]:
    """The ``messages`` of a to-device request. Raises Refused for what no homeserver may be given."""
    content = {CARRIERS: _carriers(parcel)}
    check_size(content)
    return {_user(parcel.address): {parcel.device or ALL_DEVICES: content}}


def open_rooms(parcel: Parcel) -> set[str]:
    """The rooms (URIs) that the carriers of a direct parcel speak of, those that are not sealed."""
    envelopes = [carrier.get("env") for carrier in _carriers(parcel)]
    found = [members(text).get("room") for text in envelopes if isinstance(text, str)]
    return {room for room in found if isinstance(room, str)}


def direct_event(user_id: str, carrier: str) -> str:
    """The to-device event that this user's direct message with this carrier arrives as."""
    event = {"type": DIRECT, "sender": user_id, "content": {CARRIERS: [_carrier(carrier)]}}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _user(uri: str) -> str:
    try:
        return addresses.user_id(uri)
    except ValueError as error:
        raise Refused("matrix.bad_address", f"{uri!r} is no address on Matrix.") from error


def _carriers(parcel: Parcel) -> list[dict[str, Any]]:
    if not 1 <= len(parcel.carriers) <= CARRIERS_MOST:
        _bad(f"{len(parcel.carriers)} carriers, where 1 to {CARRIERS_MOST} may be")
    return [_carrier(text) for text in parcel.carriers]


def _carrier(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_float=_no_float, parse_int=_integer, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        _bad(f"a carrier that is not JSON ({error})")
    if not isinstance(value, dict):
        _bad("a carrier that is no object")
    return value


def _no_float(text: str) -> NoReturn:
    _bad(f"the number {text[:40]}: Matrix has no fractions")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= 17 else _INTEGER_MOST + 1
    if abs(value) > _INTEGER_MOST:
        _bad(f"the number {text[:40]}: it is beyond 2^53-1")
    return value


def size(content: dict[str, Any]) -> int:
    """Bytes of a content as JSON text without white space. Raises Refused for half of a surrogate pair."""
    try:
        return len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        _bad("half of a surrogate pair")


def check_size(content: dict[str, Any]) -> None:
    """Raises Refused for a content that no event can hold."""
    if (found := size(content)) > CONTENT_BYTES:
        raise Refused(
            "matrix.too_large",
            f"A message of {found} bytes does not fit into a Matrix event ({CONTENT_BYTES} bytes).",
        )


def _bad(what: str) -> NoReturn:
    raise Refused("matrix.bad_content", f"A message holds {what}.")
