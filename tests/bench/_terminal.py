"""A terminal of 120 x 40 for a program to draw on: a pty whose other end is read as fast as it comes."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

_ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUNBUFFERED": ""}
_UNSET = ("COLUMNS", "LINES", "NO_COLOR", "TEXTUAL", "TEXTUAL_DRIVER", "TERM_PROGRAM")
_ASKED, _ANSWER = b"\x1b[?2026$p", b"\x1b[?2026;2$y"  # it draws a picture at once, as terminals of today do


class Terminal:
    """Runs a program; ``with Terminal(command) as terminal``. ``awaited`` are bytes that it will write."""

    def __init__(self, command: Sequence[str], *, awaited: bytes = b"", pass_fds: Sequence[int] = ()) -> None:
        self._command, self._pass_fds = command, pass_fds
        self._seen = bytearray()
        self._awaited = awaited
        self._found = threading.Event()
        self._found_at = 0.0

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in _UNSET} | _ENVIRONMENT
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self._command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
            start_new_session=True, pass_fds=self._pass_fds,
        )  # fmt: skip
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        os.close(self._ours)

    def press(self, keys: bytes) -> None:
        """What a person types."""
        os.write(self._ours, keys)

    def found_at(self, timeout_s: float = 30) -> float:
        """When the awaited bytes came (``time.monotonic``). Raises RuntimeError if they do not."""
        if not self._found.wait(timeout_s):
            raise RuntimeError(f"the program has not written {self._awaited!r}: {bytes(self._seen[-2000:])!r}")
        return self._found_at

    def last_words(self) -> str:
        """The end of what was written."""
        return bytes(self._seen[-4000:]).decode(errors="replace")

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:
                return
            if not data:
                return
            now = time.monotonic()
            if _ASKED in data:
                os.write(self._ours, _ANSWER)
            self._seen += data
            del self._seen[: -(1 << 18)]
            if self._awaited and not self._found.is_set() and self._awaited in self._seen:
                self._found_at = now
                self._found.set()
