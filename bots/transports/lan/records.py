"""What DNS-SD says of a node (spec/bindings/lan.md, LAN-3 and LAN-4). Anybody can say it: it proves nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from bots.transports.http.names import NAME

TYPE: Final = "_clawnet._tcp.local."
VERSION: Final = "1"

_NAME_MOST: Final = 100  # characters of an instance's name with its type
_ROOMS_MOST: Final = 200  # bytes of all names
_ADDRESSES_MOST: Final = 4
_DID: Final = re.compile(rb"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}")


class Record(msgspec.Struct, frozen=True):
    """A node may be here."""

    did: str
    addresses: tuple[str, ...]
    port: int
    rooms: tuple[str, ...]  # names of rooms that it may be in; none: not told


def is_instance(name: str) -> bool:
    """Whether it is worth to ask what lies behind a name."""
    return len(name) <= _NAME_MOST and name.endswith(f".{TYPE}")


def record(properties: Mapping[bytes, bytes | None], addresses: Sequence[str], port: int | None) -> Record | None:
    """What an instance's TXT, SRV and address records say; None if that is not a node of ours."""
    did = properties.get(b"did") or b""
    if properties.get(b"v") != VERSION.encode() or not _DID.fullmatch(did) or not port:
        return None
    text = (properties.get(b"rooms") or b"")[:_ROOMS_MOST].decode("ascii", "replace")
    rooms = tuple(name for name in text.split(",") if NAME.fullmatch(name))
    return Record(did.decode(), tuple(addresses[:_ADDRESSES_MOST]), port, rooms)


def properties(did: str, rooms: Sequence[str]) -> dict[str, str]:
    """What our own TXT record says; ``rooms`` are URIs. If they are too many, none are told."""
    names = ",".join(room.removeprefix("lan:") for room in rooms)
    told = len(names) <= _ROOMS_MOST and all(room.startswith("lan:") for room in rooms)
    return {"v": VERSION, "did": did} | ({"rooms": names} if told else {})
