"""Which rooms we entered and left: told to whoever owns us, each time once, also over a crash."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from bots.transports import Departure, Room


class Telling:
    """``joined`` is called with each room that we are in anew, ``left`` with each that we take part in no more.

    ``untold`` are the departures that were committed in an earlier run and perhaps not told.
    """

    def __init__(
        self, joined: Callable[[Room], None], left: Callable[[Departure], None], untold: Sequence[Departure]
    ) -> None:
        self._joined = joined
        self._left = left
        self._told: set[str] = set()
        self.untold = [*untold]  # to be committed, and then told

    def tell_left(self) -> bool:
        """Tell of the departures that were not told yet; gives whether there were any. Raises StoreError."""
        told = bool(self.untold)
        while self.untold:
            self._left(self.untold[0])
            del self.untold[0]
        return told

    def tell_joined(self, rooms: Collection[Room]) -> None:
        """Tell of those of our rooms that were not told yet."""
        known = {room.uri: room for room in rooms}
        self._told &= known.keys()
        for uri in known.keys() - self._told:
            self._told.add(uri)
            self._joined(known[uri])
