"""An actor of ours on loopback, our side of an inbox, and strangers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bots.transports.activitypub.fetcher import Fetcher
from bots.transports.activitypub.schemes import Recent
from tests.transports.activitypub.arrived import NOW_S, RSA_ID, keys
from tests.transports.activitypub.here import Here, Keeper, somebody, somebody_here
from tests.transports.activitypub.server_of_tests import RawServer
from tests.transports.activitypub.stranger import Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import ActivityPubWorld, Words

NewStranger = Callable[..., Awaitable[Stranger]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[ActivityPubWorld]:
    async with AsyncExitStack() as stack:
        yield await ActivityPubWorld.open(stack, tmp_path)


@pytest.fixture
async def ada(world: ActivityPubWorld) -> Resident:
    return await world.resident("ada")


@pytest.fixture
async def new_stranger() -> AsyncIterator[NewStranger]:
    async with AsyncExitStack() as stack:

        async def new(name: str = "eve", **more: Any) -> Stranger:
            stranger = Stranger(name, **more)
            await stranger.start()
            stack.push_async_callback(stranger.stop)
            return stranger

        yield new


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    async with somebody_here() as found:
        yield found


@pytest.fixture
async def eve() -> AsyncIterator[Keeper]:
    async with somebody("eve", 0) as found:
        yield found


@pytest.fixture
async def mallory() -> AsyncIterator[Keeper]:
    async with somebody("mallory", 1) as found:
        yield found


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    found = RawServer()
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    found = Fetcher(keys(), RSA_ID, lambda: NOW_S * 1000, allow_private=True, memory=Recent())
    yield found
    await found.close()


@pytest.fixture
def words(world: ActivityPubWorld) -> Words:
    return Words("somebody", world.room)
