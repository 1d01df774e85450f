"""clawtui on what a feeder writes, measuring itself: ``python -m tests.bench._screen EVENTS REPORT``, two descriptors.

After each part it reports what that part has cost, as a line of JSON; after the last one, what standing idle costs.
From the third part on it also watches how late the loop is, which costs a little itself. ``--undrawn``: the same
without a screen.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.bench._fed import Fed, PlayTime
from tests.bench._resident import children, megabytes
from tui.app import ClawTui
from tui.feeds import LiveFeed

IDLE = -1
READY = "ready\n"
_PROBE_S = 0.01
_PROBED_FROM = 2
_SETTLE_S, _IDLE_S = 3.0, 5.0
_PATIENCE_S = 60.0


class Told(msgspec.Struct, kw_only=True):
    """What a part has cost."""

    part: int
    wall_s: float  # until its last event was handed over
    cpu_s: float  # of all threads, in that time
    waiting: int  # of its events then: not checked yet
    frames: int  # that brought something to the terminal
    lag_ms: float = 0  # 95th percentile
    caught_up_s: float = 0  # from then on, until none was waiting
    delivered: int = 0  # events since the start
    folded: int = 0
    resident_mb: float = 0
    beside_mb: float = 0  # the same of the process that checks, while there is one


class Meter:
    """Measures a feed part by part. ``drawn`` counts frames."""

    def __init__(self, events: int, report: int) -> None:
        clock = PlayTime()
        self._source = Fed(events, clock, begun=self._begun, part_ended=self._part_ended)
        self.feed = LiveFeed(self._source, clock=clock)
        self._report = report
        self._probing = False
        self._start()

    def _start(self) -> None:
        self.drawn = 0
        self._lags: list[float] = []
        self._wall, self._cpu = time.monotonic(), time.process_time()

    async def probe(self) -> None:
        """Watch how late the loop is."""
        while True:
            start = time.perf_counter()
            await asyncio.sleep(_PROBE_S if self._probing else 0.5)
            if self._probing:
                self._lags.append((time.perf_counter() - start - _PROBE_S) * 1000)

    async def idle(self) -> None:
        """Measure once more, when nothing arrives any longer."""
        await asyncio.sleep(_SETTLE_S)
        self._start()
        await asyncio.sleep(_IDLE_S)
        self._tell(self._measured(IDLE))

    def _begun(self) -> None:
        os.write(self._report, READY.encode())
        self._start()

    async def _part_ended(self, part: int) -> None:
        measured, at, model = self._measured(part), time.monotonic(), self.feed.model
        while model.waiting and time.monotonic() - at < _PATIENCE_S:  # noqa: ASYNC110 -- nobody tells
            await asyncio.sleep(0.005)
        measured.caught_up_s = time.monotonic() - at
        measured.delivered, measured.folded = self._source.delivered, self._source.delivered - model.waiting
        measured.resident_mb = megabytes(os.getpid(), "Rss") or 0
        measured.beside_mb = sum(megabytes(child, "Rss") or 0 for child in children(os.getpid()))
        self._tell(measured)
        self._probing = part + 1 >= _PROBED_FROM
        self._start()

    def _measured(self, part: int) -> Told:
        lags = sorted(self._lags)
        return Told(
            part=part,
            wall_s=time.monotonic() - self._wall,
            cpu_s=time.process_time() - self._cpu,
            waiting=self.feed.model.waiting,
            frames=self.drawn,
            lag_ms=lags[int(len(lags) * 0.95)] if lags else 0,
        )

    def _tell(self, told: Told) -> None:
        os.write(self._report, msgspec.json.encode(told) + b"\n")


class Screen(ClawTui):
    """The app as it is, watched from outside."""

    # A subclass would look for it beside itself.
    CSS_PATH = Path(inspect.getfile(ClawTui)).with_name("clawtui.tcss")  # type: ignore[assignment]

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter.feed)
        self._meter = meter
        self._written = False

    def on_mount(self) -> None:
        self.run_worker(self._meter.probe(), name="probe")

    def frame(self) -> None:
        self._meter.drawn += self._written
        self._written = False
        super().frame()

    def _display(self, screen: Any, renderable: Any) -> None:
        self._written |= renderable is not None
        super()._display(screen, renderable)

    async def _run_feed(self) -> None:
        await super()._run_feed()
        await self._meter.idle()
        self.exit()


async def _undrawn(meter: Meter) -> None:
    probe = asyncio.ensure_future(meter.probe())
    await meter.feed.run()
    await meter.idle()
    probe.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=int)
    parser.add_argument("report", type=int)
    parser.add_argument("--undrawn", action="store_true")
    options = parser.parse_args()
    meter = Meter(options.events, options.report)
    if options.undrawn:
        asyncio.run(_undrawn(meter))
    else:
        Screen(meter).run()


if __name__ == "__main__":
    main()
