"""Signed events of a made-up mesh, on standard output: ``python -m tests.bench._feeder AGENTS RATE PART...``.

Parts are counted in events. All of them are signed before a line of input lets them go, as many a second as ``RATE``
says; with ``--flowing`` they are signed as they go, as fast as they are taken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from tests.bench._frames import READY, START_MS, framed
from tui.arrivals import Arrival
from tui.sources.synthetic import events

TICK_S: Final = 0.02


def frames(agents: int, rate: float, parts: Sequence[int]) -> Iterator[list[Arrival] | int]:
    """Arrivals, as many at once as come within a tick, and after each part its number."""
    size = max(1, round(rate * TICK_S))
    source = events(agents=agents, rate=rate, start_ms=START_MS)
    for number, count in enumerate(parts):
        for start in range(0, count, size):
            yield list(islice(source, min(size, count - start)))
        yield number


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("agents", type=int)
    parser.add_argument("rate", type=float)
    parser.add_argument("parts", type=int, nargs="+")
    parser.add_argument("--flowing", action="store_true")
    options = parser.parse_args()
    made = frames(options.agents, options.rate, options.parts)
    out = sys.stdout.buffer
    if options.flowing:
        os.nice(5)  # whoever reads goes first
        for frame in made:
            out.write(framed(frame))
        out.flush()
        return
    signed = [(isinstance(frame, int), framed(frame)) for frame in made]
    out.write(framed(READY))
    out.flush()
    sys.stdin.readline()
    due = time.monotonic()
    for ended, data in signed:
        if not ended:
            due += TICK_S
            time.sleep(max(0.0, due - time.monotonic()))
        out.write(data)
        out.flush()


if __name__ == "__main__":
    main()
