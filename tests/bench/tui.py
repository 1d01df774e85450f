"""clawtui in a pty of 120 x 40: what it costs, what it keeps up with, how soon it is there.

Its events are signed beforehand in another process, and verified by it as any others. What it costs is the processor
time of the whole process, all threads.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence

import msgspec

from tests.bench import Report, Row
from tests.bench._screen import IDLE, READY, Told
from tests.bench._terminal import Terminal

_ROUNDS = 3
_FLOOD = 10_000  # events/s; the feeder is held back where they are not folded as fast
_STARTS = 7
_HEAD = b" msg/s"  # what only the head line says
_NOTHING = "import textual.app, textual.widgets; print(' msg/s', flush=True)"
_MILLION = int(os.environ.get("CLAWNET_BENCH_EVENTS", "1_000_000"))


async def run(report: Report) -> None:
    _load(report)
    _flood(report)
    _crowd(report)
    _start(report)
    _memory(report)


def _load(report: Report) -> None:
    """1,000 events a second: first to warm up, then what they cost, then how late the loop is."""
    parts = (3000, 6000, 5000)
    rounds = [(play(100, 1000, parts), play(100, 1000, parts, "--undrawn")) for _ in range(_ROUNDS)]
    name = "100 agents, 1,000 events/s"
    shares = [(_share(drawn[1]), _share(undrawn[1]), _share(drawn[IDLE])) for drawn, undrawn in rounds]
    drawn, undrawn, idle = (statistics.median(column) for column in zip(*shares, strict=True))
    for yardstick, figure, most in (
        ("checked and folded, not drawn", undrawn, 15),
        ("the same screen, idle", idle, None),
    ):
        report.add(
            Row(
                name=f"{name}, of a core", figure=drawn, unit="%", at_most=most,
                yardstick=yardstick, yardstick_figure=figure,
            )
        )  # fmt: skip
    report.add(
        Row(
            name=f"{name}, loop lag (p95)",
            figure=statistics.median(drawn[2].lag_ms for drawn, _ in rounds),
            unit="ms",
            yardstick="not drawn",
            yardstick_figure=statistics.median(undrawn[2].lag_ms for _, undrawn in rounds),
            at_most=10,
        )
    )
    report.add(
        Row(
            name=f"{name}, missed",
            figure=sum(sum(parts) - drawn[2].folded for drawn, _ in rounds),
            unit="events",
            yardstick="sent",
            yardstick_figure=_ROUNDS * sum(parts),
            at_most=0,
        )
    )


def _flood(report: Report) -> None:
    """More events than anybody can read, until all are folded."""
    parts = (20_000, 60_000)
    rounds = [(play(100, _FLOOD, parts)[1], play(100, _FLOOD, parts, "--undrawn")[1]) for _ in range(_ROUNDS)]
    drawn, undrawn = (
        statistics.median(parts[1] / (t.wall_s + t.caught_up_s) for t in told) for told in zip(*rounds, strict=True)
    )
    report.add(
        Row(
            name="10,000 events/s, folded", figure=drawn, unit="events/s",
            yardstick="asked for", yardstick_figure=_FLOOD, ratio=drawn / _FLOOD, at_least=0.95,
        )
    )  # fmt: skip
    report.add(
        Row(
            name="10,000 events/s, folded", figure=drawn, unit="events/s",
            yardstick="not drawn", yardstick_figure=undrawn, ratio=drawn / undrawn,
        )
    )  # fmt: skip
    report.add(
        Row(
            name="10,000 events/s, waiting when the last one came",
            figure=statistics.median(told.waiting for told, _ in rounds),
            unit="events",
            yardstick="not drawn",
            yardstick_figure=statistics.median(told.waiting for _, told in rounds),
        )
    )


def _crowd(report: Report) -> None:
    """300 agents, with as much going on as an eye follows."""
    parts = (900, 1200)
    rounds = [play(300, 150, parts) for _ in range(_ROUNDS)]
    report.add(
        Row(
            name="300 agents, 150 events/s, drawn",
            figure=statistics.median(told[1].frames / told[1].wall_s for told in rounds),
            unit="frames/s",
            yardstick="asked for",
            yardstick_figure=15,
            at_least=14.5,
        )
    )
    report.add(
        Row(
            name="300 agents, 150 events/s, of a core",
            figure=statistics.median(_share(told[1]) for told in rounds),
            unit="%",
            yardstick="the same screen, idle",
            yardstick_figure=statistics.median(_share(told[IDLE]) for told in rounds),
        )
    )


def _start(report: Report) -> None:
    """From the command to the first picture."""
    turns = [(_first_words("-m", "tui.cli", "demo"), _first_words("-c", _NOTHING)) for _ in range(_STARTS)]
    report.add(
        Row(
            name="clawtui demo, to the first frame",
            figure=statistics.median(ours for ours, _ in turns),
            unit="s",
            yardstick="import textual",
            yardstick_figure=statistics.median(bare for _, bare in turns),
            at_most=1,
        )
    )


def _memory(report: Report) -> None:
    """As many events as come, with no pause between them."""
    early = _MILLION // 10
    told = play(100, 10_000, (early, _MILLION - early), "--flowing")
    for name, field, most in (("memory", "resident_mb", 120), ("memory of the process that checks", "beside_mb", None)):
        before, after = (getattr(part, field) for part in (told[0], told[1]))
        report.add(
            Row(
                name=f"{name} after {_MILLION:,} events", figure=after, unit="MB",
                yardstick=f"after {early:,}", yardstick_figure=before, at_most=most,
            )
        )  # fmt: skip


def play(agents: int, rate: float, parts: Sequence[int], *options: str) -> Mapping[int, Told]:
    """What each part has cost, and standing idle at the end. Raises RuntimeError if the program fails."""
    events, events_in = os.pipe()
    report, report_in = os.pipe()
    flowing = ["--flowing"] if "--flowing" in options else []
    feeding = [sys.executable, "-m", "tests.bench._feeder", str(agents), str(rate), *map(str, parts), *flowing]
    undrawn = ["--undrawn"] if "--undrawn" in options else []
    screen = [sys.executable, "-m", "tests.bench._screen", str(events), str(report_in), *undrawn]
    told: dict[int, Told] = {}
    with (
        subprocess.Popen(feeding, stdin=subprocess.PIPE, stdout=events_in) as feeder,
        Terminal(screen, pass_fds=(events, report_in)) as terminal,
        os.fdopen(report) as lines,
    ):
        for descriptor in (events, events_in, report_in):
            os.close(descriptor)
        assert feeder.stdin is not None
        for line in lines:
            if line == READY:
                feeder.stdin.write(b"\n")
                feeder.stdin.flush()
            else:
                part = msgspec.json.decode(line, type=Told)
                told[part.part] = part
        if IDLE not in told:
            feeder.kill()
            raise RuntimeError(f"the screen failed: {terminal.last_words()}")
    return told


def _share(told: Told) -> float:
    """Percent of a core."""
    return 100 * told.cpu_s / told.wall_s


def _first_words(*arguments: str) -> float:
    with Terminal([sys.executable, *arguments], awaited=_HEAD) as terminal:
        return terminal.found_at() - terminal.started_at
