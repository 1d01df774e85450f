"""What arrived, each event once, and the position every transport has reached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from bots.store.database import Database
from bots.transports import Delivery

_COLUMNS = "transport, plane, room, sender, event_id, event, received_ms, live"
_PAGE = 500  # rows read at a time, so that a long history never stands in memory as a whole
_PRUNE_EVERY = 500  # new rows between two looks at the bound


class InboxRows:
    """The inbox of one store; ``keep`` bounds how many handled deliveries are remembered.

    Sequence numbers up to ``forgotten`` may have been given up in this run.
    """

    def __init__(self, database: Database, keep: int) -> None:
        self._database = database
        self._keep = keep
        self._since_prune = _PRUNE_EVERY
        self._subscribers: list[Callable[[], None]] = []
        self._followers: list[Callable[[], None]] = []
        self.forgotten = 0

    def follow(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._followers.append(callback)
        return lambda: self._followers.remove(callback) if callback in self._followers else None

    def subscribe(self, callback: Callable[[], None]) -> None:
        self._subscribers.append(callback)

    def append(self, deliveries: Sequence[Delivery]) -> None:
        with self._database.transaction():
            stored = sum(self._insert(delivery) for delivery in deliveries)
            if not stored:
                return
            self._since_prune += stored
            if self._since_prune >= _PRUNE_EVERY:
                self._prune()
                self._since_prune = 0
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

    def unhandled(self, limit: int) -> list[tuple[int, Delivery]]:
        rows = self._database.rows(
            f"SELECT seq, {_COLUMNS} FROM inbox WHERE handled = 0 ORDER BY seq LIMIT ?", (limit,)
        )
        return [_delivery(row) for row in rows]

    def waiting(self) -> int:
        return int(self._database.value("SELECT count(*) FROM inbox WHERE handled = 0"))

    def handled(self, seqs: Iterable[int]) -> None:
        with self._database.transaction():
            for seq in seqs:
                self._database.execute("UPDATE inbox SET handled = 1 WHERE seq = ?", (seq,))
            for callback in self._followers:
                self._database.after_commit(callback)

    def forget(self, seqs: Iterable[int]) -> None:
        with self._database.transaction():
            for seq in seqs:
                self._database.execute("DELETE FROM inbox WHERE seq = ?", (seq,))

    def newest(self, count: int) -> int:
        found = self._database.value(
            "SELECT seq FROM inbox WHERE handled = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?", (count,)
        )
        return 0 if found is None else int(found)

    def history(self, after: int) -> Iterator[tuple[int, Delivery]]:
        last = after
        while True:
            rows = self._database.rows(
                f"SELECT seq, {_COLUMNS} FROM inbox WHERE handled = 1 AND seq > ? ORDER BY seq LIMIT ?",
                (last, _PAGE),
            )
            if not rows:
                return
            last = rows[-1][0]
            yield from map(_delivery, rows)

    def _insert(self, delivery: Delivery) -> int:
        return self._database.execute(
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
        ).rowcount

    def _prune(self) -> None:
        oldest_kept = self._database.value(
            "SELECT seq FROM inbox WHERE handled = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?", (self._keep - 1,)
        )
        if oldest_kept is not None:
            self._database.execute("DELETE FROM inbox WHERE handled = 1 AND seq < ?", (oldest_kept,))
            self.forgotten = max(self.forgotten, oldest_kept - 1)


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
