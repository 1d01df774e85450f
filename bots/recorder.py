"""Write a transcript of what arrives (spec/11-transcript.md)."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from bots.errors import ConfigError, StoreError
from bots.transports import Delivery
from clawnet_proto.transcript import Writer


class Recorder:
    """One transcript file, 0600, never over an existing one. Every line is written before anybody acts on it.

    A line that cannot be written whole is taken back, and StoreError is raised.
    """

    def __init__(self, path: Path) -> None:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError("record.exists", f"{path} exists already.", "Name a file that does not.") from None
        except OSError as error:
            raise ConfigError("record.unwritable", f"{path} cannot be written: {error.strerror}.") from None
        self.path = path
        self._file = io.FileIO(handle, "wb")
        self._whole = 0  # bytes of whole lines
        self._writer = Writer()

    def begin(self, *, created_ms: int, recorder: str) -> None:
        """The header. ``recorder`` is our own address."""
        self._write(self._writer.header(created_ms=created_ms, recorder=recorder))

    def record(self, delivery: Delivery) -> None:
        self._write(
            self._writer.entry(
                transport=delivery.transport,
                plane=delivery.plane,
                room=delivery.room,
                sender=delivery.sender,
                event_id=delivery.event_id,
                event=delivery.event,
                received_ms=delivery.received_ms,
            )
        )

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._whole)
            raise self._fault(error) from None
        self._whole += len(line)

    def close(self) -> None:
        if not self._file.closed:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._fault(error) from None
            finally:
                self._file.close()

    def _fault(self, error: OSError) -> StoreError:
        return StoreError(
            "record.failed",
            f"The transcript {self.path} cannot be written on: {error.strerror}.",
            "Free some space and record into another file; what this one holds is intact.",
        )
