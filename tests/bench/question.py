"""What a question of three stages costs its requester in room events, at Synapse's default rate limits.

The yardstick is what it would cost with one event for each message that it takes: request, awards, receipt.
"""

from __future__ import annotations

import json

from tests.bench import Report, Row
from tests.bench._scene import Scene, acquainted, completed, echo, quiet

_EXECUTORS = ("bert", "cleo", "dora")
_QUESTIONS = 2
_STAGES = (echo("draft"), echo("critique", "question", "draft"), echo("revise", "draft", "critique"))


async def run(report: Report) -> None:
    async with Scene(rate_limits="default") as scene:
        for name in _EXECUTORS:
            await scene.agent(name)
        net = await scene.requester()
        await acquainted(net, echo(), len(_EXECUTORS))
        costs = []
        for _ in range(_QUESTIONS):
            before = len(await _words(scene))
            await completed(net, _STAGES, "Why is the sky blue?")
            await quiet(net)
            said = (await _words(scene))[before:]
            costs.append((len(said), sum(map(len, said))))
    events, messages = max(costs)
    report.add(
        Row(
            name="question of three stages, default rate limits",
            figure=events,
            unit="events of its requester",
            yardstick="one event a message",
            yardstick_figure=messages,
            at_most=3,
        )
    )


async def _words(scene: Scene) -> list[list[str]]:
    """The types of the task messages in every event of the requester's, as a plain client sees them."""
    found = []
    for event in await scene.client.messages(scene.room_id):
        carriers = event["content"].get("net.clawnet.carriers", []) if event["sender"] == scene.client.user_id else []
        types = [json.loads(carrier["env"])["type"] for carrier in carriers]
        found.append([kind for kind in types if kind.startswith("task.")])
    return [types for types in found if types]
