"""Agents as real processes, with the real model, on the real homeserver."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pytest

from bots.engines.packaged_model import packaged_model
from bots.homeserver import Homeserver
from tests.end_to_end.agent_process import AgentProcess, start_all
from tests.matrix_client import Account, MatrixClient

T = TypeVar("T")

MODEL = ("--engine", "llamacpp")
NO_MODEL = ("--engine", "none")


class Mesh(NamedTuple):
    """Three agents with the model, in a public room of their own."""

    agents: tuple[AgentProcess, ...]
    room: str  # alias
    room_id: str

    def named(self, name: str) -> AgentProcess:
        return next(agent for agent in self.agents if agent.name == name)


class NewAgent(Protocol):
    async def __call__(self, name: str, room: str, *options: str, **settings: str) -> AgentProcess:
        """Make an account and ``clawbot init`` an agent for it; it is ended after the test.

        ``settings`` are keys of its configuration as environment variables, like ``requests_lease_ms="3000"``.
        """


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop of its own, for fixtures that outlive the loop of a test."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that all agents here share, with the packaged model in it."""
    directory = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory))
        path = packaged_model()
    yield directory
    path.unlink()


@pytest.fixture(scope="session")
def model_path(cache: Path) -> Path:
    """The packaged model as a file."""
    (path,) = cache.rglob("*.gguf")
    return path


@pytest.fixture(scope="session")
def _agent_numbers() -> Iterator[int]:
    return itertools.count(1)


class _Agents:
    """Makes agents, and ends them."""

    def __init__(
        self, homeserver: Homeserver, cache: Path, folders: pytest.TempPathFactory, numbers: Iterator[int]
    ) -> None:
        self._homeserver = homeserver
        self._cache = cache
        self._folders = folders
        self._numbers = numbers
        self._made: list[AgentProcess] = []

    async def __call__(self, name: str, room: str, *options: str, **settings: str) -> AgentProcess:
        name = f"{name}{next(self._numbers)}"
        password = f"the password of {name}"
        user = await self._homeserver.register(name, password)
        # Sockets allow no long paths: the name alone, not that of the test.
        agent = AgentProcess(
            Account(self._homeserver.url, name, user, password),
            self._folders.mktemp(name),
            self._cache,
            {f"CLAWNET_{key.upper()}": value for key, value in settings.items()},
        )
        self._made.append(agent)
        await agent.init(room, *options)
        return agent

    def close(self) -> None:
        for agent in self._made:
            agent.close()


@pytest.fixture
def new_agent(
    homeserver: Homeserver, cache: Path, tmp_path_factory: pytest.TempPathFactory, _agent_numbers: Iterator[int]
) -> Iterator[NewAgent]:
    agents = _Agents(homeserver, cache, tmp_path_factory, _agent_numbers)
    yield agents
    agents.close()


@asynccontextmanager
async def _founder(homeserver: Homeserver, name: str) -> AsyncIterator[MatrixClient]:
    password = f"the password of {name}"
    user = await homeserver.register(name, password)
    async with MatrixClient(Account(homeserver.url, name, user, password)) as client:
        yield client


def _open_mesh(homeserver: Homeserver, agents: _Agents, name: str) -> Mesh:
    async def open_mesh() -> Mesh:
        async with _founder(homeserver, f"founder-of-{name}") as founder:
            room_id = await founder.create_room(preset="public_chat", room_alias_name=name)
        room = f"#{name}:{homeserver.server_name}"
        made = [
            await agents(who, room, *MODEL, "--role", role)
            for who, role in (("ada", "writer"), ("bert", "critic"), ("cora", "editor"))
        ]
        await start_all(made)
        return Mesh(tuple(made), room, room_id)

    return run(open_mesh())


@pytest.fixture(scope="session")
def mesh(
    homeserver: Homeserver, cache: Path, tmp_path_factory: pytest.TempPathFactory, _agent_numbers: Iterator[int]
) -> Iterator[Mesh]:
    """Three agents that stay as they are: nobody stops them, or changes what they know."""
    agents = _Agents(homeserver, cache, tmp_path_factory, _agent_numbers)
    yield _open_mesh(homeserver, agents, "mesh")
    agents.close()


@pytest.fixture(scope="module")
def fragile_mesh(
    homeserver: Homeserver, cache: Path, tmp_path_factory: pytest.TempPathFactory, _agent_numbers: Iterator[int]
) -> Iterator[Mesh]:
    """Three agents that one may kill, if one starts them again."""
    agents = _Agents(homeserver, cache, tmp_path_factory, _agent_numbers)
    yield _open_mesh(homeserver, agents, f"fragile{next(_agent_numbers)}")
    agents.close()
