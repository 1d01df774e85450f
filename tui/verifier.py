"""Signatures are checked beside the loop that draws: libsodium lets other threads run meanwhile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from clawnet_proto.errors import RemoteProtocolError
from tui.arrivals import Arrival, Checked
from tui.checking import check
from tui.sources import Key

log = logging.getLogger(__name__)

_THREADS = 2
_CHUNK = 100  # arrivals, some milliseconds of work


class Verifier:
    """Threads that check arrivals; results come in order. ``ready`` is called, in any thread, when some may wait."""

    def __init__(self, key: Key | None, ready: Callable[[], None]) -> None:
        self._key = key
        self._ready = ready
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="verifier")
        self._chunks: deque[Future[list[Checked]]] = deque()
        self._done: deque[Checked] = deque()

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        for start in range(0, len(arrivals), _CHUNK):
            chunk = self._pool.submit(self._check, arrivals[start : start + _CHUNK])
            self._chunks.append(chunk)
            chunk.add_done_callback(lambda _: self._ready())

    def take(self) -> Checked | None:
        """The next result in order, None if there is none yet."""
        if not self._done:
            if not self._chunks or not self._chunks[0].done():
                return None
            self._done.extend(self._chunks.popleft().result())
        return self._done.popleft()

    def close(self) -> None:
        """End the threads; what still waits stays unchecked."""
        self._pool.shutdown(cancel_futures=True)

    def _check(self, arrivals: Sequence[Arrival]) -> list[Checked]:
        return [self._judge(arrival) for arrival in arrivals]

    def _judge(self, arrival: Arrival) -> Checked:
        try:
            return check(arrival, self._key)
        except Exception:
            # A fault of ours must not let one event hide all that follow.
            log.exception("%s from %s", arrival.event_id, arrival.sender)
            return Checked(arrival, (RemoteProtocolError("carrier.malformed"),))
