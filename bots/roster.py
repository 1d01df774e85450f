"""Whom we count upon in each room: what the fold says of identities, and the transport of accounts.

The fold knows who announced itself, never who has left the room or was banned from it: that is a matter of
accounts, and changes without a message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bots.transports.together import Together
from clawnet_proto.mesh import Mesh, Peer

_FRESH_MS = 250  # how late we may notice that an announce expired or a member left
_COUNTED_IN_A_MS = 16  # so many peers: in a big room not every announce is worth a look at everybody


class _Counted(msgspec.Struct, frozen=True):
    """The live peers as they were."""

    at_ms: int
    presence_changes: int
    peers: Sequence[Peer]


class Roster:
    """The live peers that are joined to their room, kept for a moment: behaviours ask for every stage and tick."""

    def __init__(self, transport: Together, mesh: Callable[[str], Mesh], now_ms: Callable[[], int]) -> None:
        self._transport = transport
        self._mesh = mesh
        self._now_ms = now_ms
        self._counted: dict[str, _Counted] = {}

    def live_peers(self, room: str) -> Sequence[Peer]:
        """Bound live peers that are joined to the room, by did. Raises RemoteProtocolError ``room.mismatch``."""
        mesh, now = self._mesh(room), self._now_ms()
        counted = self._counted.get(room)
        if counted is None or not self._is_fresh(counted, mesh, now):
            peers = tuple(peer for peer in mesh.live_peers(now) if self.is_joined(room, peer))
            counted = _Counted(now, mesh.presence_changes, peers)
            if self._transport.online:  # before that nobody knows who is joined
                self._counted[room] = counted
        return counted.peers

    def hearing(self, room: str, address: str) -> Sequence[Peer]:
        """Those of them that hear what is said at this address: the room may be on other transports, too."""
        way = self._transport.towards(address)
        return [
            peer
            for peer in self.live_peers(room)
            if way is None or any(way.is_member(room, own) for own in peer.addresses)
        ]

    @staticmethod
    def _is_fresh(counted: _Counted, mesh: Mesh, now_ms: int) -> bool:
        same = counted.presence_changes == mesh.presence_changes
        return 0 <= now_ms - counted.at_ms < (_FRESH_MS if same else len(counted.peers) // _COUNTED_IN_A_MS)

    def has_left(self, room: str, did: str) -> bool:
        """Whether a peer that was here is not joined any more, by the word of who is joined itself."""
        peer = self._mesh(room).peers.get(did)
        if peer is None or not peer.addresses or self.is_joined(room, peer):
            return False
        # Where we are not ourselves, or not yet, we cannot tell who is.
        ways = {way.name: way for address in peer.addresses if (way := self._transport.towards(address)) is not None}
        return bool(ways) and all(way.is_member(room, way.address) for way in ways.values())

    def is_joined(self, room: str, peer: Peer) -> bool:
        """Whether an account that the peer has proven is joined to the room."""
        return any(self._transport.is_member(room, address) for address in peer.addresses)
