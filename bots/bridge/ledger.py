"""What a bridge remembers: which messages it has seen where, and what it has yet to carry (spec/18-bridging.md).

All of it is on disk and bounded; whoever brought most makes room. Keys are free: those who are new have half of what
there is, however many they are. Methods raise StoreError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

import msgspec

from bots.database import Database
from bots.store import Entry


class Copy(IntEnum):
    """The best copy of a message on a side (BR-3)."""

    ANYBODYS = 0
    OURS = 1
    COUNTS = 2


_TABLES: Final = (
    # ``owner`` is the address that brought it, ``copy`` a ``Copy``.
    """
    CREATE TABLE IF NOT EXISTS bridge_seen (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        message TEXT NOT NULL,
        side TEXT NOT NULL,
        owner TEXT NOT NULL,
        copy INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL,
        UNIQUE (message, side)
    ) STRICT
    """,
    "CREATE INDEX IF NOT EXISTS bridge_seen_owner ON bridge_seen (owner, seq)",
    # For each side what is to be carried there, in the order of ``turn``. ``context`` was said before we came.
    """
    CREATE TABLE IF NOT EXISTS bridge_waiting (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        side TEXT NOT NULL,
        message TEXT NOT NULL,
        owner TEXT NOT NULL,
        newcomer INTEGER NOT NULL,
        turn INTEGER NOT NULL,
        due_ms INTEGER NOT NULL,
        context INTEGER NOT NULL,
        task TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        entry TEXT NOT NULL,
        UNIQUE (side, message)
    ) STRICT
    """,
    "CREATE INDEX IF NOT EXISTS bridge_waiting_turn ON bridge_waiting (side, newcomer, turn, seq)",
    "CREATE INDEX IF NOT EXISTS bridge_waiting_owner ON bridge_waiting (side, owner, turn)",
)


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, at most."""

    seen: int = 131_072  # pairs of message and side
    forgotten_at_once: int = 1_024
    waiting: int = 2_048  # messages for one side
    waiting_bytes: int = 32 << 20  # of them


_USUAL: Final = Bounds()


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is to be carried."""

    message: str  # its id
    owner: str  # the address that brought it
    task: str  # the id of the task that it belongs to, "" for none
    entry: Entry
    newcomer: bool = False  # whether the owner is new
    context: bool = False  # whether it was said before the bridge came


class Ledger:
    """The tables of one bridge in ``database``. ``hold_ms`` is the longest that a message is held back."""

    def __init__(self, database: Database, hold_ms: int, bounds: Bounds = _USUAL) -> None:
        self._database = database
        self._hold_ms = hold_ms
        self._bounds = bounds
        with database.transaction():
            for statement in _TABLES:
                database.execute(statement)
        self._seen = int(database.value("SELECT count(*) FROM bridge_seen"))

    # -- where a message was seen ----------------------------------------------------------------------------

    def note(self, message: str, side: str, owner: str, copy: Copy, expires_ms: int, now_ms: int) -> bool:
        """Note that a message is on a side (times in Unix milliseconds).

        Returns whether that is new, or new that there is such a good copy.
        """
        with self._database.transaction():
            new = self._database.execute(
                "INSERT OR IGNORE INTO bridge_seen (message, side, owner, copy, expires_ms) VALUES (?, ?, ?, ?, ?)",
                (message, side, owner, int(copy), expires_ms),
            ).rowcount
            better = self._database.execute(
                "UPDATE bridge_seen SET owner = ?1, copy = ?2 WHERE message = ?3 AND side = ?4 AND copy < ?2",
                (owner, int(copy), message, side),
            ).rowcount
            self._seen += new
            if self._seen > self._bounds.seen:
                self._forget(now_ms)
        return bool(new or better)

    def is_noted(self, message: str, side: str, copy: Copy = Copy.ANYBODYS) -> bool:
        """Whether at least such a good copy of a message is on a side, as far as is remembered."""
        found = self._database.value(
            "SELECT 1 FROM bridge_seen WHERE message = ? AND side = ? AND copy >= ?", (message, side, int(copy))
        )
        return found is not None

    def _forget(self, now_ms: int) -> None:
        """First what no copy can bring back, for it has expired; then the oldest of whoever brought most."""
        self._database.execute("DELETE FROM bridge_seen WHERE expires_ms <= ?", (now_ms,))
        self._seen = int(self._database.value("SELECT count(*) FROM bridge_seen"))
        while self._seen > self._bounds.seen - self._bounds.forgotten_at_once:
            owner, _ = self._database.rows(
                "SELECT owner, count(*) FROM bridge_seen GROUP BY owner ORDER BY count(*) DESC, min(seq) LIMIT 1"
            )[0]
            self._seen -= self._database.execute(
                "DELETE FROM bridge_seen WHERE seq IN"
                " (SELECT seq FROM bridge_seen WHERE owner = ? ORDER BY seq LIMIT ?)",
                (owner, self._bounds.forgotten_at_once),
            ).rowcount

    # -- what is to be carried -------------------------------------------------------------------------------

    def add(self, side: str, item: Waiting, due_ms: int) -> int:
        """Let a message wait for a side until then at least. Returns how many were dropped for it.

        The messages of each owner go in their order, and all owners take turns, newcomers among themselves: whoever
        is one remains one while anything of his waits.
        """
        database = self._database
        found = database.value(
            "SELECT newcomer FROM bridge_waiting WHERE side = ? AND owner = ? LIMIT 1", (side, item.owner)
        )
        newcomer = int(item.newcomer) if found is None else int(found)
        text = msgspec.json.encode(item.entry).decode()
        with database.transaction():
            database.execute(
                "INSERT OR IGNORE INTO bridge_waiting"
                " (side, message, owner, newcomer, turn, due_ms, context, task, bytes, entry)"
                " VALUES (?1, ?2, ?3, ?4, max("
                "  coalesce((SELECT min(turn) FROM bridge_waiting WHERE side = ?1 AND newcomer = ?4), 0),"
                "  1 + coalesce((SELECT max(turn) FROM bridge_waiting WHERE side = ?1 AND owner = ?3), -1)"
                # Not before what the same owner said before it, unless a clock was set back meanwhile.
                " ), max(?5, coalesce((SELECT due_ms FROM bridge_waiting WHERE side = ?1 AND owner = ?3"
                "  AND due_ms <= ?5 + ?10 ORDER BY turn DESC LIMIT 1), 0)), ?6, ?7, ?8, ?9)",
                (
                    side, item.message, item.owner, newcomer, due_ms, int(item.context), item.task,
                    len(text.encode()), text, self._hold_ms,
                ),
            )  # fmt: skip
            return self._drop(side)

    def _drop(self, side: str) -> int:
        """Drop the oldest of whoever has most waiting, until the bounds are kept.

        Nobody who is not new drops anything for newcomers, unless more than half of all is of those who are not.
        Names are chosen: where several have as much, the one who came last makes room.
        """
        dropped = 0
        while True:
            count, size = self._database.rows(
                "SELECT count(*), coalesce(sum(bytes), 0) FROM bridge_waiting WHERE side = ?", (side,)
            )[0]
            if count <= self._bounds.waiting and size <= self._bounds.waiting_bytes:
                return dropped
            most = "count(*)" if count > self._bounds.waiting else "sum(bytes)"
            dropped += self._database.execute(
                "DELETE FROM bridge_waiting WHERE seq ="
                " (SELECT min(seq) FROM bridge_waiting WHERE side = ?1 AND owner ="
                "  (SELECT owner FROM bridge_waiting WHERE side = ?1 AND newcomer ="
                "   (SELECT newcomer FROM bridge_waiting WHERE side = ?1"
                f"   GROUP BY newcomer ORDER BY {most} DESC, newcomer DESC LIMIT 1)"
                f"  GROUP BY owner ORDER BY {most} DESC, max(seq) DESC LIMIT 1))",
                (side,),
            ).rowcount

    def withdraw(self, message: str, side: str) -> bool:
        """A message has come to a side by another way. Returns whether it waited for that side."""
        gone = self._database.execute("DELETE FROM bridge_waiting WHERE side = ? AND message = ?", (side, message))
        return bool(gone.rowcount)

    def settle(self, wanted: Callable[[str, str], bool]) -> int:
        """Let what is context be carried as far as it is ``wanted``, by message and task; returns how much is not."""
        rows = self._database.rows("SELECT seq, message, task FROM bridge_waiting WHERE context = 1")
        unwanted = [seq for seq, message, task in rows if not wanted(message, task)]
        with self._database.transaction():
            for seq in unwanted:
                self._database.execute("DELETE FROM bridge_waiting WHERE seq = ?", (seq,))
            self._database.execute("UPDATE bridge_waiting SET context = 0 WHERE context = 1")
        return len(unwanted)

    def take(self, side: str, now_ms: int, most: int) -> Sequence[Entry]:
        """Take what is due, at most so many, half of them of newcomers if need be.

        To be called in the transaction that queues them.
        """
        known, new = (
            self._database.rows(
                # Who set the clock back does not make anything wait longer.
                "SELECT seq, message, owner, entry FROM bridge_waiting"
                " WHERE side = ? AND newcomer = ? AND context = 0 AND (due_ms <= ? OR due_ms > ?)"
                " ORDER BY turn, seq LIMIT ?",
                (side, newcomer, now_ms, now_ms + self._hold_ms, most),
            )
            for newcomer in (0, 1)
        )
        share = max(most - most // 2, most - len(new))
        entries = []
        for seq, message, owner, text in [*known[:share], *new][:most]:
            entry = msgspec.json.decode(text, type=Entry)
            self._database.execute("DELETE FROM bridge_waiting WHERE seq = ?", (seq,))
            self.note(message, side, owner, Copy.OURS, entry.expires_ms, now_ms)
            entries.append(entry)
        return entries

    def waiting(self, side: str) -> int:
        """How many messages wait for a side."""
        return int(self._database.value("SELECT count(*) FROM bridge_waiting WHERE side = ?", (side,)))
