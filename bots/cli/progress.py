"""A line that shows that something goes on, and how long it took."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from bots.cli.terminal import write, write_line

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_EVERY_S = 0.1


class Progress:
    """Writes to one stream: moving on a terminal, plain lines elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show ``text`` while the body runs, then how long that took."""
        started = time.monotonic()
        done = threading.Event()
        spinner = None
        if self._stream.isatty():
            spinner = threading.Thread(target=self._spin, args=(text, done), daemon=True)
            spinner.start()
        else:
            write_line(self._stream, f"{text} ...")
        mark = "✘"
        try:
            yield
            mark = "✔"
        finally:
            done.set()
            if spinner is not None:
                spinner.join()
                self._stream.write("\r\x1b[K")
            write_line(self._stream, f"{mark} {text} ({time.monotonic() - started:.1f} s)")

    def _spin(self, text: str, done: threading.Event) -> None:
        for frame in itertools.cycle(_FRAMES):
            self._stream.write("\r\x1b[K")
            write(self._stream, f"{frame} {text} ...")
            if done.wait(_EVERY_S):
                return
