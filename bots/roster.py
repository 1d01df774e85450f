"""Whom we count upon in each room: what the fold says of identities, and the transport of accounts.

The fold knows who announced itself, never who has left the room or was banned from it: that is a matter of
accounts, and changes without a message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bots.transports import Transport
from clawnet_proto.mesh import Mesh, Peer

_FRESH_MS = 250  # how late we may notice that an announce expired or a member left


class _Counted(msgspec.Struct, frozen=True):
    """The live peers as they were."""

    at_ms: int
    presence_changes: int
    peers: Sequence[Peer]


class Roster:
    """The live peers that are joined to their room, kept for a moment: behaviours ask for every stage and tick."""

    def __init__(self, transport: Transport, mesh: Callable[[str], Mesh], now_ms: Callable[[], int]) -> None:
        self._transport = transport
        self._mesh = mesh
        self._now_ms = now_ms
        self._counted: dict[str, _Counted] = {}

    def live_peers(self, room: str) -> Sequence[Peer]:
        """Bound live peers that are joined to the room, by did. Raises RemoteProtocolError ``room.mismatch``."""
        mesh, now = self._mesh(room), self._now_ms()
        counted = self._counted.get(room)
        if (
            counted is None
            or counted.presence_changes != mesh.presence_changes
            or not 0 <= now - counted.at_ms < _FRESH_MS
        ):
            peers = tuple(peer for peer in mesh.live_peers(now) if self.is_joined(room, peer))
            counted = self._counted[room] = _Counted(now, mesh.presence_changes, peers)
        return counted.peers

    def is_joined(self, room: str, peer: Peer) -> bool:
        """Whether an account that the peer has proven is joined to the room."""
        return any(self._transport.is_member(room, address) for address in peer.addresses)
