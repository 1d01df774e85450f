"""Whether a directory's database has ever been served.

Synapse lays its schema in several transactions. One that is killed between them leaves a database
that no later start can use. A mark says that the first start has not ended yet; a database with
that mark has never been served, so it holds nothing and is made anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bots.homeserver.configuration import DATABASE_NAME, cannot_write

MARK: Final = "first-start"


def is_new(directory: Path) -> bool:
    """Whether no server has ever served from this directory."""
    return (directory / MARK).exists() or not (directory / DATABASE_NAME).exists()


def begin(directory: Path) -> None:
    """Mark a new directory, and clear away what an interrupted first start left. Raises StoreError."""
    if not is_new(directory):
        return
    try:
        (directory / MARK).touch(mode=0o600)
        for suffix in ("", "-wal", "-shm", "-journal"):
            (directory / (DATABASE_NAME + suffix)).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(directory, error) from error


def served(directory: Path) -> None:
    """The server serves: from now on its database is kept."""
    (directory / MARK).unlink(missing_ok=True)
