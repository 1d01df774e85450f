"""A real terminal, to see what a command writes onto one."""

from __future__ import annotations

import os
import pty
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_END = b"\0end\0"


class Screen:
    """The other side of a pseudo terminal."""

    def __init__(self, handle: int, stream: TextIO) -> None:
        self._handle = handle
        self._stream = stream

    def read(self) -> str:
        """What was written since last time."""
        # The kernel hands on in pieces, whenever it likes: a mark of ours tells where the end is.
        self._stream.flush()
        os.write(self._stream.fileno(), _END)
        shown = b""
        while not shown.endswith(_END):
            shown += os.read(self._handle, 1 << 16)
        return shown.removesuffix(_END).decode()


@contextmanager
def terminal() -> Iterator[tuple[TextIO, Screen]]:
    """A stream that is a terminal, and what shows on it, byte for byte."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with os.fdopen(theirs, "w", encoding="utf-8", newline="") as stream:
        try:
            yield stream, Screen(ours, stream)
        finally:
            os.close(ours)
