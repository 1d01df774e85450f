"""Write a recording of what arrives (spec/11-transcript.md)."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import msgspec

from clawnet_proto.transcript import Writer
from tui.arrivals import Arrival
from tui.sources import SourceError


class Recorder:
    """One recording that is written: 0600, never over an existing file, of whole lines.

    A line that cannot be written whole is taken back, and SourceError is raised.
    """

    def __init__(self, path: Path, *, created_ms: int, recorder: str) -> None:
        """``recorder`` is the address that receives what is recorded. Raises SourceError."""
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise SourceError("record.exists", f"{path} exists already.", "Name a file that does not.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SourceError("record.unwritable", f"{path} cannot be written: {reason}.") from None
        self.path = path
        self._file = io.FileIO(handle, "wb")
        self._whole = 0  # bytes of whole lines
        self._writer = Writer()
        self._write(self._writer.header(created_ms=created_ms, recorder=recorder))

    def record(self, arrival: Arrival) -> None:
        """Raises SourceError."""
        self._write(self._writer.entry(**msgspec.structs.asdict(arrival)))

    def close(self) -> None:
        """Make sure of what was written. Raises SourceError."""
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from None
        finally:
            self._file.close()

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._whole)
            raise self._failed(error) from None
        self._whole += len(line)

    def _failed(self, error: OSError) -> SourceError:
        return SourceError(
            "record.failed",
            f"The recording {self.path} cannot be written on: {error.strerror}.",
            "Free some space and record into another file; what this one holds is intact.",
        )
