"""Fixtures that every test may use: one real Synapse for the whole run, fresh users and rooms in it."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import pytest

from bots.homeserver import Homeserver, configuration
from tests.matrix_client import Account, MatrixClient

# A shell without job control starts what runs in the background with Ctrl-C switched off, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_MEMORY = Path("/dev/shm")
_PLENTY_BYTES = 6 << 30

NewAccount = Callable[[str], Awaitable[Account]]
NewClient = Callable[[str], Awaitable[MatrixClient]]


class NewRoom(Protocol):
    async def __call__(self, creator: MatrixClient, *members: MatrixClient, public: bool = True) -> str: ...


def pytest_configure() -> None:
    """Keep files in memory if there is plenty: a disk that stalls for seconds makes every server late."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    found = os.statvfs(_MEMORY)
    if found.f_bavail * found.f_frsize >= _PLENTY_BYTES and not found.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)


@pytest.fixture(scope="session")
def homeserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    """A running homeserver with raised rate limits, shared by all tests: never stop it."""
    server = Homeserver(tmp_path_factory.mktemp("homeserver"))
    # A loop of its own: a server is bound to none, and the tests' loops come and go.
    loop = asyncio.new_event_loop()
    try:
        with pytest.MonkeyPatch.context() as patch:
            # Nobody guesses passwords here, and hundreds of accounts log in.
            patch.setattr(configuration, "_BCRYPT_ROUNDS", 4)
            loop.run_until_complete(server.start())
        yield server
        loop.run_until_complete(server.stop())
    finally:
        loop.close()


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def new_account(homeserver: Homeserver, _numbers: Iterator[int]) -> NewAccount:
    """Make an account whose name starts with the text given and is used nowhere else."""

    async def make(name: str) -> Account:
        name = f"{name}-{next(_numbers)}"
        password = f"password of {name}"
        user_id = await homeserver.register(name, password)
        return Account(homeserver.url, name, user_id, password)

    return make


@pytest.fixture
async def new_client(new_account: NewAccount) -> AsyncIterator[NewClient]:
    """Make an account and log in with a plain client, which is closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(name: str) -> MatrixClient:
            return await stack.enter_async_context(MatrixClient(await new_account(name)))

        yield make


@pytest.fixture
def new_room(_numbers: Iterator[int]) -> NewRoom:
    """Make a room with its creator and members joined: public with an alias, or invite-only."""

    async def make(creator: MatrixClient, *members: MatrixClient, public: bool = True) -> str:
        if public:
            alias = f"room-{next(_numbers)}"
            room_id = await creator.create_room(preset="public_chat", room_alias_name=alias)
        else:
            invite = [member.user_id for member in members]
            room_id = await creator.create_room(preset="private_chat", invite=invite)
        for member in members:
            await member.join(room_id)
        return room_id

    return make
