"""What came before the word that its key is its sender's: kept for a while, for a rotate may come late."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

from bots.bridge.side import Side
from bots.fair_memory import FairMemory
from bots.transports import Delivery

_MOST: Final = 64
_BYTES: Final = 4 << 20


class Arrival(NamedTuple):
    """A carrier that arrived on a side."""

    side: Side
    delivery: Delivery
    carrier: object


class Unproven:
    """Arrivals by whom they claim to be of; whoever brought most makes room."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[str, Arrival]] = {}
        self._shares = FairMemory[int](_MOST, _BYTES)
        self._numbers = itertools.count()

    def keep(self, sender: str, arrival: Arrival) -> None:
        """Keep what is signed for ``sender``, a did, with a key that nothing proves yet."""
        number, delivery = next(self._numbers), arrival.delivery
        self._kept[number] = sender, arrival
        for forgotten in self._shares.add(number, delivery.sender, len(delivery.event)):
            del self._kept[forgotten]

    def release(self, sender: str) -> Sequence[Arrival]:
        """What was kept of somebody, in its order; it is kept no more."""
        numbers = [number for number, (claimed, _) in self._kept.items() if claimed == sender]
        for number in numbers:
            self._shares.discard(number)
        return [self._kept.pop(number)[1] for number in numbers]
