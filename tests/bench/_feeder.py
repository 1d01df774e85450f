"""Signed events of a made-up mesh, on standard output: ``python -m tests.bench._feeder AGENTS RATE PART...``.

Frames of MessagePack, each behind its length: lists of arrivals, and the number of a part after its last event. Parts
are counted in events. All of them are signed before a line of input lets them go, a hundred batches a second; with
``--flowing`` they are signed as they go, as fast as they are taken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice

import msgspec

from tests.bench._pace import START_MS, TICK_S
from tui.arrivals import Arrival
from tui.sources.synthetic import events

_encode = msgspec.msgpack.Encoder().encode


def framed(value: object) -> bytes:
    """One frame."""
    data = _encode(value)
    return len(data).to_bytes(4, "big") + data


def batches(agents: int, rate: float, parts: list[int]) -> Iterator[list[Arrival] | int]:
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
    made = batches(options.agents, options.rate, options.parts)
    out = sys.stdout.buffer
    if options.flowing:
        os.nice(5)  # whoever reads goes first
        for batch in made:
            out.write(framed(batch))
        out.flush()
        return
    frames = [(isinstance(batch, int), framed(batch)) for batch in made]
    out.write(framed("ready"))
    out.flush()
    sys.stdin.readline()
    due = time.monotonic()
    for mark, frame in frames:
        if not mark:
            due += TICK_S
            time.sleep(max(0.0, due - time.monotonic()))
        out.write(frame)
        out.flush()


if __name__ == "__main__":
    main()
