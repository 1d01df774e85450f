"""One piece of work for somebody, from its award on."""

from __future__ import annotations

import asyncio

import msgspec

from bots.behaviours import Context
from bots.errors import EngineError
from clawnet_proto.message import Message


class Job(msgspec.Struct, kw_only=True):
    """Work awarded to us. The process is there once it runs."""

    room: str
    task: str
    stage: str
    attempt: int
    award: Message
    begin_by_ms: int = 0  # when it is too late to begin, by the monotonic clock
    address: str = ""  # who awarded it; "" after a restart
    process: asyncio.Task[None] | None = None
    heard_ms: int = 0  # when the requester last heard of us, by the monotonic clock
    progress_ms: int = 0  # when it last heard how far we are, by the same
    index: int = 0
    tokens: int = 0
    offset: int = 0
    unsent: str = ""  # text that no progress has carried yet
    reserved: int = 0  # tokens charged to the quota and not used so far


def is_sealed(context: Context, job: Job) -> bool:
    """Whether nothing of the task may be said in the clear."""
    # The award tells it as well: the request may have been forgotten.
    view = context.mesh(job.room).task(job.task)
    return view is None or view.request.body.privacy == "sealed"


def seal_key(context: Context, job: Job) -> str:
    """The key to seal to the requester. Raises EngineError if it has announced none: nothing goes in the clear."""
    peer = context.mesh(job.room).peers.get(job.award.sender)
    if peer is None or peer.body is None:
        # It may only just have changed its key, and its announce be on the way.
        raise EngineError("sealed.no_key", "The requester has announced no key to seal to.", retryable=True)
    return peer.body.seal_key
