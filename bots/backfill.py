"""Many carriers at once, on several cores: for the back-fill of a long room, and for transcripts.

Threads are enough, and cost no copies: most of a verification is one call of libsodium, during which Python's lock
is free.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message

# About 10 ms of work: what an interrupt waits for, and enough that handing it over costs nothing.
_CHUNK = 200
# Beyond this many threads, decoding, which needs Python's lock, takes all there is of it.
_WORKERS_MOST = 4


def verify_all(texts: Sequence[bytes | str], workers: int | None = None) -> list[Message | RemoteProtocolError]:
    """The verdict on each carrier, in the order of ``texts``: what ``verify`` returns, or the error it raises.

    ``workers`` is how many threads share the work; None: one for each usable core, at most 4. The verdicts are the
    same for any number. An interrupt (KeyboardInterrupt) is raised within some 10 ms, and what was not begun by then
    is left undone; no thread goes on for longer. Blocks: in a coroutine, call it by ``asyncio.to_thread``.
    """
    threads = min(workers or min(_usable_cores(), _WORKERS_MOST), -(-len(texts) // _CHUNK))
    if threads <= 1:
        return _verdicts(texts)
    chunks = [texts[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)]
    with ThreadPoolExecutor(threads, thread_name_prefix="backfill") as pool:
        try:
            return list(chain.from_iterable(pool.map(_verdicts, chunks)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _verdicts(texts: Sequence[bytes | str]) -> list[Message | RemoteProtocolError]:
    return [_verdict(text) for text in texts]


def _verdict(text: bytes | str) -> Message | RemoteProtocolError:
    try:
        return verify(text)
    except RemoteProtocolError as error:
        # A new one: what was raised keeps the frames it passed, and with them the text, alive.
        return RemoteProtocolError(error.code, error.detail)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
