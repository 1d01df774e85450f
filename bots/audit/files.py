"""The files of an audit log: segments that are only appended to, and the head beside them.

A segment is named by the number of its first record. The head is a copy of the last checkpoint's line: what is cut
off the end of the log is missed there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

HEAD = "head.json"
_NAME = re.compile(r"[0-9]{12}\.jsonl")


def folder_of(state: Path, did: str) -> Path:
    """Where the log of an identity is, in the agent's folder."""
    return state / "audit" / did.removeprefix("did:key:")


def segments(folder: Path) -> list[Path]:
    """The segments there are, oldest first. Raises OSError."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def first_of(segment: Path) -> int:
    """The number of the record that a segment begins with, as its name says it."""
    return int(segment.stem)


class SegmentFile:
    """A segment open for writing, 0600. A line is written whole or not at all. Everything raises OSError.

    ``write`` stands between it and the disk, as ``os.write``.
    """

    def __init__(self, path: Path, *, fresh: bool, write: Callable[[int, bytes], int] = os.write) -> None:
        self.path = path
        self._write = write
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if fresh else 0)
        self._handle = os.open(path, flags, 0o600)
        self.size = os.fstat(self._handle).st_size
        self._torn = False

    def append(self, line: bytes) -> None:
        """Write a line; of one that does not fit nothing remains."""
        if self._torn:
            self.cut(self.size)
        written = 0
        try:
            while written < len(line):
                self._torn = True
                written += self._write(self._handle, line[written:])
        except OSError:
            self.cut(self.size)
            raise
        self._torn = False
        self.size += len(line)

    def cut(self, size: int) -> None:
        """Take back what is beyond ``size``."""
        os.ftruncate(self._handle, size)
        self.size, self._torn = size, False

    def sync(self) -> None:
        """Wait until it is on the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


def write_head(folder: Path, line: bytes) -> None:
    """Replace the head, on disk when this returns. Raises OSError; what was there is then there still."""
    fresh = folder / f"{HEAD}.new"
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / HEAD)


def read_head(folder: Path) -> bytes | None:
    """The head, None if there is none. Raises OSError."""
    try:
        return (folder / HEAD).read_bytes()
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Wait until the names of its files are on the disk. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
