"""A recording of 100,000 events: how soon it is open, and how soon one is somewhere else in it."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from tests.bench import Report, Row
from tests.bench._frames import START_MS
from tui.player import Player
from tui.recorder import Recorder
from tui.recording import Recording
from tui.sources.synthetic import events

_EVENTS = 100_000
_OPENINGS = 5
_SEEKS = 20


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="clawnet-bench-") as folder:
        path = Path(folder) / "long.jsonl"
        recorder = Recorder(path, created_ms=START_MS, recorder="matrix:u/watcher:example.org")
        for arrival in islice(events(agents=100, rate=1000, start_ms=START_MS), _EVENTS):
            recorder.record(arrival)
        recorder.close()
        turns = [(_opened(path), _read(path)) for _ in range(_OPENINGS)]
        report.add(
            Row(
                name=f"recording of {_EVENTS:,} events, to the first event shown",
                figure=statistics.median(ours for ours, _ in turns),
                unit="s",
                yardstick="reading the file",
                yardstick_figure=statistics.median(bare for _, bare in turns),
                at_most=2,
            )
        )
        _seek(report, path)


def _opened(path: Path) -> float:
    start = time.perf_counter()
    player = Player(Recording.open(path))
    player.seek(1)
    _arrive(player)
    taken = time.perf_counter() - start
    player.close()
    return taken


def _read(path: Path) -> float:
    start = time.perf_counter()
    path.read_bytes()
    return time.perf_counter() - start


def _seek(report: Report, path: Path) -> None:
    """To places anywhere in it, once all of it is checked."""
    player, chance = Player(Recording.open(path)), random.Random(1)
    start = time.perf_counter()
    player.seek(_EVENTS)
    _arrive(player)
    checked = time.perf_counter() - start
    seconds = []
    for _ in range(_SEEKS):
        start = time.perf_counter()
        player.seek(chance.randrange(_EVENTS))
        _arrive(player)
        player.model.snapshot(player.status.at_ms, fresh=True)
        seconds.append(time.perf_counter() - start)
    player.close()
    for name, figure, most in (("median", statistics.median(seconds), 0.3), ("worst", max(seconds), None)):
        report.add(
            Row(
                name=f"seek anywhere in it, {name} of {_SEEKS}",
                figure=figure,
                unit="s",
                yardstick="checking all of it, once",
                yardstick_figure=checked,
                at_most=most,
            )
        )


def _arrive(player: Player) -> None:
    while player.position != player.status.target or player.advance(time.monotonic()):
        player.advance(time.monotonic())
