"""clawtui on what a feeder writes, measuring itself: ``python -m tests.bench._screen EVENTS REPORT``, two descriptors.

After each part it reports what that part has cost, as a line of JSON; after the last one, what standing idle costs.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from tests.bench._pace import PlayTime
from tests.bench.memory import megabytes
from tui.app import ClawTui
from tui.arrivals import Arrival
from tui.feeds import LiveFeed
from tui.sources import Key, Link, SourceError

_PROBE_S = 0.01
_WAITING_MOST = 2000  # arrivals not checked yet, before no more are read
_SETTLE_S, _IDLE_S = 3.0, 5.0


class Told(msgspec.Struct, kw_only=True):
    """Of one part: seconds, events, 10^6 bytes. ``lag_ms`` are the median, the 95th percentile and the worst."""

    part: int  # -1: idle
    wall_s: float = 0
    cpu_s: float = 0
    arrived: int = 0  # all that ever were
    folded: int = 0
    waiting: int = 0  # not checked when the last event had been handed over
    waiting_most: int = 0
    caught_up_s: float = 0  # from then on, until none was waiting
    frames: int = 0  # that brought something to the terminal
    lag_ms: tuple[float, float, float] = (0, 0, 0)
    resident_mb: float = 0
    switches: int = 0


class Fed:
    """Reads frames and hands the arrivals over."""

    title = "a room that is measured"
    key: Key | None = None

    def __init__(self, descriptor: int, clock: PlayTime) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._decode = msgspec.msgpack.Decoder(list[Arrival] | int | str).decode
        self.delivered = 0
        self.waiting: Callable[[], int] = lambda: 0
        self.part_ended: Callable[[int], object] = lambda part: None
        self.begun: Callable[[], None] = lambda: None

    async def run(self, deliver: Callable[[Sequence[Arrival]], None], told: Callable[[Link], None]) -> None:
        told(Link("live"))
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe = os.fdopen(self._descriptor, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while True:
                try:
                    length = int.from_bytes(await reader.readexactly(4), "big")
                except asyncio.IncompleteReadError:
                    return
                found = self._decode(await reader.readexactly(length))
                if isinstance(found, str):
                    self.begun()
                elif isinstance(found, int):
                    await self.part_ended(found)  # type: ignore[misc]
                else:
                    self._clock.arrived(found[-1].received_ms)
                    self.delivered += len(found)
                    deliver(found)
                    while self.waiting() > _WAITING_MOST and self.flowing:
                        await asyncio.sleep(0.002)
        finally:
            transport.close()

    flowing = False

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise SourceError("source.read_only", "It only reads.")
        yield ""

    async def cancel(self, task: str) -> str:
        raise SourceError("source.read_only", "It only reads.")


class Measured(ClawTui):
    """Counts the frames that brought something to the terminal, and reports."""

    CSS_PATH = Path(inspect.getfile(ClawTui)).with_name("clawtui.tcss")

    def __init__(self, events: int, report: int, *, flowing: bool) -> None:
        clock = PlayTime()
        self._source = Fed(events, clock)
        super().__init__(LiveFeed(self._source, clock=clock))
        self._source.waiting = lambda: self.feed.model.waiting
        self._source.part_ended = self._part_ended
        self._source.begun = self._feeder_ready
        self._source.flowing = flowing
        self._report = report
        self._displays = self._displays_seen = self.frames = 0
        self._waiting_most = 0
        self._lags: list[float] = []
        self._begin()

    def on_mount(self) -> None:
        self.run_worker(self._probe(), name="probe")

    def frame(self) -> None:
        if self._displays != self._displays_seen:
            self._displays_seen = self._displays
            self.frames += 1
        self._waiting_most = max(self._waiting_most, self.feed.model.waiting)
        super().frame()

    def _display(self, screen: object, renderable: object) -> None:
        self._displays += renderable is not None
        super()._display(screen, renderable)  # type: ignore[arg-type]

    async def _probe(self) -> None:
        """How late the loop is."""
        while True:
            start = time.perf_counter()
            await asyncio.sleep(_PROBE_S)
            self._lags.append((time.perf_counter() - start - _PROBE_S) * 1000)

    def _begin(self) -> None:
        self.frames = self._waiting_most = 0
        self._lags.clear()
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._switched = _switches()

    def _feeder_ready(self) -> None:
        os.write(self._report, b"ready\n")
        self._begin()

    async def _part_ended(self, part: int) -> None:
        told = self._told(part)
        at, model = time.monotonic(), self.feed.model
        told.waiting = model.waiting
        while model.waiting and time.monotonic() - at < 20:
            await asyncio.sleep(0.005)
        told.caught_up_s = time.monotonic() - at
        told.arrived, told.folded = self._source.delivered, self._source.delivered - model.waiting
        told.resident_mb = megabytes(os.getpid(), "Rss") or 0
        self._tell(told)
        self._begin()

    def _told(self, part: int) -> Told:
        lags = sorted(self._lags) or [0.0]
        return Told(
            part=part,
            wall_s=time.monotonic() - self._wall,
            cpu_s=time.process_time() - self._cpu,
            frames=self.frames,
            waiting_most=self._waiting_most,
            lag_ms=(statistics.median(lags), lags[int(len(lags) * 0.95)], lags[-1]),
            switches=_switches() - self._switched,
        )

    def _tell(self, told: Told) -> None:
        os.write(self._report, msgspec.json.encode(told) + b"\n")

    async def _run_feed(self) -> None:
        try:
            await super()._run_feed()
        except Exception:
            import traceback

            open("/tmp/screen_err", "w").write(traceback.format_exc())
            raise
        await asyncio.sleep(_SETTLE_S)
        self._begin()
        await asyncio.sleep(_IDLE_S)
        self._tell(self._told(-1))
        self.exit()


def _switches() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nvcsw + used.ru_nivcsw


def main() -> int:
    app = Measured(int(sys.argv[1]), int(sys.argv[2]), flowing="--flowing" in sys.argv)
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    sys.exit(main())
