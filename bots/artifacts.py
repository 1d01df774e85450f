"""Outputs too long for a message: stored in chunks, fetched and checked chunk by chunk (spec/16-artifacts.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from bots.errors import ClawbotError, Fatal, Refused, RetryLater
from bots.transports.together import Together
from clawnet_proto.artifact import Artifact, describe, join, pieces
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.specification import LIMITS

T = TypeVar("T")

_TRIES = 4
_PAUSE_S = 1.0  # the first one; each further one twice as long
_LONGEST_PAUSE_S = 15.0
_CHUNK_S = 60.0


class Unavailable(ClawbotError):
    """An artifact can not be stored, or not be had. Somebody else, or a later try, may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__("artifact.unavailable", message)


class Artifacts:
    """Stores and fetches artifacts over a transport. ``sleep`` waits so many seconds."""

    def __init__(self, transport: Together, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._transport = transport
        self._sleep = sleep

    async def put(self, room: str, address: str, data: bytes) -> Artifact:
        """Store some bytes where somebody in a room can fetch them, by the address. Raises Unavailable."""
        if not 1 <= len(data) <= LIMITS.artifact_bytes:
            raise Unavailable(f"{len(data)} bytes are no artifact.")
        store = partial(self._transport.store_chunk, room, address)
        return describe(data, [await self._patiently(partial(store, piece)) for piece in pieces(data)])

    async def get(self, artifact: Artifact, most: int) -> bytes:
        """The bytes, if they are at most ``most``, all there, and the right ones. Raises Unavailable."""
        if artifact.bytes > most:
            raise Unavailable(f"The artifact has {artifact.bytes} bytes; we fetch {most} at most.")
        fetch = self._transport.fetch_chunk
        chunks = []
        try:
            for index, chunk in enumerate(artifact.chunks):
                length = artifact.chunk_length(index)
                data = await self._patiently(partial(fetch, chunk.uri, length))
                artifact.check_chunk(index, data)
                chunks.append(data)
            return join(artifact, chunks)
        except RemoteProtocolError as error:
            raise Unavailable(f"The artifact is not what was promised: {error}.") from None

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        pause_s = _PAUSE_S
        for number in range(1, _TRIES + 1):
            try:
                async with asyncio.timeout(_CHUNK_S):
                    return await attempt()
            except RetryLater as error:
                if number == _TRIES:
                    raise Unavailable(f"A chunk of an artifact: {error}") from error
                await self._sleep(min(_LONGEST_PAUSE_S, error.after_s or pause_s))
                pause_s *= 2
            except TimeoutError:
                raise Unavailable("A chunk of an artifact takes too long.") from None
            except (Refused, Fatal) as error:
                raise Unavailable(f"A chunk of an artifact: {error}") from error
        raise AssertionError("unreachable")
