"""Who is new in the room (spec/18-bridging.md, BR-9): keys are free, to have been there for minutes is not."""

from __future__ import annotations

from typing import Final

from clawnet_proto.mesh import Mesh
from clawnet_proto.specification import LIMITS

SETTLED_MS: Final = 5 * 60_000
_REMEMBERED: Final = 4 * LIMITS.peers


class Newcomers:
    """Since when, by our own clock, something comes from the addresses that identities in ``mesh`` have proven."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._since_ms: dict[str, int] = {}  # by address

    def saw(self, address: str, at_ms: int) -> None:
        """Something came from an address at this time (Unix milliseconds), and is folded."""
        if address in self._since_ms or not self._mesh.claimants(address):
            return
        if len(self._since_ms) >= _REMEMBERED:
            self._since_ms = {one: since for one, since in self._since_ms.items() if self._mesh.claimants(one)}
        if len(self._since_ms) < _REMEMBERED:
            self._since_ms[address] = at_ms

    def is_new(self, address: str, now_ms: int) -> bool:
        """Whether nobody who is live now has proven this address, or only of late."""
        since_ms = self._since_ms.get(address)
        if since_ms is None or now_ms - since_ms < SETTLED_MS:
            return True
        return not any(self._mesh.peers[did].live(now_ms) for did in self._mesh.claimants(address))
