"""Two homeservers that federate over a link that can be cut, and what lives on them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from bots.engines import Engine
from bots.homeserver import Homeserver
from bots.homeserver.authority import Authority
from bots.homeserver.configuration import free_port
from bots.homeserver.federation import Federation
from bots.homeserver.pair import running
from tests.federation.link import Link
from tests.federation.resident import Resident
from tests.matrix_client import Account, MatrixClient


class Islands(NamedTuple):
    """Two homeservers, and the links by which others reach each of them."""

    a: Homeserver
    b: Homeserver
    links: tuple[Link, Link]

    def cut(self) -> None:
        """From now on neither hears of the other."""
        for link in self.links:
            link.cut()

    def heal(self) -> None:
        for link in self.links:
            link.heal()


class NewPerson(Protocol):
    async def __call__(self, homeserver: Homeserver, name: str) -> MatrixClient: ...


class NewResident(Protocol):
    async def __call__(
        self, homeserver: Homeserver, name: str, room: str, engine: Engine | None = None, **requests: int
    ) -> Resident:
        """An agent in a room, which leaves after the test; ``requests`` are keys of that section."""


def _federated(directory: Path, stack: ExitStack) -> Islands:
    """Servers, not yet started, that know each other by the ports of the links."""
    ports = [free_port() for _ in range(4)]
    names = tuple(f"localhost:{port}" for port in ports[:2])
    first, second = (stack.enter_context(Link(port, behind)) for port, behind in zip(ports[:2], ports[2:], strict=True))
    authority = Authority()
    a, b = (
        Homeserver(
            directory / folder,
            server_name=name,
            federation=Federation(authority=authority, members=names, port=port),
        )
        for folder, name, port in zip("ab", names, ports[2:], strict=True)
    )
    return Islands(a, b, (first, second))


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Islands]:
    # A loop of its own: servers are bound to none, and the tests' loops come and go.
    loop = asyncio.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        islands = _federated(tmp_path_factory.mktemp("federation"), stack)
        together = running(islands.a, islands.b)
        loop.run_until_complete(together.__aenter__())
        stack.callback(lambda: loop.run_until_complete(together.__aexit__(None, None, None)))
        yield islands


@pytest.fixture
def islands(_servers: Islands) -> Iterator[Islands]:
    """Two servers with raised rate limits, shared by all tests here, with whole links before and after each."""
    yield _servers
    _servers.heal()


@pytest.fixture(scope="session")
def _names() -> Iterator[int]:
    return itertools.count(1)


async def _account(homeserver: Homeserver, name: str) -> Account:
    password = f"the password of {name}"
    return Account(homeserver.url, name, await homeserver.register(name, password), password)


@pytest.fixture
async def new_person(_names: Iterator[int]) -> AsyncIterator[NewPerson]:
    """Make an account on a server and log in with a plain client, which is closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(homeserver: Homeserver, name: str) -> MatrixClient:
            account = await _account(homeserver, f"{name}{next(_names)}")
            return await stack.enter_async_context(MatrixClient(account))

        yield make


@pytest.fixture
async def new_resident(_names: Iterator[int], tmp_path: Path) -> AsyncIterator[NewResident]:
    async with AsyncExitStack() as stack:

        async def make(
            homeserver: Homeserver, name: str, room: str, engine: Engine | None = None, **requests: int
        ) -> Resident:
            account = await _account(homeserver, f"{name}{next(_names)}")
            resident = Resident(account, tmp_path / account.name, room, engine, requests)
            return await stack.enter_async_context(resident)

        yield make
