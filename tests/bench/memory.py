"""Memory of an agent that has nothing to do, against a Python process that has only its libraries loaded."""

from __future__ import annotations

import asyncio

from tests.bench import Report, Row
from tests.bench._resident import megabytes
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
