"""What the transport needs of our own node: the server of our own words (spec/bindings/lan.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from bots.transports.http.feed import Piece
from clawnet_proto.bindings.lan import Proven

Contact = Callable[[str, str, int], None]


class OwnNode(Protocol):
    """Keeps what we say, serves it, and knows whose keys are whose. Its methods raise StoreError."""

    @property
    def port(self) -> int:
        """Where we listen, 0 if nowhere yet."""

    async def open(self, rooms: Callable[[], Sequence[str]], contact: Contact) -> None:
        """Begin. ``rooms`` gives the URIs of ours; ``contact`` is told who asks: did, address and port, unproven."""

    async def listen(self, addresses: Sequence[str]) -> None:
        """Listen on these addresses of ours and no others, at one port. Raises ConfigError."""

    def say(self, room: str, body: bytes) -> str:
        """Say it in a room, and return the event's id. Raises RetryLater, Refused."""

    def whisper(self, did: str, body: bytes) -> None:
        """Keep it for one peer to read. Raises RetryLater, Refused."""

    def keep(self, data: bytes) -> str:
        """Keep a chunk of an artifact for others to fetch, and return its digest."""

    def kept(self, name: str) -> bytes | None:
        """A chunk of ours by its digest, None if it is not there any more."""

    def own_words(self, room: str, position: str) -> AsyncIterator[Piece]:
        """What we say in a room ourselves, behind a position, without end."""

    def heard(self, room: str, did: str, carriers: Sequence[object], network: str) -> None:
        """What a node that proved itself says in a room."""

    def members(self, room: str) -> Sequence[str]:
        """Addresses of those whose announce counts, wherever they are now."""

    def is_member(self, room: str, address: str) -> bool:
        """Whether this is one of them."""

    def trusts(self, did: str, proven: Proven, network: str) -> bool:
        """Whether the key of a proof is the one in use of this identity, by all that is known of it."""

    async def close(self) -> None:
        """Let readers have what there is, and end; idempotent."""
