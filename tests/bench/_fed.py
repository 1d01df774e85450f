"""What a feeder writes, as a source: the events come from another process, so that making them costs us nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from tests.bench._feeder import READY, START_MS, Frame
from tui.arrivals import Arrival
from tui.sources import Key, Link, SourceError

_REST_S = 0.005


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
    """Hands over what comes out of a descriptor, no more while ``full`` says so.

    ``begun`` is called when the feeder is ready, ``part_ended`` after the last event of each part.
    """

    title = "a room that is measured"
    room = ""
    key: Key | None = None

    def __init__(
        self, descriptor: int, clock: PlayTime, *, begun: Callable[[], None],
        part_ended: Callable[[int], Awaitable[None]], full: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._descriptor = descriptor
        self._clock = clock
        self._begun, self._part_ended, self._full = begun, part_ended, full
        self.delivered = 0

    async def run(self, deliver: Callable[[Sequence[Arrival]], None], told: Callable[[Link], None]) -> None:
        told(Link("live"))
        reader = asyncio.StreamReader(limit=1 << 22)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._descriptor, "rb", buffering=0)
        )
        decode = msgspec.msgpack.Decoder(Frame).decode
        try:
            while head := await reader.read(4):
                length = int.from_bytes(head + await reader.readexactly(4 - len(head)), "big")
                await self._take(decode(await reader.readexactly(length)), deliver)
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
            while self._full():  # noqa: ASYNC110 -- nobody tells when it is not
                await asyncio.sleep(_REST_S)

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise SourceError("source.read_only", "It only reads.")
        yield ""

    async def cancel(self, task: str) -> str:
        raise SourceError("source.read_only", "It only reads.")
