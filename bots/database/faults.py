"""What a failure of SQLite or of the file system means to the person who runs the agent."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from bots.errors import StoreError

_SHARED_MEMORY_BYTES = 64 * 1024
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}

# Primary result codes; SQLite puts the finer code into the bits above the lowest eight.
_FULL = {sqlite3.SQLITE_FULL}
_READ_ONLY = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def full(path: Path) -> StoreError:
    return StoreError(
        "store.full",
        f"The disk that holds the store {path} is full.",
        "Free some space and start again; everything acknowledged before is kept.",
    )


def read_only(path: Path) -> StoreError:
    return StoreError(
        "store.read_only",
        f"The store {path} cannot be written.",
        "Check who owns it and its directory, or name another store.",
    )


def damaged(path: Path, detail: str) -> StoreError:
    return StoreError(
        "store.damaged",
        f"The store {path} is damaged or no store at all ({detail}).",
        "Restore it from a copy, or move it away: the agent then starts with an empty one.",
    )


def locked(path: Path, holder: str = "") -> StoreError:
    by = f" by process {holder}" if holder else " by another process"
    return StoreError(
        "store.locked",
        f"The store {path} is in use{by}.",
        "Stop that agent first, or give this one a store of its own.",
    )


def from_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    """The store error an SQLite error means."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in _FULL or (primary == sqlite3.SQLITE_IOERR and _no_space(path)):
        return full(path)
    if primary in _READ_ONLY:
        return read_only(path)
    if primary in _DAMAGED:
        return damaged(path, str(error))
    if primary in _LOCKED:
        return locked(path)
    return StoreError("store.failed", f"The store {path} failed ({error}).", "Check the disk, then start again.")


def _no_space(path: Path) -> bool:
    """Whether the disk is full: SQLite does not say so when it is its shared memory that does not fit."""
    try:
        return shutil.disk_usage(path.parent).free < _SHARED_MEMORY_BYTES
    except OSError:
        return False


def from_os(error: OSError, path: Path) -> StoreError:
    """The store error an operating system error means."""
    if error.errno in _DISK_FULL:
        return full(path)
    if error.errno in _NOT_WRITABLE:
        return read_only(path)
    reason = error.strerror or str(error)
    return StoreError("store.failed", f"The store {path} cannot be opened ({reason}).", "Check its path.")
