"""The events of a recording, read and checked before they are asked for."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future
from concurrent.futures import TimeoutError as NotYet

from tui.apart import Apart
from tui.arrivals import Checked
from tui.recording import Recording, Slice
from tui.sharing import share

_CHUNK = 25  # some milliseconds of work
_BYTES_MOST = 16 << 20  # of lines that are read but not asked for yet, beside the next chunk


class ReadAhead:
    """Events from ``position`` on, in order, every signature verified.

    ``depth`` chunks are under way at a time, fewer where their lines are long.
    """

    def __init__(self, recording: Recording, apart: Apart, pool: Executor, position: int, *, depth: int) -> None:
        self.position = position
        self._recording = recording
        self._apart = apart
        self._pool = pool
        self._depth = depth
        self._asked = position  # chunks are under way up to here
        self._chunks: deque[Future[tuple[Slice, list[Checked]]]] = deque()
        self._ready: deque[Checked] = deque()

    def next(self, until: int, wait_s: float = 0.0) -> Checked | None:
        """The next event; None if it takes longer than ``wait_s``, and at the end.

        Only events before the place ``until`` are read ahead.
        """
        if not self._ready:
            self._ask(until)
            try:
                part, checked = self._chunks[0].result(timeout=max(0.0, wait_s))
            except (IndexError, NotYet):
                return None
            self._chunks.popleft()
            self._ask(until)
            good = self._recording.accept(part) if part.start < len(self._recording) else 0
            self._ready.extend(checked[:good])
            if not self._ready:
                return None
        self.position += 1
        return self._ready.popleft()

    def cancel(self) -> None:
        """Nothing more will be asked for."""
        for chunk in self._chunks:
            chunk.cancel()
        self._chunks.clear()

    def _ask(self, until: int) -> None:
        while len(self._chunks) < self._depth and self._asked < min(until, len(self._recording)):
            stop = self._recording.reach(self._asked, min(_CHUNK, until - self._asked))
            if self._chunks and self._recording.size(self.position, stop) > _BYTES_MOST:
                return
            self._chunks.append(self._pool.submit(self._load, self._asked, stop))
            self._asked = stop

    def _load(self, start: int, stop: int) -> tuple[Slice, list[Checked]]:
        part = self._recording.slice(start, stop)
        return part, [share(checked) for checked in self._apart.check(part.arrivals)]
