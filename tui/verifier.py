"""Checks arrivals in their order: few of them here, between two looks at the keyboard, many in a process of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tui.apart import Apart
from tui.arrivals import Arrival, Checked
from tui.checking import check
from tui.sources import Key

_MANY = 800  # arrivals that wait: more than come in a moment of a lively room
_CHUNK = 200  # arrivals, some milliseconds of work
_UNDER_WAY = 2  # chunks: while one is checked the next is on its way


class Verifier:
    """``ready`` is called, in any thread, when results may be there that were not before."""

    def __init__(self, key: Key | None, ready: Callable[[], None]) -> None:
        self._key = key
        self._ready = ready
        self._done: deque[Checked] = deque()
        self._chunks: deque[Future[list[Checked]]] = deque()  # after those
        self._waiting: deque[Arrival] = deque()  # and after those, to be checked here
        self._apart: Apart | None = None
        self._threads: ThreadPoolExecutor | None = None

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        self._waiting += arrivals
        if len(self._waiting) > _MANY or self._chunks:
            self._hand_over()

    def take(self) -> Checked | None:
        """The next result in order, None if there is none yet."""
        if not self._done and self._chunks:
            if not self._chunks[0].done():
                return None
            self._done.extend(self._chunks.popleft().result())
        if self._done:
            return self._done.popleft()
        return check(self._waiting.popleft(), self._key) if self._waiting else None

    def close(self) -> None:
        """End the process; what still waits stays unchecked."""
        if self._threads is not None and self._apart is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._apart.close()
            self._threads.shutdown()

    def _hand_over(self) -> None:
        if self._threads is None or self._apart is None:
            self._apart = Apart(self._key)
            self._threads = ThreadPoolExecutor(_UNDER_WAY, thread_name_prefix="verifier")
        arrivals = list(self._waiting)
        self._waiting.clear()
        for start in range(0, len(arrivals), _CHUNK):
            chunk = self._threads.submit(self._apart.check, arrivals[start : start + _CHUNK])
            self._chunks.append(chunk)
            chunk.add_done_callback(lambda _: self._ready())
