"""Round trips of tasks, against a message sent and received by plain clients of the same server.

A task's round trip is from the call that asks until the signed result is accepted. Its yardstick is one plain
message between two clients that both follow their room, as the agents do. They take turns on a quiet server; the
ratio is the median over the turns.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from bots.api import Clawnet
from tests.bench import Report, Row
from tests.bench._scene import Scene, acquainted, completed, echo, quiet
from tests.matrix_client import MatrixClient

_TURNS = 40
_WARM_UP = 3
_POLL_MS = 30_000

Timed = Callable[[], Awaitable[float]]  # seconds of one go


async def run(report: Report) -> None:
    async with Scene() as scene:
        await scene.agent("bert")
        net = await scene.requester()
        (did,) = await acquainted(net, echo(), 1)
        async with plain(await scene.plain_client("raw-one"), await scene.plain_client("raw-two")) as raw:
            addressed, open_task = task_of(net, did), task_of(net, "")
            report.add(await compared("addressed task", addressed, raw, net, at_most=2.5))
            report.add(await compared("open task, with offers", open_task, raw, net, at_most=4.0))


async def compared(name: str, ours: Timed, raw: Timed, net: Clawnet, *, at_most: float) -> Row:
    """Take turns; the middle and the slowest of each are told on the way."""
    turns = []
    for _ in range(_WARM_UP + _TURNS):
        figure = await ours()
        await quiet(net)
        turns.append((figure, await raw()))
        await quiet(net)
    turns = turns[_WARM_UP:]
    for who, seconds in zip((name, "plain message"), zip(*turns, strict=True), strict=True):
        print(f"  {who}: {_spread(seconds)}", file=sys.stderr)
    return Row(
        name=f"{name}, round trip",
        figure=1000 * statistics.median(figure for figure, _ in turns),
        unit="ms",
        yardstick="plain message, send to receive",
        yardstick_figure=1000 * statistics.median(yardstick for _, yardstick in turns),
        ratio=statistics.median(figure / yardstick for figure, yardstick in turns),
        at_most=at_most,
    )


def _spread(seconds: Sequence[float]) -> str:
    percentiles = statistics.quantiles(seconds, n=20, method="inclusive")
    return f"p50 {1000 * percentiles[9]:.1f} ms, p95 {1000 * percentiles[18]:.1f} ms"


def task_of(net: Clawnet, to: str) -> Timed:
    """A way to time an ``echo`` task, asked to accepted; ``to`` is the did of who is to do it, "" for anybody."""
    numbers = itertools.count()

    async def once() -> float:
        question = f"number {next(numbers)}"
        start = time.perf_counter()
        ended = await completed(net, [echo()], question, to=to)
        seconds = time.perf_counter() - start
        if question not in ended.text:
            raise RuntimeError(f"asked to echo {question!r}, the answer is {ended.text!r}")
        return seconds

    return once


@asynccontextmanager
async def plain(sender: MatrixClient, receiver: MatrixClient) -> AsyncIterator[Timed]:
    """A way to time a message from one client to another, from the request that sends it to the sync that brings it."""
    alias = sender.account.name
    room_id = await sender.create_room(preset="public_chat", room_alias_name=alias)
    await receiver.join(f"#{alias}:{sender.user_id.partition(':')[2]}")
    arrived: dict[str, asyncio.Future[float]] = {}
    numbers = itertools.count()

    async def follow(client: MatrixClient) -> None:
        while True:
            await client.sync(_POLL_MS)
            now = time.perf_counter()
            for event in client.events if client is receiver else ():
                if waiting := arrived.pop(event["content"].get("body", ""), None):
                    waiting.set_result(now)
            client.events.clear()

    async def once() -> float:
        text = f"number {next(numbers)}"
        waiting: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        arrived[text] = waiting
        start = time.perf_counter()
        await sender.send_text(room_id, text)
        async with asyncio.timeout(30):
            return await waiting - start

    following = []
    for client in (sender, receiver):
        await client.sync()
        following.append(asyncio.create_task(follow(client)))
    try:
        yield once
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
