from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from bots.bridge import bridge
from bots.hub.hub import Settings
from bots.serving.limits import Allowance
from tests.bridge.crossing import Crosser, Crossing, now_ms
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.hub.conftest import RealClock, Running

NewBridge = Callable[..., Awaitable[Crosser]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "HOLD_MS", 100)
    monkeypatch.setattr(bridge, "SPREAD_MS", 100)


@asynccontextmanager
async def new_hub(path: Path) -> AsyncIterator[Running]:
    """A hub whose limits no test would meet, until the end."""
    clock = RealClock(now_ms() - round(time.monotonic() * 1000))
    plenty = Allowance(10_000, 10_000)
    hub = Running(path, clock, Settings(per_key=plenty, per_network=plenty, requests=plenty))
    await hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
async def another_hub(crossing: Crossing, tmp_path: Path) -> AsyncIterator[Crossing]:
    """The same room on another hub."""
    async with new_hub(tmp_path / "another.sqlite") as hub:
        yield crossing.beside(hub)


@pytest.fixture
async def crossing(tmp_path: Path, new_client: NewClient, new_room: NewRoom) -> AsyncIterator[Crossing]:
    """A room of its own on either side."""
    owner = await new_client("owner")
    room_id = await new_room(owner)
    async with new_hub(tmp_path / "hub.sqlite") as hub, aiohttp.ClientSession() as session:
        yield Crossing(owner, room_id, hub, session)


@pytest.fixture
async def new_bridge(crossing: Crossing, new_account: NewAccount, tmp_path: Path) -> AsyncIterator[NewBridge]:
    """Make a bridge on an account of its own; it runs, unless told otherwise."""
    made: list[Crosser] = []

    async def make(name: str = "bridge", *, start: bool = True, between: Crossing = crossing) -> Crosser:
        made.append(Crosser(between, await new_account(name), tmp_path, name))
        if start:
            await made[-1].start()
        return made[-1]

    yield make
    for crosser in made:
        await crosser.crash()
