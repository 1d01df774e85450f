"""A task between two homeservers, against a plain message that federates.

The agent that asks lives on one server, the agent that answers on the other. Request and award travel together and
the result comes back, so that a task takes two ways of what the yardstick takes one.
"""

from __future__ import annotations

from tests.bench import Report
from tests.bench._scene import Scene, acquainted, echo
from tests.bench.mesh import compared, plain, task_of


async def run(report: Report) -> None:
    async with Scene(federated=True) as scene:
        await scene.agent("bert", at=scene.elsewhere)
        net = await scene.requester()
        (did,) = await acquainted(net, echo(), 1)
        here, there = await scene.plain_client("raw-one"), await scene.plain_client("raw-two", at=scene.elsewhere)
        async with plain(here, there) as raw:
            report.add(await compared("federated addressed task", task_of(net, did), raw, net, at_most=3.0))
