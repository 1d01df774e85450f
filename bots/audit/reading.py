"""Read an audit log from its files, for those who check or show it; the agent may be writing on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bots.audit.chain import LINE_BYTES, Unreadable, read_line
from bots.audit.check import File
from bots.audit.files import read_head, segments
from bots.audit.records import AnyEntry
from bots.errors import ConfigError


def read_log(folder: Path) -> tuple[list[File], bytes | None]:
    """The segments of a log, oldest first, and its head. Raises ConfigError if there is no log, or none to be read."""
    try:
        # First the head: whatever is written meanwhile, the segments reach to it.
        head = read_head(folder)
        there = segments(folder)
        if not there:
            raise FileNotFoundError
        return [File(path.name, _lines(path)) for path in there], head
    except FileNotFoundError:
        raise ConfigError(
            "audit.none", f"There is no audit log in {folder}.", "It is written while the agent runs, if audit.enabled."
        ) from None
    except OSError as error:
        raise ConfigError("audit.unreadable", f"{folder} cannot be read: {error.strerror}.") from None


def entries(files: list[File]) -> Iterator[AnyEntry | None]:
    """Every record, unchecked; None for a line that is none."""
    for file in files:
        for line in file.lines:
            try:
                yield read_line(line)[0]
            except Unreadable:
                yield None


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, in pieces if they are longer than any that the log has."""
    try:
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES + 1):
                yield line
    except OSError as error:
        raise ConfigError("audit.unreadable", f"{path} cannot be read: {error.strerror}.") from None
