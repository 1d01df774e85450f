"""The rows of what waits to be sent: entries, and the batches they have been put into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from bots.database import Database
from bots.transports import Plane


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message to send: a carrier with the line people read, or that line alone."""

    plane: Plane
    room: str = ""  # room URI, on the room plane
    address: str = ""  # recipient's address URI, on the direct plane
    device: str = ""  # recipient's device, on the direct plane
    carrier: str = ""  # JSON text; "" for words to people alone
    line: str = ""  # what people read
    conversation: str = ""  # what it belongs to: all of one stand in one thread; "" for none
    root: str = ""  # the thread's root event, where it is known
    alone: bool = False  # never shares an event with others
    priority: int = 0  # lower goes first
    mention: str = ""  # address URI of a person to notify
    expires_ms: int = 0  # Unix milliseconds after which it need not be sent any more; 0: never


class Lane(msgspec.Struct, frozen=True):
    """One destination: what goes there goes in order."""

    plane: Plane
    room: str
    address: str
    device: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that travel as one event, committed with their transaction id before the first try."""

    id: int
    txn: str
    lane: Lane
    root: str
    server_errors: int  # how often the other side has failed on it
    entries: tuple[tuple[int, Entry], ...]  # (row, entry), in order


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that the other side will never take, and why."""

    lane: Lane
    reason: str
    entries: tuple[Entry, ...]


REFUSED_KEPT = 1_000

_LANE = "plane, room, address, device"
_FIELDS = "carrier, line, conversation, root, alone, priority, mention, expires_ms"
_IN_LANE = "transport = ? AND plane = ? AND room = ? AND address = ? AND device = ?"


class Outgoing:
    """The outbox rows of one store; the deciding is done in ``bots.outbox``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, transport: str, entries: Sequence[Entry], now_ms: int) -> list[int]:
        """Store entries; gives the row of each."""
        rows = []
        with self._database.transaction():
            for entry in entries:
                row = self._database.execute(
                    f"INSERT INTO outbox (transport, {_LANE}, {_FIELDS}, added_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (transport, *msgspec.structs.astuple(entry), now_ms),
                ).lastrowid
                assert row is not None
                rows.append(row)
        return rows

    def lanes(self, transport: str) -> list[Lane]:
        """The destinations something waits for: the most urgent first, then the oldest."""
        rows = self._database.rows(
            f"SELECT {_LANE} FROM outbox LEFT JOIN"
            " (SELECT id AS batch_id, state FROM batches) ON batch = batch_id"
            " WHERE transport = ? AND (batch IS NULL OR state = 'open')"
            f" GROUP BY {_LANE} ORDER BY min(priority), min(id)",
            (transport,),
        )
        return [Lane(*row) for row in rows]

    def open_batch(self, transport: str, lane: Lane) -> Batch | None:
        """The batch of this lane that was formed and is not known to have been taken."""
        rows = self._database.rows(
            f"SELECT id, txn, root, server_errors FROM batches WHERE {_IN_LANE} AND state = 'open' ORDER BY id LIMIT 1",
            (transport, *msgspec.structs.astuple(lane)),
        )
        if not rows:
            return None
        batch, txn, root, server_errors = rows[0]
        entries = self._database.rows(
            f"SELECT id, {_LANE}, {_FIELDS} FROM outbox WHERE batch = ? ORDER BY id", (batch,)
        )
        return Batch(
            id=batch,
            txn=txn,
            lane=lane,
            root=root,
            server_errors=server_errors,
            entries=tuple(_entry(row) for row in entries),
        )

    def waiting(self, transport: str, lane: Lane, limit: int) -> list[tuple[int, Entry]]:
        """Entries of a lane that are in no batch: the most urgent first, then the oldest."""
        rows = self._database.rows(
            f"SELECT id, {_LANE}, {_FIELDS} FROM outbox WHERE batch IS NULL AND {_IN_LANE}"
            " ORDER BY priority, id LIMIT ?",
            (transport, *msgspec.structs.astuple(lane), limit),
        )
        return [_entry(row) for row in rows]

    def form(self, transport: str, lane: Lane, txn: str, root: str, entries: Sequence[tuple[int, Entry]]) -> Batch:
        """Put entries into a batch of their own."""
        with self._database.transaction():
            batch = self._database.execute(
                f"INSERT INTO batches (transport, txn, {_LANE}, root) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (transport, txn, *msgspec.structs.astuple(lane), root),
            ).lastrowid
            assert batch is not None
            for row, _entry in entries:
                self._database.execute("UPDATE outbox SET batch = ? WHERE id = ?", (batch, row))
        return Batch(id=batch, txn=txn, lane=lane, root=root, server_errors=0, entries=tuple(entries))

    def sent(self, batch: Batch) -> None:
        """Forget a batch that was taken."""
        # Its entries go with it, by the foreign key.
        self._database.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def server_error(self, batch: Batch) -> int:
        """Count a failure of the other side; gives how many there were."""
        with self._database.transaction():
            self._database.execute("UPDATE batches SET server_errors = server_errors + 1 WHERE id = ?", (batch.id,))
            count = self._database.value("SELECT server_errors FROM batches WHERE id = ?", (batch.id,))
        return int(count)

    def refuse(self, batch: Batch, reason: str) -> None:
        """Set a batch aside for good; the newest ``REFUSED_KEPT`` are kept to be looked at."""
        with self._database.transaction():
            self._database.execute("UPDATE batches SET state = 'refused', reason = ? WHERE id = ?", (reason, batch.id))
            self._database.execute(
                "DELETE FROM batches WHERE state = 'refused' AND id NOT IN"
                " (SELECT id FROM batches WHERE state = 'refused' ORDER BY id DESC LIMIT ?)",
                (REFUSED_KEPT,),
            )

    def dissolve(self, batch: Batch) -> None:
        """Let every entry of a batch go by itself instead."""
        with self._database.transaction():
            self._database.execute("UPDATE outbox SET batch = NULL, alone = 1 WHERE batch = ?", (batch.id,))
            self._database.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def expired(self, transport: str, now_ms: int) -> list[int]:
        """The rows of what need not be sent any more, at this time of the wall clock."""
        rows = self._database.rows(
            "SELECT outbox.id FROM outbox LEFT JOIN batches ON batch = batches.id"
            " WHERE outbox.transport = ? AND state IS NOT 'refused' AND expires_ms > 0 AND expires_ms <= ?",
            (transport, now_ms),
        )
        return [row for (row,) in rows]

    def drop(self, transport: str, expired: Collection[int]) -> list[int]:
        """Forget these rows; gives those that are forgotten.

        A batch goes only as a whole: a retry must be the event the first try may have made.
        """
        if not expired:
            return []
        batches: dict[int | None, list[int]] = {}
        for batch, row in self._database.rows(
            "SELECT batch, outbox.id FROM outbox LEFT JOIN batches ON batch = batches.id"
            " WHERE outbox.transport = ? AND state IS NOT 'refused'",
            (transport,),
        ):
            batches.setdefault(batch, []).append(row)
        dropped = [row for row in batches.pop(None, []) if row in expired]
        with self._database.transaction():
            for row in dropped:
                self._database.execute("DELETE FROM outbox WHERE id = ?", (row,))
            for batch, rows in batches.items():
                if all(row in expired for row in rows):
                    self._database.execute("DELETE FROM batches WHERE id = ?", (batch,))
                    dropped += rows
        return dropped

    def forget_others(self, transports: Collection[str], now_ms: int) -> None:
        """Forget what was to go by other transports than these, and has expired or is words alone."""
        marks = ", ".join("?" * len(transports))
        with self._database.transaction():
            self._database.execute(
                f"DELETE FROM outbox WHERE batch IS NULL AND expires_ms <= ? AND transport NOT IN ({marks})",
                (now_ms, *transports),
            )
            self._database.execute(
                "DELETE FROM batches WHERE state <> 'refused' AND id NOT IN"
                " (SELECT batch FROM outbox WHERE batch IS NOT NULL AND expires_ms > ?)"
                f" AND transport NOT IN ({marks})",
                (now_ms, *transports),
            )

    def counts(self, transport: str) -> tuple[int, int | None, int]:
        """(entries queued, Unix milliseconds of the oldest or None, entries refused)."""
        rows = self._database.rows(
            "SELECT count(*) FILTER (WHERE state IS NOT 'refused'),"
            " min(added_ms) FILTER (WHERE state IS NOT 'refused'),"
            " count(*) FILTER (WHERE state = 'refused')"
            " FROM outbox LEFT JOIN (SELECT id AS batch_id, state FROM batches) ON batch = batch_id"
            " WHERE transport = ?",
            (transport,),
        )
        queued, oldest_ms, refused = rows[0]
        return queued, oldest_ms, refused

    def carriers(self, transport: str) -> list[str]:
        """The carriers for rooms that are queued, in order: part of our state before the room has them."""
        rows = self._database.rows(
            "SELECT carrier FROM outbox LEFT JOIN (SELECT id AS batch_id, state FROM batches) ON batch = batch_id"
            " WHERE transport = ? AND plane = 'room' AND carrier <> '' AND state IS NOT 'refused' ORDER BY id",
            (transport,),
        )
        return [str(row[0]) for row in rows]

    def refusals(self, transport: str) -> list[Refusal]:
        """What was set aside, oldest first."""
        batches = self._database.rows(
            f"SELECT id, reason, {_LANE} FROM batches WHERE transport = ? AND state = 'refused' ORDER BY id",
            (transport,),
        )
        refusals = []
        for batch, reason, *lane in batches:
            rows = self._database.rows(
                f"SELECT id, {_LANE}, {_FIELDS} FROM outbox WHERE batch = ? ORDER BY id", (batch,)
            )
            entries = tuple(_entry(row)[1] for row in rows)
            refusals.append(Refusal(lane=Lane(*lane), reason=reason, entries=entries))
        return refusals


def _entry(row: tuple[Any, ...]) -> tuple[int, Entry]:
    number, plane, room, address, device, carrier, line, conversation, root, alone, *rest = row
    priority, mention, expires_ms = rest
    return number, Entry(
        plane=plane,
        room=room,
        address=address,
        device=device,
        carrier=carrier,
        line=line,
        conversation=conversation,
        root=root,
        alone=bool(alone),
        priority=priority,
        mention=mention,
        expires_ms=expires_ms,
    )
