"""Signatures are checked beside the loop that draws: libsodium lets other threads run meanwhile."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence

from tui.arrivals import Arrival, Checked
from tui.checking import check
from tui.sources import Key

_BATCH = 64


class Verifier:
    """A thread that checks arrivals in order. It calls ``ready`` when results wait, once until they are taken."""

    def __init__(self, key: Key | None, ready: Callable[[], None]) -> None:
        self._key = key
        self._ready = ready
        self._waiting: queue.SimpleQueue[Sequence[Arrival] | None] = queue.SimpleQueue()
        self._done: deque[Checked] = deque()
        self._told = False
        self._thread = threading.Thread(target=self._work, name="verifier", daemon=True)
        self._thread.start()

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        self._waiting.put(arrivals)

    def take(self) -> Checked | None:
        """The next result in order, None if there is none yet."""
        self._told = False
        try:
            return self._done.popleft()
        except IndexError:
            return None

    def close(self) -> None:
        """End the thread; what still waits stays unchecked."""
        self._waiting.put(None)
        self._thread.join(timeout=5)

    def _work(self) -> None:
        while (arrivals := self._waiting.get()) is not None:
            for start in range(0, len(arrivals), _BATCH):
                self._done.extend([check(arrival, self._key) for arrival in arrivals[start : start + _BATCH]])
                if not self._told:
                    self._told = True
                    self._ready()
