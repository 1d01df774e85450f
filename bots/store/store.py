"""The store as the agent sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bots.database import Database
from bots.errors import StoreError
from bots.store.inbox import InboxRows
from bots.store.outgoing import Outgoing
from bots.store.schema import SCHEMA
from bots.transports import Delivery

HANDLED_KEPT = 20_000
THREADS_KEPT = 20_000
_NO_LIMIT = -1


class Store:
    """One agent's file. All methods are synchronous and may raise ``bots.errors.StoreError``:

    ``store.locked``      another process has it open
    ``store.full``        no space is left; nothing of the failed transaction is kept
    ``store.read_only``   the file or its directory cannot be written
    ``store.damaged``     it is no store, or its pages do not fit together
    ``store.newer``       a newer version wrote it
    ``store.closed``      it was closed before
    ``store.failed``      anything else, with SQLite's words
    """

    def __init__(self, database: Database, keep: int) -> None:
        self._database = database
        self._inbox = InboxRows(database, keep)
        self.outgoing = Outgoing(database)

    @classmethod
    def open(cls, path: Path | str, *, keep: int = HANDLED_KEPT) -> Store:
        """Open or make the store; ``keep`` is how many handled deliveries ``history`` remembers."""
        return cls(Database(Path(path), SCHEMA), keep)

    def close(self) -> None:
        """Give the file free; idempotent."""
        self._database.close()

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """All that is written inside is committed together, or not at all.

        Without ``durable`` a power failure may take it back, unless a durable transaction followed: for what
        would be done again all the same. Nothing may be awaited inside. A transaction inside another one
        belongs to it.
        """
        return self._database.transaction(durable=durable)

    @property
    def durable(self) -> bool:
        """Whether the current transaction is a durable one."""
        return self._database.durable

    def before_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as the last thing inside the current transaction."""
        self._database.before_commit(callback)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the current transaction is committed; at once outside of one."""
        self._database.after_commit(callback)

    def on_fault(self, callback: Callable[[StoreError], None]) -> None:
        """Call ``callback`` with every failure of the file from now on, whoever it is raised to."""
        self._database.on_fault(callback)

    # --- what arrived ---

    def commit(self, transport: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        """Store deliveries and the position they bring the transport to; an event id counts once."""
        self._inbox.commit(transport, deliveries, position, durable=durable)

    def append(self, deliveries: Sequence[Delivery]) -> None:
        """Store deliveries that move no position, e.g. our own direct messages, which never echo."""
        self._inbox.append(deliveries)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after every commit that stored something new in the inbox."""
        self._inbox.subscribe(callback)

    def position(self, transport: str) -> str | None:
        """The last committed position of a transport, None before the first."""
        return self._inbox.position(transport)

    def had(self, transport: str, events: Collection[str]) -> set[str]:
        """Those of at most some hundred events, by id, that were committed and are still kept."""
        return self._inbox.had(transport, events)

    def unhandled(
        self, limit: int = _NO_LIMIT, transports: Collection[str] | None = None
    ) -> list[tuple[int, Delivery]]:
        """What nobody has handled yet, as (sequence number, delivery) in order of arrival.

        With ``limit`` at most so many, of no more bytes than others can wait for: the oldest of each sender, then the
        next oldest of each. With ``transports``, only what came by these.
        """
        return self._inbox.unhandled(limit, transports)

    def transports_waiting(self) -> set[str]:
        """By which transports that came which nobody has handled yet."""
        return self._inbox.transports_waiting()

    @property
    def waiting(self) -> int:
        """How many deliveries nobody has handled yet."""
        return self._inbox.waiting()

    def handled(self, seqs: Iterable[int]) -> None:
        """Mark deliveries as handled."""
        self._inbox.handled(seqs)

    def forget(self, seqs: Iterable[int]) -> None:
        """Keep nothing of deliveries that are not to be folded again."""
        self._inbox.forget(seqs)

    def history(self, after: int = 0) -> Iterator[tuple[int, Delivery]]:
        """The handled deliveries, each with its number, in the order in which they were handled.

        Fold them again at a start, then take ``unhandled``. ``after`` is the number of the last one that is not wanted.
        Others may write while one reads.
        """
        return self._inbox.history(after)

    def newest(self, count: int) -> int:
        """The ``after`` with which ``history`` gives the newest ``count`` handled deliveries."""
        return self._inbox.newest(count)

    def follow(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after every commit that made ``history`` longer; returns what ends that."""
        return self._inbox.follow(callback)

    @property
    def forgotten(self) -> int:
        """The greatest number that ``history`` has given up to its bounds in this run, 0 if none."""
        return self._inbox.forgotten

    # --- what is remembered ---

    def thread_root(self, transport: str, conversation: str) -> str | None:
        """The event of a transport that a conversation is threaded under there, None if it has none yet."""
        found = self._database.value(
            "SELECT root FROM threads WHERE transport = ? AND conversation = ?", (transport, conversation)
        )
        return None if found is None else str(found)

    def set_thread_root(self, transport: str, conversation: str, root: str) -> None:
        """Thread a conversation under an event from now on; the newest ``THREADS_KEPT`` are remembered."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO threads (transport, conversation, root) VALUES (?, ?, ?)"
                " ON CONFLICT (transport, conversation) DO UPDATE SET root = excluded.root",
                (transport, conversation, root),
            )
            self._database.execute(
                "DELETE FROM threads WHERE rowid <= (SELECT max(rowid) FROM threads) - ?", (THREADS_KEPT,)
            )

    def fact(self, key: str) -> str | None:
        """The JSON text kept under a key, None if there is none."""
        found = self._database.value("SELECT value FROM facts WHERE key = ?", (key,))
        return None if found is None else str(found)

    def facts(self, prefix: str) -> dict[str, str]:
        """All that is kept under keys that begin with ``prefix``, by key."""
        rows = self._database.rows(
            "SELECT key, value FROM facts WHERE substr(key, 1, length(?)) = ? ORDER BY key", (prefix, prefix)
        )
        return {str(key): str(value) for key, value in rows}

    def set_fact(self, key: str, value: str) -> None:
        """Keep JSON text under a key."""
        self._database.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def forget_fact(self, key: str) -> None:
        """Keep nothing under a key any more."""
        self._database.execute("DELETE FROM facts WHERE key = ?", (key,))
