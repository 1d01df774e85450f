"""Who is in one room of a hub, as its stream tells (spec/bindings/http.md, HTTP-13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

MEMBERS_MOST: Final = 10_000  # of a room: more than that are not remembered

KINDS: Final = frozenset({"members", "joined", "left"})


class Told(msgspec.Struct, frozen=True):
    """What ``data`` of such an event holds."""

    members: tuple[str, ...]
    more: bool = False


class Members:
    """The members of one room. ``valid`` tells which texts are addresses at this hub; others are nobody's."""

    def __init__(self, valid: Callable[[str], bool]) -> None:
        self._valid = valid
        self._now: set[str] = set()
        self._coming: set[str] = set()  # a list that came in part
        self.known = False  # whether a whole list was ever told

    def __contains__(self, address: str) -> bool:
        return address in self._now

    def __len__(self) -> int:
        return len(self._now)

    def reopen(self) -> None:
        """A stream begins anew: what came of a list in the one before counts for nothing."""
        self._coming = set()

    def take(self, kind: str, told: Told) -> None:
        """One event of ``KINDS``."""
        if kind == "left":
            self._now.difference_update(told.members)
        elif kind == "joined":
            self._add(self._now, told.members)
        else:
            self._add(self._coming, told.members)
            if not told.more:
                self._now, self._coming, self.known = self._coming, set(), True

    def _add(self, to: set[str], addresses: Iterable[str]) -> None:
        for address in addresses:
            if len(to) < MEMBERS_MOST and self._valid(address):
                to.add(address)
