"""A Fedify peer, and agents of ours that it can reach."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.agent import Agent, NewAgent
from tests.interop.front import Certified
from tests.interop.peer import Peer, missing


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    return Certified(tmp_path_factory.mktemp("certified"))


@pytest.fixture(scope="session")
def fedify(certified: Certified) -> Iterator[Peer]:
    """A running peer, shared by all tests: its actors stay, and what it was asked."""
    if reason := missing():
        # Where everything must pass, nothing may be left out.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    peer = Peer(certified.trust)
    yield peer
    peer.close()


@pytest.fixture
async def new_agent(tmp_path: Path, certified: Certified) -> AsyncIterator[NewAgent]:
    async with AsyncExitStack() as stack:

        async def make(name: str, **settings: Any) -> Agent:
            agent = Agent(name, tmp_path / name, certified)
            stack.push_async_callback(agent.stop)
            await agent.start(settings)
            return agent

        yield make
