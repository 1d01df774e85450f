"""Memory of a process that has signed, verified and folded a million messages, against the same process early on."""

from __future__ import annotations

import subprocess
import sys

from tests.bench import Report, Row
from tests.bench._resident import megabytes

# By the first, the room has reached its bounds: it holds no more tasks afterwards than it does then.
_COUNTS = (100_000, 1_000_000)


async def run(report: Report) -> None:
    command = [sys.executable, "-m", "tests.bench._long_room", *map(str, _COUNTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        found = []
        for _ in _COUNTS:
            if not process.stdout.readline():
                break
            found.append(megabytes(process.pid, "Rss"))
            process.stdin.write(b"\n")
            process.stdin.flush()
    early, late = found  # fewer if the process failed, which has then said why
    assert early is not None and late is not None
    report.add(
        Row(
            name=f"memory after {_COUNTS[1]:,} messages",
            figure=late,
            unit="MB",
            yardstick=f"after {_COUNTS[0]:,}",
            yardstick_figure=early,
            ratio=late / early,
            at_most=1.05,
        )
    )
