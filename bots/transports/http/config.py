"""What the owner of an agent sets for a hub."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from bots.errors import ConfigError
from bots.transports.http.names import NAME, Names

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,500}")
_DID: Final = re.compile(r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}")  # of an Ed25519 key
_ADDRESS_MOST: Final = 300  # characters


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which hub, and which of its rooms."""

    hub: str  # its base, without a slash at the end
    rooms: tuple[str, ...] = ()  # names, or URIs of rooms that the hub carries
    relays: bool = False  # what we post was said by others, too (HTTP-8)

    def check(self) -> None:
        """Raises ConfigError with the first thing that is wrong."""
        for room in self.rooms:
            if not (NAME.fullmatch(room) or _URI.fullmatch(room)):
                raise ConfigError(
                    "http.room_name",
                    f"{room!r} is no room of a hub.",
                    'Write "clawnet", or the URI of a room of another transport.',
                )

    def room(self, name: str) -> str:
        """The URI of a room, by name or URI."""
        return name if _URI.fullmatch(name) else f"{self.hub}/rooms/{name}"

    def url(self, room: str) -> str:
        """Where a room is posted to and read."""
        return Names(self.hub).url(room)

    def address(self, did: str) -> str:
        """The address of a peer."""
        return Names(self.hub).address(did)

    def chunk(self, digest: str) -> str:
        """Where a chunk is stored."""
        return Names(self.hub).chunk(digest)

    def is_chunk(self, uri: str) -> bool:
        """Whether this is where a chunk may be at this hub."""
        return bool(Names(self.hub).digest(uri))

    def is_address(self, text: str) -> bool:
        """Whether this is the address of a peer at this hub, and nothing beside it."""
        own = self.address("")
        return len(text) <= _ADDRESS_MOST and text.startswith(own) and bool(_DID.fullmatch(text, len(own)))
