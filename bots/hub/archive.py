"""What was said in the rooms of a hub, and what waits for its peers: one SQLite file, bounded in every direction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec

from bots.database import Database
from bots.hub.keys import Keys
from bots.hub.members import Members
from bots.hub.schema import SCHEMA

_PRUNE_AT_ONCE: Final = 64  # events
_PAGE_BYTES: Final = 1 << 18


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, at most. Of a network address: what it began, announced or changed to."""

    rooms: int = 256
    rooms_of_network: int = 16
    room_events: int = 20_000
    room_bytes: int = 64 << 20  # of carriers
    room_age_ms: int = 30 * 86_400_000
    room_silence_ms: int = 86_400_000  # after it a room makes place for another one
    members: int = 4096  # of a room
    members_of_network: int = 512
    keys: int = 65_536  # that were changed to, or revoked
    keys_of_network: int = 1024
    keys_passing: int = 0  # identities whose keys are remembered for a while where there is no space
    queue_events: int = 1_000  # of a peer
    queue_bytes: int = 8 << 20
    queue_age_ms: int = 3_600_000


_USUAL: Final = Bounds()


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a room, or one that waits for a peer."""

    id: str
    sender: str  # address
    received_ms: int
    carriers: msgspec.Raw  # JSON array


class Page(msgspec.Struct, frozen=True):
    """Events, oldest first, and the position behind them."""

    said: list[Said]
    position: str
    more: bool  # there are further ones


class Unknown(Exception):
    """An event id that this archive does not know (any more)."""


class Archive:
    """The file at ``path``; one process at a time. Raises StoreError, here and in every method."""

    def __init__(self, path: Path, bounds: Bounds = _USUAL) -> None:
        self.path = path
        self._database = Database(path, SCHEMA)
        self._bounds = bounds
        self.keys = Keys(self._database, bounds.keys, bounds.keys_of_network, bounds.keys_passing)
        self.members = Members(self._database, bounds.members, bounds.members_of_network)
        self._epoch = self._database.value("SELECT epoch FROM hub")
        if self._epoch is None:
            self._epoch = secrets.token_hex(4)
            self._database.execute("INSERT INTO hub (epoch) VALUES (?)", (self._epoch,))

    def close(self) -> None:
        self._database.close()

    def transaction(self) -> AbstractContextManager[None]:
        """What is written inside is kept as a whole, or not at all."""
        return self._database.transaction()

    def append(
        self,
        place: str,
        sender: str,
        carriers: Sequence[tuple[str, bytes]],
        now_ms: int,
        *,
        queue: bool = False,
        network: str = "",
    ) -> str:
        """Keep one event and return its id. ``carriers`` are (message id, text); ``queue``: it waits for a peer.

        ``network`` is where it came from.
        """
        text = b"[" + b",".join(text for _, text in carriers) + b"]"
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO places (place, queue, network, heard_ms, events, bytes, forgotten)"
                " SELECT ?, ?, ?, ?, 1, ?, forgotten FROM hub WHERE true ON CONFLICT (place) DO UPDATE"
                " SET heard_ms = excluded.heard_ms, events = events + 1, bytes = bytes + excluded.bytes",
                (place, queue, network, now_ms, len(text)),
            )
            seq = self._database.execute(
                "INSERT INTO events (place, sender, received_ms, bytes, carriers) VALUES (?, ?, ?, ?, ?)",
                (place, sender, now_ms, len(text), text.decode()),
            ).lastrowid
            assert seq is not None
            for message, _ in carriers:
                self._database.execute(
                    "INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?)", (place, message, sender, seq)
                )
            self._prune(place, now_ms, _PRUNE_AT_ONCE)
            self._drop_silent(now_ms)
        return self._id(seq)

    def known(self, place: str, message: str, sender: str) -> str:
        """The event in which this sender has said this message here, "" if it is not there."""
        seq = self._database.value(
            "SELECT seq FROM messages WHERE place = ? AND id = ? AND sender = ?", (place, message, sender)
        )
        return "" if seq is None else self._id(seq)

    def may_say(self, room: str, network: str, now_ms: int) -> bool:
        """Whether it is there, or there is space for one more: the oldest silent one makes place."""
        if self._database.value("SELECT 1 FROM places WHERE place = ?", (room,)) is not None:
            return True
        bounds = self._bounds
        begun = self._database.value("SELECT count(*) FROM places WHERE queue = 0 AND network = ?", (network,))
        if begun >= bounds.rooms_of_network:
            return False
        rooms = self._database.value("SELECT count(*) FROM places WHERE queue = 0")
        if rooms < bounds.rooms:
            return True
        return self._drop_one(queue=False, before_ms=now_ms - bounds.room_silence_ms)

    def after(self, place: str, position: str, limit: int, now_ms: int) -> Page:
        """Events behind a position; "" is the oldest that is kept. Raises Unknown."""
        seq = self._seq(position)
        self._prune(place, now_ms)
        if position and seq < self._forgotten(place):
            raise Unknown(position)
        sizes = self._database.rows(
            "SELECT seq, bytes FROM events WHERE place = ? AND seq > ? ORDER BY seq LIMIT ?", (place, seq, limit + 1)
        )
        if not sizes:
            # All there is was read: the newest event is the position that stays known for longest.
            return Page([], position or self._id(self._newest()), more=False)
        totals = list(accumulate(size for _, size in sizes))
        count = max(1, sum(total <= _PAGE_BYTES for total in totals[:limit]))
        last = sizes[count - 1][0]
        rows = self._database.rows(
            "SELECT seq, sender, received_ms, carriers FROM events"
            " WHERE place = ? AND seq BETWEEN ? AND ? ORDER BY seq",
            (place, seq + 1, last),
        )
        said = [
            Said(id=self._id(seq), sender=sender, received_ms=received_ms, carriers=msgspec.Raw(carriers))
            for seq, sender, received_ms, carriers in rows
        ]
        return Page(said, self._id(last), more=count < len(sizes))

    def read(self, place: str, position: str) -> None:
        """Forget what lies at or before a position of a peer. Raises Unknown."""
        seq = self._seq(position)
        with self._database.transaction():
            self._delete(place, seq)

    # -- bounds ----------------------------------------------------------------------------------------------

    def _prune(self, place: str, now_ms: int, most: int = -1) -> None:
        """Forget what is too old there, and the oldest of what is too much; ``most`` events, -1 for all."""
        bounds = self._bounds
        found = self._database.rows(
            "SELECT queue, places.events, places.bytes, received_ms FROM places JOIN events USING (place)"
            " WHERE place = ? ORDER BY seq LIMIT 1",
            (place,),
        )
        if not found:
            return
        queue, events, size, oldest_ms = found[0]
        events_most = bounds.queue_events if queue else bounds.room_events
        bytes_most = bounds.queue_bytes if queue else bounds.room_bytes
        since_ms = now_ms - (bounds.queue_age_ms if queue else bounds.room_age_ms)
        if events <= events_most and size <= bytes_most and oldest_ms >= since_ms:
            return
        last = 0
        for seq, length, received_ms in self._database.rows(
            "SELECT seq, bytes, received_ms FROM events WHERE place = ? ORDER BY seq LIMIT ?", (place, most)
        ):
            if events <= events_most and size <= bytes_most and received_ms >= since_ms:
                break
            last, events, size = seq, events - 1, size - length
        if last:
            with self._database.transaction():
                self._delete(place, last)
                self._database.execute("UPDATE places SET forgotten = ? WHERE place = ?", (last, place))

    def _delete(self, place: str, last: int) -> None:
        """Delete the events of a place up to one."""
        count, size = self._database.rows(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM events WHERE place = ? AND seq <= ?", (place, last)
        )[0]
        if count:
            self._database.execute("DELETE FROM events WHERE place = ? AND seq <= ?", (place, last))
            self._database.execute(
                "UPDATE places SET events = events - ?, bytes = bytes - ? WHERE place = ?", (count, size, place)
            )

    def _drop_silent(self, now_ms: int) -> None:
        """Of rooms and of queues one of which nothing is young enough, if there is one."""
        self._drop_one(queue=False, before_ms=now_ms - self._bounds.room_age_ms)
        self._drop_one(queue=True, before_ms=now_ms - self._bounds.queue_age_ms)

    def _drop_one(self, *, queue: bool, before_ms: int) -> bool:
        """Drop the place of a kind that is silent for longest, if it is so since before that time."""
        place = self._database.value(
            "SELECT place FROM places WHERE queue = ? AND heard_ms < ? ORDER BY heard_ms LIMIT 1", (queue, before_ms)
        )
        if place is None:
            return False
        with self._database.transaction():
            last = self._database.value("SELECT max(seq) FROM events WHERE place = ?", (place,)) or 0
            self._database.execute(
                "UPDATE hub SET forgotten = max(forgotten, ?, (SELECT forgotten FROM places WHERE place = ?))",
                (last, place),
            )
            self._database.execute("DELETE FROM events WHERE place = ?", (place,))
            self._database.execute("DELETE FROM places WHERE place = ?", (place,))
        return True

    def _forgotten(self, place: str) -> int:
        """Up to which event something was dropped there."""
        found = self._database.value("SELECT forgotten FROM places WHERE place = ?", (place,))
        return int(self._database.value("SELECT forgotten FROM hub") if found is None else found)

    def _newest(self) -> int:
        return int(self._database.value("SELECT seq FROM sqlite_sequence WHERE name = 'events'") or 0)

    def _id(self, seq: int) -> str:
        return f"{self._epoch}-{seq}"

    def _seq(self, position: str) -> int:
        if not position:
            return 0
        epoch, _, number = position.partition("-")
        digits = number.isascii() and number.isdigit() and len(number) < 19
        if epoch != self._epoch or not digits or int(number) > self._newest():
            raise Unknown(position)
        return int(number)
