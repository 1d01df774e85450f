"""How soon ``clawbot --help`` answers, against a Python process that does nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.bench import Report, Row

_TURNS = 20


async def run(report: Report) -> None:
    turns = [(_seconds("-m", "bots.cli", "--help"), _seconds("-c", "pass")) for _ in range(_TURNS)]
    report.add(
        Row(
            name="clawbot --help",
            figure=statistics.median(ours for ours, _ in turns),
            unit="s",
            yardstick="python -c pass",
            yardstick_figure=statistics.median(bare for _, bare in turns),
            at_most=0.4,
        )
    )


def _seconds(*arguments: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
