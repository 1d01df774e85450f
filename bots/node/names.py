"""What rooms and peers are called on the local network (spec/bindings/lan.md, LAN-1 and LAN-2)."""

from __future__ import annotations

from urllib.parse import quote

from bots.transports.http.names import NAME, Names
from clawnet_proto.bindings import lan


class NodeNames(Names):
    """Rooms and peers have the same names at every node."""

    def __init__(self) -> None:
        super().__init__("lan:")

    def room(self, segment: str) -> str | None:
        if NAME.fullmatch(segment):
            return f"lan:{segment}"
        room = super().room(segment)
        return None if room is None or room.startswith("lan:") else room

    def url(self, room: str) -> str:
        return room.removeprefix("lan:") if lan.is_room(room) else quote(room, safe="")

    def address(self, did: str) -> str:
        return lan.address(did)

    def peer(self, address: str) -> str:
        return lan.identity(address)
