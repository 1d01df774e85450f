"""A real terminal, to see what a command writes onto one."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Screen:
    """The other side of a pseudo terminal."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def read(self) -> str:
        """What was written since last time."""
        return os.read(self._handle, 1 << 16).decode()


@contextmanager
def terminal() -> Iterator[tuple[TextIO, Screen]]:
    """A stream that is a terminal, and what shows on it, byte for byte."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with os.fdopen(theirs, "w", encoding="utf-8", newline="") as stream:
        try:
            yield stream, Screen(ours)
        finally:
            os.close(ours)
