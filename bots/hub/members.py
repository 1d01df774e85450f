"""Who is in the rooms of a hub (spec/bindings/http.md, HTTP-13)."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from bots.database import Database
from bots.hub.schema import OWN

_COUNTS_MS: Final = 6 * 3_600_000  # how long an announce counts at most
_CHANGES: Final = 1024  # that a room remembers for readers who are behind
_ROSTERS: Final = 256  # rooms


class Change(msgspec.Struct, frozen=True):
    """Somebody came or went."""

    address: str
    here: bool


class Roster:
    """The members of one room, and how they changed. A version is how many changes there were before."""

    def __init__(self, until_ms: dict[str, int]) -> None:
        self._until_ms = until_ms  # by address
        self._soonest_ms = 0  # nobody's announce expires before
        self._changes: deque[Change] = deque(maxlen=_CHANGES)
        self.version = 0

    @property
    def addresses(self) -> list[str]:
        return sorted(self._until_ms)

    def __contains__(self, address: str) -> bool:
        return address in self._until_ms

    def note(self, address: str, until_ms: int) -> None:
        """Somebody is here so long; 0: no more."""
        if bool(until_ms) != (address in self._until_ms):
            self._changes.append(Change(address, bool(until_ms)))
            self.version += 1
        if until_ms:
            self._until_ms[address] = until_ms
            self._soonest_ms = min(self._soonest_ms, until_ms)
        else:
            self._until_ms.pop(address, None)

    def expire(self, now_ms: int) -> None:
        """Whose announce has expired is here no more."""
        if now_ms < self._soonest_ms:
            return
        for address in [address for address, until_ms in self._until_ms.items() if until_ms <= now_ms]:
            self.note(address, 0)
        self._soonest_ms = min(self._until_ms.values(), default=now_ms + _COUNTS_MS)

    def since(self, version: int) -> list[Change] | None:
        """What changed since a version, None if that is not known any more."""
        count = self.version - version
        if count > len(self._changes):
            return None
        return [self._changes[index] for index in range(-count, 0)]


class Members:
    """The announces and leaves that count, ``most`` of a room and ``most_of_network`` of those by one network."""

    def __init__(self, database: Database, most: int, most_of_network: int) -> None:
        self._database = database
        self._most = most
        self._most_of_network = most_of_network
        self._rosters: dict[str, Roster] = {}

    def enter(self, room: str, address: str, revision: int, until_ms: int, now_ms: int, network: str) -> bool:
        """An announce was posted that expires then (Unix milliseconds). Returns whether it counts."""
        until_ms = min(until_ms, now_ms + _COUNTS_MS)
        with self._database.transaction():
            old = self._database.value("SELECT revision FROM members WHERE room = ? AND address = ?", (room, address))
            if old is None and network != OWN and not self._space(room, now_ms, network):
                return False
            if old is not None and old >= revision:
                return False
            self._database.execute(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, 1, ?)", (room, address, revision, until_ms, network)
            )
            self._database.after_commit(lambda: self._note(room, address, until_ms))
        return True

    def leave(self, room: str, address: str, revision: int) -> None:
        """A leave was posted. It is kept for as long as the announce that it ends would have counted."""
        with self._database.transaction():
            left = self._database.execute(
                "UPDATE members SET here = 0, revision = ? WHERE room = ? AND address = ? AND revision <= ?",
                (revision, room, address, revision),
            ).rowcount
            if left:
                self._database.after_commit(lambda: self._note(room, address, 0))

    def rotated(self, address: str) -> None:
        """It speaks with another key now, which counts its revisions anew."""
        self._database.execute("UPDATE members SET revision = -1 WHERE address = ?", (address,))

    def revoked(self, address: str) -> None:
        """It says nothing more: it is nowhere."""
        with self._database.transaction():
            rooms = self._database.rows("SELECT room FROM members WHERE address = ? AND here", (address,))
            self._database.execute("UPDATE members SET here = 0 WHERE address = ?", (address,))
            for (room,) in rooms:
                self._database.after_commit(lambda room=room: self._note(room, address, 0))  # type: ignore[misc]

    def roster(self, room: str, now_ms: int) -> Roster:
        """Who is in a room now. It is kept up to date as long as it is asked for."""
        roster = self._rosters.pop(room, None)
        if roster is None:
            rows = self._database.rows(
                "SELECT address, until_ms FROM members WHERE room = ? AND here AND until_ms > ?", (room, now_ms)
            )
            roster = Roster({str(address): int(until_ms) for address, until_ms in rows})
        roster.expire(now_ms)
        self._rosters[room] = roster
        while len(self._rosters) > _ROSTERS:
            del self._rosters[next(iter(self._rosters))]
        return roster

    def is_member(self, address: str, now_ms: int) -> bool:
        """Whether it is one of any room."""
        found = self._database.value(
            "SELECT 1 FROM members WHERE address = ? AND here AND until_ms > ?", (address, now_ms)
        )
        return found is not None

    def _note(self, room: str, address: str, until_ms: int) -> None:
        if roster := self._rosters.get(room):
            roster.note(address, until_ms)

    def _space(self, room: str, now_ms: int, network: str) -> bool:
        self._database.execute("DELETE FROM members WHERE until_ms <= ?", (now_ms,))
        count = self._database.value("SELECT count(*) FROM members WHERE room = ?", (room,))
        own = self._database.value("SELECT count(*) FROM members WHERE room = ? AND network = ?", (room, network))
        return bool(count < self._most and own < self._most_of_network)
