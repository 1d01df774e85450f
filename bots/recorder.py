"""Write a transcript of what arrives (spec/11-transcript.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from bots.errors import ConfigError
from bots.transports import Delivery
from clawnet_proto.transcript import Writer


class Recorder:
    """One transcript file, 0600, never over an existing one. Every line is flushed before anybody acts on it."""

    def __init__(self, path: Path) -> None:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConfigError("record.exists", f"{path} exists already.", "Name a file that does not.") from None
        except OSError as error:
            raise ConfigError("record.unwritable", f"{path} cannot be written: {error.strerror}.") from None
        self.path = path
        self._file: BinaryIO = os.fdopen(handle, "wb")
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
        self._file.write(line)
        self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
