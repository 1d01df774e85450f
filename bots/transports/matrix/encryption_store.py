"""Where the keys of encrypted rooms are kept: one SQLite file of one device, for one process at a time.

The file and the key its secrets are pickled with are readable by their owner alone. What others can make us keep
is bounded: beyond its bound the oldest goes. That a room is encrypted is remembered for ever, also when the
device changes.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bots.errors import StoreError

FILE = "matrix-encryption.sqlite"
_KEY_FILE = "matrix-encryption.key"
_KEY_BYTES = 32

SESSIONS_MOST = 20_000  # Olm sessions, and as many of rooms
SESSIONS_PER_USER = 500  # of either kind; our own count for themselves
HEARD_MOST = 100_000  # positions of sessions that are remembered against replays
SHARED_MOST = 50_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS encrypted_room (room TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entered (room TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS account (user TEXT, device TEXT, uploaded INTEGER, pickle TEXT);
CREATE TABLE IF NOT EXISTS olm (
    session TEXT PRIMARY KEY, user TEXT NOT NULL, sender_key TEXT NOT NULL, pickle TEXT NOT NULL,
    made_s REAL NOT NULL, used_s REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS olm_of ON olm (user, sender_key, used_s);
CREATE TABLE IF NOT EXISTS inbound (
    room TEXT, session TEXT, user TEXT NOT NULL, sender_key TEXT, ed25519 TEXT NOT NULL, pickle TEXT NOT NULL,
    UNIQUE (room, session, sender_key)
);
CREATE INDEX IF NOT EXISTS inbound_user ON inbound (user);
CREATE TABLE IF NOT EXISTS device (
    user TEXT, device TEXT, ed25519 TEXT NOT NULL, curve25519 TEXT NOT NULL, name TEXT NOT NULL,
    gone INTEGER NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (user, device)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS device_changed ON device (user, device) WHERE changed;
CREATE TABLE IF NOT EXISTS heard (session TEXT, place INTEGER, event TEXT NOT NULL, UNIQUE (session, place));
CREATE TABLE IF NOT EXISTS waiting (
    event TEXT PRIMARY KEY, room TEXT NOT NULL, sender TEXT NOT NULL, device TEXT NOT NULL, session TEXT NOT NULL,
    raw BLOB NOT NULL, lacks TEXT NOT NULL, since_s REAL NOT NULL, due_s REAL, tries INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS opened (seq INTEGER PRIMARY KEY, raw BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS shared (
    session TEXT, user TEXT, device TEXT, place INTEGER NOT NULL, repeated INTEGER NOT NULL DEFAULT 0,
    UNIQUE (session, user, device)
);
"""
_OF_A_DEVICE = ("entered", "account", "olm", "inbound", "device", "heard", "waiting", "opened", "shared")


class EncryptionStore:
    """The open file. Every failure is a StoreError, and the last thing it does: keys in memory may be ahead of it.

    To be used from one thread.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._depth = 0
        self._failure: StoreError | None = None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.pickle_key = _key(directory / _KEY_FILE)
            # Made by us first, so that it never exists with wider permissions; the journal inherits them.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise self._fault(error) from error
        with self._faults():
            self._connection = sqlite3.connect(self._path, isolation_level=None, timeout=1.0)
            try:
                # Nobody else may advance the ratchets that we advance.
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA secure_delete = ON")
                self._connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Give the file free; idempotent."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is committed together, or not at all. Nothing may be awaited inside."""
        if self._depth:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def execute(self, statement: str, *parameters: Any) -> int:
        """Run one statement; how many rows it changed."""
        with self._faults():
            return self._connection.execute(statement, parameters).rowcount

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one query and fetch all its rows."""
        with self._faults():
            return self._connection.execute(statement, parameters).fetchall()

    def count(self, table: str) -> int:
        """The rows of a table."""
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def bound(self, table: str, most: int) -> None:
        """Forget the oldest rows, beyond so many, of a table that loses rows by this alone."""
        self.execute(f"DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM {table}) - ?", most)

    def bound_sessions(self, table: str, user: str) -> None:
        """Forget sessions that are too many, of this user and of all: nobody pushes out what others told us.

        Beyond the bound of all, users none of whose devices we ever learnt of lose sessions first, and among them
        whoever has the most.
        """
        ours = bool(self.rows("SELECT 1 FROM account WHERE user = ?", user))
        self.execute(
            f"DELETE FROM {table} WHERE rowid IN"
            f" (SELECT rowid FROM {table} WHERE user = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
            user, SESSIONS_MOST if ours else SESSIONS_PER_USER,
        )  # fmt: skip
        of_us = f"(SELECT count(*) FROM {table} WHERE user IN (SELECT user FROM account))"
        while not ours and self.rows(f"SELECT count(*) - {of_us} FROM {table}")[0][0] > SESSIONS_MOST:
            self.execute(
                f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table}"
                " WHERE user NOT IN (SELECT user FROM account) GROUP BY user"
                " ORDER BY user IN (SELECT user FROM device), count(*) DESC, min(rowid) LIMIT 1)"
            )

    # --- rooms ---

    def encrypted_rooms(self) -> set[str]:
        """The rooms that were ever seen encrypted, by id."""
        return {str(room) for (room,) in self.rows("SELECT room FROM encrypted_room")}

    def remember_encrypted(self, room: str) -> None:
        """Never take this room for an unencrypted one again."""
        self.execute("INSERT OR IGNORE INTO encrypted_room VALUES (?)", room)

    def entered(self, room: str, now_ms: int) -> int:
        """When this device first read in a room, Unix milliseconds: now, if it never did."""
        self.execute("INSERT OR IGNORE INTO entered VALUES (?, ?)", room, now_ms)
        return int(self.rows("SELECT at_ms FROM entered WHERE room = ?", room)[0][0])

    # --- the account ---

    def account(self, user: str, device: str) -> tuple[bool, str] | None:
        """(Whether the server has its keys, its pickle), None if this device has none yet."""
        found = self.rows("SELECT uploaded, pickle FROM account WHERE user = ? AND device = ?", user, device)
        return (bool(found[0][0]), str(found[0][1])) if found else None

    def save_account(self, user: str, device: str, uploaded: bool, pickle: str) -> None:
        """Keep the account. What belonged to another device is forgotten: nothing of it can be used."""
        with self.transaction():
            if not self.execute(
                "UPDATE account SET uploaded = ?, pickle = ? WHERE user = ? AND device = ?",
                uploaded, pickle, user, device,
            ):  # fmt: skip
                for table in _OF_A_DEVICE:
                    self.execute(f"DELETE FROM {table}")
                self.execute("INSERT INTO account VALUES (?, ?, ?, ?)", user, device, uploaded, pickle)

    # --- faults ---

    @contextmanager
    def _faults(self) -> Iterator[None]:
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except sqlite3.Error as error:
            self._failure = self._fault(error)
            raise self._failure from error

    def _fault(self, error: Exception) -> StoreError:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(
                "store.locked",
                f"The keys of encrypted rooms in {self._path} are in use by another process.",
                "Stop that agent first: two that use one device would lose messages.",
            )
        if primary == sqlite3.SQLITE_FULL:
            return StoreError(
                "store.full", f"The disk that holds {self._path} is full.", "Free some space and start again."
            )
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return StoreError(
            "store.failed",
            f"The keys of encrypted rooms in {self._path} cannot be read or written ({reason}).",
            "Check who owns the file, and that its disk has space.",
        )


def _key(path: Path) -> bytes:
    """The key of the pickles, made at the first start."""
    if path.exists():
        return path.read_bytes()
    key = secrets.token_bytes(_KEY_BYTES)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return key
