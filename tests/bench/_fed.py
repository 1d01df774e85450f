"""What a feeder writes, as a source: the events come from another process, so that making them costs us nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from tests.bench._frames import HEAD, READY, START_MS, Frame, decode
from tui.arrivals import Arrival
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always

_BUFFER = 1 << 18  # bytes


class PlayTime:
    """A clock, Unix milliseconds, that goes on from the newest arrival: what was signed ahead is of now."""

    def __init__(self) -> None:
        self._ms = START_MS
        self._at = time.monotonic()

    def __call__(self) -> int:
        return self._ms + int((time.monotonic() - self._at) * 1000)

    def arrived(self, ms: int) -> None:
        """Something was received at this time. The clock never goes back."""
        if ms >= self():
            self._ms, self._at = ms, time.monotonic()


class Fed:
    """Hands over what comes out of a descriptor.

    ``begun`` is called when the feeder is ready, ``part_ended`` after the last event of each part.
    """

    title = "a room that is measured"
    room = ""
    key: Key | None = None

    def __init__(
        self,
        descriptor: int,
        clock: PlayTime,
        *,
        begun: Callable[[], None],
        part_ended: Callable[[int], Awaitable[None]],
    ) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._begun, self._part_ended = begun, part_ended
        self.delivered = 0

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        told(Link("live"))
        reader = asyncio.StreamReader(limit=_BUFFER)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._descriptor, "rb", buffering=0)
        )
        try:
            while head := await reader.read(HEAD):
                length = int.from_bytes(head + await reader.readexactly(HEAD - len(head)), "big")
                await self._take(decode(await reader.readexactly(length)), deliver)
                await ready()
        finally:
            transport.close()

    async def _take(self, frame: Frame, deliver: Callable[[Sequence[Arrival]], None]) -> None:
        if frame == READY:
            self._begun()
        elif isinstance(frame, int):
            await self._part_ended(frame)
        elif isinstance(frame, list):
            self._clock.arrived(frame[-1].received_ms)
            self.delivered += len(frame)
            deliver(frame)

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise SourceError("source.read_only", "It only reads.")
        yield ""

    async def cancel(self, task: str) -> str:
        raise SourceError("source.read_only", "It only reads.")
