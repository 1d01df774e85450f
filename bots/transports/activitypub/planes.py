"""Which plane a note belongs to (spec/bindings/activitypub.md, "Room", "Direct plane")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from bots.transports import Plane
from clawnet_proto.specification import TYPES

_ROOM_ONLY: Final = frozenset(name for name, rules in TYPES.items() if "direct" not in rules.planes)


class Head(msgspec.Struct, frozen=True):
    """What an envelope says of itself, unverified."""

    type: str = ""
    sender: str = ""
    room: str = ""
    expires_ms: int = 0


_decode: Final = msgspec.json.Decoder(Head).decode
NO_HEAD: Final = Head()


def head(carrier: object) -> Head:
    """What stands in the envelope of a carrier, unverified; empty if it is sealed, or none. Never raises."""
    text = carrier.get("env") if isinstance(carrier, dict) else None
    try:
        return _decode(text) if isinstance(text, str) else NO_HEAD
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return NO_HEAD


def plane_of(carriers: Iterable[Any], *, public: bool, room: str) -> Plane:
    """The plane of a note with these carriers: a room, if it names one, all may read it, or it fits nowhere else."""
    return "room" if room or public or any(head(one).type in _ROOM_ONLY for one in carriers) else "direct"
