"""Whether anything can be written where the files are."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

_PROBE_BYTES = 64 * 1024
_PROBE_EVERY_S = 5.0


class Disk:
    """``folder`` is where the files are, None if that is not to be tried."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._tried: tuple[float, str] = (float("-inf"), "")  # when, and what came of it

    @property
    def free_bytes(self) -> int | None:
        """The free space, None if that is not known."""
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self._folder).free if self._folder is not None else None
        return None

    @property
    def error(self) -> str:
        """Why nothing can be written, "" if something was written just now."""
        if self._folder is None:
            return ""
        tried_s, error = self._tried
        now = time.monotonic()
        if now - tried_s >= _PROBE_EVERY_S:
            try:
                with tempfile.TemporaryFile(dir=self._folder, buffering=0) as file:
                    error = "" if file.write(bytes(_PROBE_BYTES)) == _PROBE_BYTES else "The disk is full."
            except OSError as failure:
                error = f"Nothing can be written where the files are kept: {failure.strerror}."
            self._tried = now, error
        return error
