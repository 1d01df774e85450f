"""How far each node was read, and since when we are in each room (spec/bindings/lan.md, LAN-12).

It is committed with every piece that is read, of many nodes perhaps: so it is committed in parts, each by its name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final
from zlib import crc32

import msgspec

from bots.transports.http.position import Place
from bots.transports.http.wire import is_event_id
from bots.transports.lan.candidates import NODES_MOST
from clawnet_proto.bindings import lan

log = logging.getLogger(__name__)

_PLACES_MOST: Final = lan.ROOMS_MOST + 1
_NONE: Final = Place()
_PARTS: Final = 32


class Read(msgspec.Struct):
    """How far one node was read: by room, and "" for what it has for us; and where it was."""

    places: dict[str, Place] = {}
    at: str = ""


class Position(msgspec.Struct, omit_defaults=True):
    """All nodes, by identity; the one that was heard of last is the last."""

    joined_ms: dict[str, int] = {}  # by room: when we first were in it, Unix milliseconds
    nodes: dict[str, Read] = {}

    @classmethod
    def read(cls, name: str, committed: Callable[[str], str | None]) -> Position:
        """What was ``committed`` of the position with this name, by the name of each part."""
        whole = cls()
        for part in (name, *(_part(name, number) for number in range(_PARTS))):
            text = committed(part)
            try:
                kept = msgspec.json.decode(text, type=cls) if text else cls()
            except (msgspec.MsgspecError, ValueError, RecursionError):
                log.warning("How far others were read is not known any more: reading all that they have")
                continue
            whole.joined_ms |= kept.joined_ms
            whole.nodes |= kept.nodes
        for node in whole.nodes.values():
            node.places = {room: one for room, one in node.places.items() if not one.after or is_event_id(one.after)}
        return whole

    def rooms(self) -> str:
        """What is to be committed by the name itself."""
        return msgspec.json.encode(Position(self.joined_ms)).decode()

    def part(self, name: str, did: str) -> tuple[str, str]:
        """The name of the part that a node is in, and what is to be committed by it."""
        number = _number(did)
        nodes = {one: read for one, read in self.nodes.items() if _number(one) == number}
        return _part(name, number), msgspec.json.encode(Position(nodes=nodes)).decode()

    def place(self, did: str, room: str) -> Place:
        """How far a node was read in a room."""
        node = self.nodes.get(did)
        return _NONE if node is None else node.places.get(room, _NONE)

    def put(self, did: str, room: str, place: Place) -> None:
        """A node was read so far."""
        places = self._node(did).places
        places[room] = place
        while len(places) > _PLACES_MOST:
            del places[next(iter(places))]

    def note(self, did: str, at: str) -> None:
        """A node was there."""
        self._node(did).at = at

    def _node(self, did: str) -> Read:
        """It was heard of; who was not for longest is forgotten."""
        node = self.nodes[did] = self.nodes.pop(did) if did in self.nodes else Read()
        while len(self.nodes) > NODES_MOST:
            del self.nodes[next(iter(self.nodes))]
        return node


def _part(name: str, number: int) -> str:
    return f"{name} {number}"


def _number(did: str) -> int:
    return crc32(did.encode()) % _PARTS
