"""One SQLite file that one process at a time may open, and its transactions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from bots.database import faults
from bots.errors import StoreError

_BUSY_MS = 5_000


class Schema(msgspec.Struct, frozen=True):
    """What a file holds: ``application_id`` tells it from any other SQLite file.

    A migration is a tuple of statements. One that has been released is never edited; a change is a new one at the end.
    """

    application_id: int
    migrations: tuple[tuple[str, ...], ...]


class Database:
    """The open file. Every failure is a ``StoreError`` whose code says what to do.

    The file and its lock are readable by their owner alone; missing directories are made with
    mode 0700. To be used from one thread.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self._schema = schema
        self._depth = 0
        self._durable = True
        self._before_commit: dict[Callable[[], None], None] = {}
        self._after_commit: list[Callable[[], None]] = []
        self._on_fault: list[Callable[[StoreError], None]] = []
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(path)
        except OSError as error:
            raise faults.from_os(error, path) from error
        try:
            self._connection: sqlite3.Connection | None = _connect(path)
            self._migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, then let the next process have it; idempotent."""
        connection, self._connection = getattr(self, "_connection", None), None
        if connection is not None:
            connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            return self._open().execute(statement, parameters)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one query and fetch all its rows."""
        try:
            return self._open().execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def value(self, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
        """The first column of the first row, or None if there is no row."""
        rows = self.rows(statement, parameters)
        return rows[0][0] if rows else None

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All or nothing; a transaction inside another one belongs to it.

        What is not ``durable`` survives the end of this process like anything else, but a power failure may
        take it back unless a durable transaction was committed after it. It spares the wait for the disk.
        Nothing may be awaited inside: another coroutine's writes would join in.
        """
        level = self._depth
        if level == 0 and not durable:
            self._sync_commits(False)
        self.execute(f"SAVEPOINT level_{level}" if level else "BEGIN IMMEDIATE")
        pending = len(self._after_commit)
        self._depth = level + 1
        try:
            yield
            while level == 0 and self._before_commit:
                self._before_commit.popitem()[0]()
            self.execute(f"RELEASE level_{level}" if level else "COMMIT")
        except BaseException:
            del self._after_commit[pending:]
            if level == 0:
                self._before_commit.clear()
            self._roll_back(level)
            raise
        finally:
            self._depth = level
            if level == 0 and not durable:
                self._sync_commits(True)
        if level == 0:
            callbacks, self._after_commit = self._after_commit, []
            for callback in callbacks:
                callback()

    @property
    def durable(self) -> bool:
        """Whether the current transaction will outlive a power failure."""
        return self._durable

    def before_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` as the last thing inside the current transaction, however often this is asked for."""
        self._before_commit[callback] = None

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the transaction is committed; at once if there is none."""
        if self._depth == 0:
            callback()
        else:
            self._after_commit.append(callback)

    def on_fault(self, callback: Callable[[StoreError], None]) -> None:
        """Call ``callback`` with every failure from now on, before it is raised."""
        self._on_fault.append(callback)

    def _fault(self, error: sqlite3.Error) -> StoreError:
        fault = faults.from_sqlite(error, self.path)
        for callback in self._on_fault:
            callback(fault)
        return fault

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("store.closed", f"The store {self.path} is closed.")
        return self._connection

    def _sync_commits(self, durable: bool) -> None:
        with suppress(StoreError):  # a connection that fails here fails on
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._durable = durable

    def _roll_back(self, level: int) -> None:
        connection = self._connection
        # A full disk may already have made SQLite roll the whole transaction back.
        if connection is None or not connection.in_transaction:
            return
        with suppress(sqlite3.Error):  # the error that brought us here is the one to tell
            if level == 0:
                connection.execute("ROLLBACK")
            else:
                connection.execute(f"ROLLBACK TO level_{level}")
                connection.execute(f"RELEASE level_{level}")

    def _migrate(self) -> None:
        with self.transaction():
            ours = self.value("PRAGMA application_id")
            tables = self.value("SELECT count(*) FROM sqlite_schema")
            if ours != self._schema.application_id and tables:
                raise faults.damaged(self.path, "it belongs to another program")
            self.execute(f"PRAGMA application_id = {self._schema.application_id}")
            self.execute(
                "CREATE TABLE IF NOT EXISTS migrations"
                " (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT"
            )
            version = self.value("SELECT max(version) FROM migrations") or 0
            if version > len(self._schema.migrations):
                raise StoreError(
                    "store.newer",
                    f"The store {self.path} was written by a newer ClawNet (schema {version}).",
                    "Upgrade this installation, or name another store.",
                )
            for number, statements in enumerate(self._schema.migrations[version:], start=version + 1):
                for statement in statements:
                    self.execute(statement)
                self.execute("INSERT INTO migrations VALUES (?, ?)", (number, time.time_ns() // 1_000_000))


def _lock(path: Path) -> int:
    """An exclusive lock beside the file, held until it is closed; it names its holder."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace")
        os.close(lock)
        raise faults.locked(path, holder) from error
    except BaseException:
        os.close(lock)
        raise
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    try:
        # Made by us first, so that it never exists with wider permissions; the journal inherits them.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise faults.from_os(error, path) from error
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        connection.close()
        raise faults.from_sqlite(error, path) from error
    return connection
