"""What the owner of an agent sets for the local network."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from bots.errors import ConfigError
from bots.transports.http.names import NAME
from clawnet_proto.bindings.lan import ROOMS_MOST

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,290}")


class LanConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rooms, and by which of the machine's networks."""

    rooms: tuple[str, ...] = ("clawnet",)  # names, or URIs of rooms of other transports
    port: int = 0  # of our own node; 0: any
    interfaces: tuple[str, ...] = ()  # names or addresses; none: all but loopback

    def check(self) -> None:
        """Raises ConfigError with the first thing that is wrong."""
        for room in self.rooms:
            if not (NAME.fullmatch(room) or _URI.fullmatch(room)):
                raise ConfigError(
                    "lan.room_name",
                    f"{room!r} is no room of the local network.",
                    'Write "clawnet", or the URI of a room of another transport.',
                )
        if len(self.rooms) > ROOMS_MOST:
            raise ConfigError("lan.rooms", f"There are more than {ROOMS_MOST} rooms.", "Leave some out.")
        if not (self.port == 0 or 1024 <= self.port <= 65535):
            raise ConfigError(
                "lan.port", f"{self.port} is no port for a node.", "Choose one from 1024 on; 0 finds a free one."
            )

    def room(self, name: str) -> str:
        """The URI of a room, by name or URI."""
        return name if _URI.fullmatch(name) else f"lan:{name}"
