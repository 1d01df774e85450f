"""Many carriers at once, on several cores: for the back-fill of a long room, and for transcripts.

Processes do it, for verifying holds Python's lock. They are started once, and so are worth it from some thousands
of carriers on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from clawnet_proto.worker import Worker, WorkerDied

# About 10 ms of work: what an interrupt waits for, and enough that handing it over costs nothing.
_CHUNK: Final = 200
_FEW: Final = 2000  # carriers that are verified here before a process would have started
# Taking the verdicts back is the work of one process: more than this many keep it busy.
_WORKERS_MOST: Final = 4

Verdict = Message | RemoteProtocolError
"""What ``verify`` returns, or the error it raises."""


class Verifiers:
    """Processes that verify; none where there is one core. To be used in a ``with`` block, by one thread."""

    def __init__(self, workers: int | None = None) -> None:
        """``workers`` is how many share the work; None: one for each usable core, at most 4."""
        self._count = workers or min(_usable_cores(), _WORKERS_MOST)
        self._free: SimpleQueue[Worker] = SimpleQueue()
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.close()

    def start(self) -> None:
        """Start the processes before they are needed, as many as the system grants."""
        with contextlib.suppress(WorkerDied):
            while self._count > 1 and len(self._workers) < self._count:
                self._workers.append(Worker("bots.backfill:verdicts"))
                self._free.put(self._workers[-1])

    def verify_all(self, texts: Sequence[bytes | str]) -> list[Verdict]:
        """The verdict on each carrier, in the order of ``texts``; the same for any number of processes.

        An interrupt (KeyboardInterrupt) is raised within some 10 ms, and what was not begun by then is left undone.
        Blocks: in a coroutine, call it by ``asyncio.to_thread``.
        """
        if not self._workers and len(texts) >= _FEW:
            self.start()
        if not self._workers:
            return verdicts(texts)
        chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
        with ThreadPoolExecutor(len(self._workers), thread_name_prefix="backfill") as pool:
            try:
                return list(chain.from_iterable(pool.map(self._ask, chunks)))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask(self, texts: Sequence[bytes | str]) -> list[Verdict]:
        worker = self._free.get()
        try:
            found: list[Verdict] = worker(texts)
        except WorkerDied:
            return verdicts(texts)
        finally:
            self._free.put(worker)
        return found


def verdicts(texts: Sequence[bytes | str]) -> list[Verdict]:
    """The verdict on each carrier, here and now."""
    return [_verdict(text) for text in texts]


def _verdict(text: bytes | str) -> Verdict:
    try:
        return verify(text)
    except RemoteProtocolError as error:
        # A new one: what was raised keeps the frames it passed, and with them the text, alive.
        return RemoteProtocolError(error.code, error.detail)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
