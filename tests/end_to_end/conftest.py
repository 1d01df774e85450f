"""Agents as real processes, with the real model, on the real homeserver."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pytest

from bots.engines.packaged_model import packaged_model
from bots.homeserver import Homeserver
from tests.end_to_end.agent_process import AgentProcess, start_all
from tests.matrix_client import Account, MatrixClient

T = TypeVar("T")

AtHome = Callable[[Path, str], None]

MODEL = ("--engine", "llamacpp")
NO_MODEL = ("--engine", "none")
_TOKENS = "12"


class Mesh(NamedTuple):
    """Three agents with the model, in a public room of their own."""

    agents: tuple[AgentProcess, ...]
    room: str  # alias
    room_id: str

    def named(self, name: str) -> AgentProcess:
        return next(agent for agent in self.agents if agent.name == name)


class NewAgent(Protocol):
    async def __call__(
        self, name: str, room: str, *options: str, homeserver: Homeserver | None = None, **settings: str
    ) -> AgentProcess:
        """Make an account and ``clawbot init`` an agent for it; it is ended after the test.

        ``settings`` are keys of its configuration as environment variables, like ``requests_lease_ms="3000"``.
        It asks for few tokens where none are named: what is said is seldom what a test is about.
        ``homeserver`` is the one shared by all tests if no other is named.
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

    async def __call__(
        self, name: str, room: str, *options: str, homeserver: Homeserver | None = None, **settings: str
    ) -> AgentProcess:
        homeserver = homeserver or self._homeserver
        name = f"{name}{next(self._numbers)}"
        password = f"the password of {name}"
        user = await homeserver.register(name, password)
        # Sockets allow no long paths: the name alone, not that of the test.
        agent = AgentProcess(
            Account(homeserver.url, name, user, password),
            self._folders.mktemp(name),
            self._cache,
            {f"CLAWNET_{key.upper()}": value for key, value in ({"requests_max_tokens": _TOKENS} | settings).items()},
        )
        self._made.append(agent)
        await agent.init(room, *options)
        return agent

    def close(self) -> None:
        """End them all. None may have met an error that nobody expected."""
        for agent in self._made:
            agent.close()
        assert not [agent.log for agent in self._made if "Traceback" in agent.log]


@contextmanager
def _agents(request: pytest.FixtureRequest) -> Iterator[_Agents]:
    needed = ("homeserver", "cache", "tmp_path_factory", "_agent_numbers")
    agents = _Agents(*(request.getfixturevalue(name) for name in needed))
    try:
        yield agents
    finally:
        agents.close()


@pytest.fixture
def new_agent(request: pytest.FixtureRequest) -> Iterator[NewAgent]:
    with _agents(request) as agents:
        yield agents


@pytest.fixture(scope="module")
def new_agent_of_module(request: pytest.FixtureRequest) -> Iterator[NewAgent]:
    with _agents(request) as agents:
        yield agents


@asynccontextmanager
async def plain_client(homeserver: Homeserver, name: str) -> AsyncIterator[MatrixClient]:
    """A client of plain HTTP with an account of this name, for fixtures that outlive a test."""
    password = f"the password of {name}"
    user = await homeserver.register(name, password)
    async with MatrixClient(Account(homeserver.url, name, user, password)) as client:
        yield client


async def _open_mesh(homeserver: Homeserver, new_agent: NewAgent, name: str) -> Mesh:
    async with plain_client(homeserver, f"founder-of-{name}") as founder:
        room_id = await founder.create_room(preset="public_chat", room_alias_name=name)
    room = f"#{name}:{homeserver.server_name}"
    roles = {"ada": "writer", "bert": "critic", "cora": "editor"}
    agents = [await new_agent(who, room, *MODEL, "--role", role) for who, role in roles.items()]
    await start_all(agents)
    return Mesh(tuple(agents), room, room_id)


@pytest.fixture(scope="session")
def mesh(request: pytest.FixtureRequest, homeserver: Homeserver) -> Iterator[Mesh]:
    """Three agents that stay as they are: nobody stops them, or changes what they are."""
    with _agents(request) as new_agent:
        yield run(_open_mesh(homeserver, new_agent, "mesh"))


@pytest.fixture(scope="module")
def fragile_mesh(homeserver: Homeserver, new_agent_of_module: NewAgent, _agent_numbers: Iterator[int]) -> Mesh:
    """Three agents that one may kill, if one starts them again."""
    return run(_open_mesh(homeserver, new_agent_of_module, f"fragile{next(_agent_numbers)}"))


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> AtHome:
    """Be somebody with this home and this password."""

    def enter(home: Path, password: str) -> None:
        for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CLAWNET_AGENT_NAME", "CLAWNET_MATRIX_PASSWORD"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("HOME", str(home))
        if password:
            monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", password)

    return enter
