"""What arrived, each event once, and the position every transport has reached.

Both what waits and what was handled are bounded in rows and bytes; whoever sent most makes room.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from bots.complaints import Complaints
from bots.database import Database
from bots.fair_memory import FairMemory
from bots.transports import Delivery

log = logging.getLogger(__name__)

_COLUMNS = "transport, plane, room, sender, event_id, event, received_ms, live"
_PAGE = 500  # rows read at a time, so that a long history never stands in memory as a whole
_FORGOTTEN_AT_ONCE = 100  # rows
HANDLED_BYTES: Final = 64 << 20  # as many as a fold holds of tasks
WAITING: Final = 20_000
WAITING_BYTES: Final = 256 << 20
_BATCH_BYTES = 256 << 10  # some 50 ms of work: others get their turn after it


class InboxRows:
    """The inbox of one store; ``keep`` bounds how many handled deliveries are remembered.

    What is handled is numbered in that order. Numbers up to ``forgotten`` may have been given up in this run.
    """

    def __init__(self, database: Database, keep: int) -> None:
        self._database = database
        self._kept = FairMemory[int](keep, HANDLED_BYTES)
        self._waiting = FairMemory[int](WAITING, WAITING_BYTES)
        self._loaded = False
        self._number = 0  # of what was handled last
        self._excess: list[int] = []  # handled rows that are to be deleted
        self._subscribers: list[Callable[[], None]] = []
        self._followers: list[Callable[[], None]] = []
        self._complaints = Complaints(log, lambda: time.monotonic_ns() // 1_000_000)
        self.forgotten = 0

    def follow(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._followers.append(callback)
        return lambda: self._followers.remove(callback) if callback in self._followers else None

    def subscribe(self, callback: Callable[[], None]) -> None:
        self._subscribers.append(callback)

    def append(self, deliveries: Sequence[Delivery]) -> None:
        self._load()
        with self._database.transaction():
            stored = [
                (seq, _owner(delivery.transport, delivery.sender), len(delivery.event.encode()))
                for delivery in deliveries
                if (seq := self._insert(delivery))
            ]
            if not stored:
                return
            self._database.after_commit(lambda: self._await(stored))
            for callback in self._subscribers:
                self._database.after_commit(callback)

    def commit(self, transport: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        with self._database.transaction(durable=durable):
            self.append(deliveries)
            self._database.execute(
                "INSERT INTO positions VALUES (?, ?)"
                " ON CONFLICT (transport) DO UPDATE SET position = excluded.position",
                (transport, position),
            )

    def position(self, transport: str) -> str | None:
        found = self._database.value("SELECT position FROM positions WHERE transport = ?", (transport,))
        return None if found is None else str(found)

    def had(self, transport: str, events: Collection[str]) -> set[str]:
        marks = ", ".join("?" * len(events))
        rows = self._database.rows(
            f"SELECT event_id FROM inbox WHERE transport = ? AND event_id <> '' AND event_id IN ({marks})",
            (transport, *events),
        )
        return {str(event_id) for (event_id,) in rows}

    def unhandled(self, limit: int, transports: Collection[str] | None) -> list[tuple[int, Delivery]]:
        chosen, seqs = "handled = 0", tuple[int, ...]()
        if limit >= 0:
            self._load()
            wanted = _anybody if transports is None else lambda owner: owner.partition(" ")[0] in transports
            seqs = tuple(self._waiting.in_turn(limit, _BATCH_BYTES, wanted))
            chosen = f"seq IN ({', '.join('?' * len(seqs))})"
        rows = self._database.rows(f"SELECT seq, {_COLUMNS} FROM inbox WHERE {chosen} ORDER BY seq", seqs)
        return [_delivery(row) for row in rows]

    def transports_waiting(self) -> set[str]:
        rows = self._database.rows("SELECT DISTINCT transport FROM inbox WHERE handled = 0")
        return {str(transport) for (transport,) in rows}

    def waiting(self) -> int:
        return int(self._database.value("SELECT count(*) FROM inbox WHERE handled = 0"))

    def handled(self, seqs: Iterable[int]) -> None:
        self._load()
        done = list(seqs)
        with self._database.transaction():
            for seq in done:
                self._number += 1
                self._database.execute("UPDATE inbox SET handled = ? WHERE seq = ?", (self._number, seq))
            self._database.after_commit(lambda: self._keep(done))
            for callback in self._followers:
                self._database.after_commit(callback)

    def forget(self, seqs: Iterable[int]) -> None:
        self._load()
        gone = list(seqs)
        with self._database.transaction():
            self._delete(gone)
            self._database.after_commit(lambda: self._drop(gone))

    def newest(self, count: int) -> int:
        found = self._database.value(
            "SELECT handled FROM inbox WHERE handled > 0 ORDER BY handled DESC LIMIT 1 OFFSET ?", (count,)
        )
        return 0 if found is None else int(found)

    def history(self, after: int) -> Iterator[tuple[int, Delivery]]:
        last = after
        while True:
            rows = self._database.rows(
                f"SELECT handled, {_COLUMNS} FROM inbox WHERE handled > ? ORDER BY handled LIMIT ?",
                (max(0, last), _PAGE),
            )
            if not rows:
                return
            last = rows[-1][0]
            yield from map(_delivery, rows)

    def _insert(self, delivery: Delivery) -> int:
        """The sequence number, 0 if it is there already."""
        cursor = self._database.execute(
            f"INSERT OR IGNORE INTO inbox ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                delivery.transport,
                delivery.plane,
                delivery.room,
                delivery.sender,
                delivery.event_id,
                delivery.event,
                delivery.received_ms,
                int(delivery.live),
            ),
        )
        return int(cursor.lastrowid or 0) if cursor.rowcount else 0

    # --- bounds: what memory knows of the rows, changed once a transaction is committed ---

    def _load(self) -> None:
        """Learn what rows there are, before the first of them changes."""
        if self._loaded:
            return
        self._loaded = True
        rows = "SELECT seq, transport || ' ' || sender, length(CAST(event AS BLOB)) FROM inbox"
        for seq, owner, size in self._database.rows(f"{rows} WHERE handled > 0 ORDER BY handled"):
            self._excess += self._kept.add(seq, owner, size)
        self._await(self._database.rows(f"{rows} WHERE handled = 0 ORDER BY seq"))
        self._number = int(self._database.value("SELECT coalesce(max(handled), 0) FROM inbox"))

    def _await(self, stored: Iterable[tuple[Any, ...]]) -> None:
        """Rows, each with its owner and bytes, are to be handled."""
        dropped = [seq for row in stored for seq in self._waiting.add(*row)]
        if dropped:
            text = "More arrives than can be handled: %d events are dropped unread"
            self._complaints.say(logging.WARNING, "", text, len(dropped), extra={})
            with self._database.transaction(durable=False):
                self._delete(dropped)

    def _keep(self, handled: Sequence[int]) -> None:
        for seq in handled:
            self._excess += self._kept.add(seq, *self._waiting.discard(seq))
        if len(self._excess) < _FORGOTTEN_AT_ONCE:
            return
        excess, self._excess = self._excess, []
        marks = ", ".join("?" * len(excess))
        last = self._database.value(f"SELECT max(handled) FROM inbox WHERE seq IN ({marks})", tuple(excess))
        self.forgotten = max(self.forgotten, last or 0)
        with self._database.transaction(durable=False):
            self._delete(excess)

    def _drop(self, gone: Sequence[int]) -> None:
        for seq in gone:
            self._waiting.discard(seq)
            self._kept.discard(seq)

    def _delete(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            self._database.execute("DELETE FROM inbox WHERE seq = ?", (seq,))


def _owner(transport: str, sender: str) -> str:
    """Whose a row is: an address is of one transport."""
    return f"{transport} {sender}"


def _anybody(_owner: str) -> bool:
    return True


def _delivery(row: tuple[Any, ...]) -> tuple[int, Delivery]:
    seq, transport, plane, room, sender, event_id, event, received_ms, live = row
    return seq, Delivery(
        transport=transport,
        plane=plane,
        room=room,
        sender=sender,
        event_id=event_id,
        event=event,
        received_ms=received_ms,
        live=bool(live),
    )
