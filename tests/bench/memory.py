"""Memory of an agent that has nothing to do, against a Python process that has only its libraries loaded."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from tests.bench import Report, Row
from tests.bench._scene import Scene, acquainted, echo, process

_IDLE_S = 60.0
_LIBRARIES = "import aiohttp, nio, time; print(flush=True); time.sleep(3600)"


async def run(report: Report) -> None:
    async with Scene() as scene, process("-c", _LIBRARIES) as bare:
        agent = await scene.agent("bert")
        await acquainted(await scene.requester(), echo(), 1)
        assert bare.stdout is not None
        await bare.stdout.readline()
        await asyncio.sleep(_IDLE_S)
        for kind, field in (("resident", "Rss"), ("proportional", "Pss")):
            figure, yardstick = megabytes(agent.pid, field), megabytes(bare.pid, field)
            if figure is None or yardstick is None:
                continue
            report.add(
                Row(
                    name=f"idle agent, {kind} memory",
                    figure=figure,
                    unit="MB",
                    yardstick="import aiohttp, nio",
                    yardstick_figure=yardstick,
                    at_most=90 if field == "Rss" else None,
                )
            )


def megabytes(pid: int, field: str) -> float | None:
    """Memory of a process in 10^6 bytes; None if this system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    except OSError:
        if field != "Rss":
            return None
        command = ["ps", "-o", "rss=", "-p", str(pid)]
        kibibytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(kibibytes) * 1024 / 1e6
