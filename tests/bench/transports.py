"""Each transport beside the bare protocol that it stands on: how many messages a second, and how soon one is there.

A message is there once the other resident has committed it; with the bare protocol, once the other client has read
it. Both go in turns, with carriers of one size. All but Synapse runs in this one process: both residents, a hub, and
the servers and clients that are the yardsticks. Limits against strangers are raised, or not reached.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from bots.homeserver.pair import running
from bots.hub.hub import Settings
from bots.serving.limits import Allowance
from tests.bench import Report, Row, _raw
from tests.bench._scene import DISK, homeservers
from tests.bench._ways import Way, Ways, ours
from tests.hub.conftest import RealClock, Running
from tests.matrix_client import Account, MatrixClient
from tests.transports.conftest import Front
from tests.transports.worlds import ActivityPubWorld, HttpWorld, LanWorld, MatrixWorld, Parts, Words, World, now_ms

_AT_ONCE: Final = 16  # carriers of an event at most
_WARM_UP: Final = 3
_SILENCE_S: Final = 0.02
_PLENTY: Final = Allowance(1e6, 1e6)


class Counts(msgspec.Struct, frozen=True):
    """How much is sent: latencies on each plane, and rounds of so many messages; with these no limit is reached."""

    latencies: int = 40
    rounds: int = 3
    messages: int = 32


COUNTS: Final = Counts()


class Kind(msgspec.Struct, frozen=True):
    """A transport: where residents are in a room of it, and the bare protocol."""

    open: Callable[[AsyncExitStack, Path, Parts], Awaitable[World]]
    raw: Callable[[Parts], AbstractAsyncContextManager[Ways]]
    yardstick: str


class _NoFront(Front):
    """The homeserver itself: what stands between costs as much as a transport."""

    @property
    def url(self) -> str:
        return self._behind

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def _synapse(stack: AsyncExitStack, folder: Path, parts: Parts) -> World:
    room_id = await parts.new_room(await parts.new_client("owner"))
    return MatrixWorld(stack, _NoFront(parts.homeserver.url), parts.new_account, folder, room_id)


async def _hub(stack: AsyncExitStack, folder: Path, _parts: Parts) -> World:
    clock = RealClock(now_ms() - round(time.monotonic() * 1000))
    hub = Running(folder / "hub.sqlite", clock, Settings(per_key=_PLENTY, per_network=_PLENTY, requests=_PLENTY))
    await hub.start()
    stack.push_async_callback(hub.stop)
    return HttpWorld(stack, hub, folder)


KINDS: Final[Mapping[str, Kind]] = {
    "matrix": Kind(_synapse, _raw.matrix, "bare PUT and /sync"),
    "http": Kind(_hub, _raw.http, "bare POST and SSE"),
    "lan": Kind(LanWorld.open, _raw.http, "bare POST and SSE"),
    "activitypub": Kind(ActivityPubWorld.open, _raw.activitypub, "bare signed POST"),
}


async def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="clawnet-bench-", dir=DISK) as folder:
        async with _parts(Path(folder)) as parts:
            for name in KINDS:
                await measure(name, Path(folder) / name, parts, report)


async def measure(name: str, folder: Path, parts: Parts, report: Report, counts: Counts = COUNTS) -> None:
    """Add the rows of one transport."""
    kind = KINDS[name]
    async with AsyncExitStack() as stack:
        place = await kind.open(stack, folder, parts)
        sender, receiver = await place.resident("ada"), await place.resident("bert")
        through, bare = ours(sender, receiver, place.room), await stack.enter_async_context(kind.raw(parts))
        words = Words("somebody", place.room)
        for row in (
            *await _rates(f"{name}, room", through.room, bare.room, words, counts),
            *await _latencies(f"{name}, room", through.room, bare.room, words, counts),
            *await _latencies(f"{name}, direct", through.direct, bare.direct, words, counts),
        ):
            report.add(dataclasses.replace(row, yardstick=kind.yardstick))


async def _rates(name: str, through: Way, bare: Way, words: Words, counts: Counts) -> list[Row]:
    """One message an event, and as many as there may be; with the bare protocol it is always one."""
    rounds: list[tuple[float, float, float]] = []
    for _ in range(counts.rounds):
        one, full, raw = [[words.carrier() for _ in range(counts.messages)] for _ in range(3)]
        rounds.append((await through.rate(one), await through.rate(full, _AT_ONCE), await bare.rate(raw)))
    singles, fulls, raws = zip(*rounds, strict=True)
    return [
        _row(name, "messages/s", _middle(singles), _middle(raws), _ratio(singles, raws)),
        _row(f"{name}, {_AT_ONCE} in an event", "messages/s", _middle(fulls), _middle(raws), _ratio(fulls, raws)),
    ]


async def _latencies(name: str, through: Way, bare: Way, words: Words, counts: Counts) -> list[Row]:
    """One message at a time, to its arrival, with a moment of silence before each."""
    turns = []
    for _ in range(_WARM_UP + counts.latencies):
        figure = await through.latency_s(words.carrier())
        turns.append((figure, await bare.latency_s(words.carrier())))
        await asyncio.sleep(_SILENCE_S)
    taken, raws = zip(*turns[_WARM_UP:], strict=True)
    slow, slow_raw = _p95(taken), _p95(raws)
    return [
        _row(f"{name}, p50", "ms", 1000 * _middle(taken), 1000 * _middle(raws), _ratio(taken, raws)),
        _row(f"{name}, p95", "ms", 1000 * slow, 1000 * slow_raw, slow / slow_raw),
    ]


def _row(name: str, unit: str, figure: float, yardstick: float, ratio: float) -> Row:
    return Row(name=name, unit=unit, figure=figure, yardstick_figure=yardstick, ratio=ratio)


def _ratio(figures: Sequence[float], yardsticks: Sequence[float]) -> float:
    return _middle([figure / yardstick for figure, yardstick in zip(figures, yardsticks, strict=True)])


def _middle(figures: Sequence[float]) -> float:
    return statistics.median(figures)


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[18]


@asynccontextmanager
async def _parts(folder: Path) -> AsyncIterator[Parts]:
    """A homeserver, and whatever accounts and rooms are asked of it."""
    numbers = itertools.count()
    (server,) = homeservers(folder)
    async with running(server), AsyncExitStack() as stack:

        async def new_account(name: str) -> Account:
            name = f"{name}-{next(numbers)}"
            password = f"password of {name}"
            return Account(server.url, name, await server.register(name, password), password)

        async def new_client(name: str) -> MatrixClient:
            return await stack.enter_async_context(MatrixClient(await new_account(name)))

        async def new_room(creator: MatrixClient, *members: MatrixClient, public: bool = True) -> str:
            preset = "public_chat" if public else "private_chat"
            room_id = await creator.create_room(preset=preset, invite=[member.user_id for member in members])
            for member in members:
                await member.join(room_id)
            return room_id

        yield Parts(server, new_account, new_client, new_room)
