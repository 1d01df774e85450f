"""Our transport on real accounts, and a front before the homeserver that can misbehave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bots.homeserver import Homeserver
from bots.transports import Departure, Room
from bots.transports.matrix import encryption_waiting, transport
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.transport import MatrixTransport
from tests.conftest import NewAccount
from tests.matrix_client import Account
from tests.transports.encryption_device import Client, NewDevice
from tests.transports.encryption_person import EncryptingPerson
from tests.transports.resident import PATIENCE_S, Resident

Fault = Callable[[web.Request], web.Response | None]
NewPerson = Callable[[str], Awaitable[EncryptingPerson]]


class Front:
    """A reverse proxy before the real homeserver; ``fault`` may answer in its stead."""

    def __init__(self, behind: str) -> None:
        self._behind = behind
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0
        self.fault: Fault = lambda request: None
        self.lose_answer: Callable[[web.Request], bool] = lambda request: False
        self.spoil: Callable[[str, bytes], bytes] = lambda path, body: body
        self.drop_query = ""  # a parameter the homeserver never gets to see
        self.seen: list[tuple[str, str]] = []  # (method, path)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def count(self, part: str) -> int:
        return sum(part in path for _, path in self.seen)

    async def start(self) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _handle(self, request: web.Request) -> web.Response:
        assert self._session is not None
        self.seen.append((request.method, request.path))
        if (answer := self.fault(request)) is not None:
            return answer
        body = await request.read()
        headers = {key: request.headers[key] for key in ("Authorization", "Content-Type") if key in request.headers}
        query = {key: value for key, value in request.query.items() if key != self.drop_query}
        url = URL(self._behind + request.raw_path.partition("?")[0], encoded=True).with_query(query)
        async with self._session.request(request.method, url, data=body, headers=headers) as answer_behind:
            answer_body = self.spoil(request.path, await answer_behind.read())
            if self.lose_answer(request):
                assert request.transport is not None
                request.transport.abort()
            kind = answer_behind.headers.get("Content-Type", "application/json").partition(";")[0]
            return web.Response(status=answer_behind.status, body=answer_body, content_type=kind)


class Peer(Resident):
    """A resident of Matrix, on an account of its own."""

    transport: MatrixTransport

    def __init__(self, account: Account, directory: Path, settings: dict[str, Any]) -> None:
        self.account = account
        self.password = account.password
        self.asked = 0
        self.pauses = 0  # how often it backed off
        self.left: list[Departure] = []
        self._settings = {"homeserver": account.homeserver, "user": account.user_id} | settings
        super().__init__(directory, lambda _: self._matrix())

    def _matrix(self) -> MatrixTransport:
        return MatrixTransport(
            MatrixConfig(**self._settings),
            self.directory,
            self._ask,
            self,
            lambda: time.time_ns() // 1_000_000,
            on_joined=self.on_joined,
            on_online=self.on_online,
            on_left=self._on_left,
            chance=self._chance,
        )

    def _chance(self) -> float:
        self.pauses += 1
        self._arrived.set()
        return 0.0

    def _ask(self) -> str:
        self.asked += 1
        return self.password

    def _on_left(self, departure: Departure) -> None:
        self.left.append(departure)
        self._arrived.set()

    def launch(self) -> None:
        """Run."""
        self._run = asyncio.create_task(self.transport.run())

    async def ended(self) -> None:
        """Wait for the run to end; raises what ended it."""
        assert self._run is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._run

    async def bodies(self, count: int) -> list[tuple[str, bool]]:
        """(body, live) of room messages, once there are so many."""

        def found() -> list[tuple[str, bool]]:
            return [
                (json.loads(delivery.event)["content"].get("body", ""), delivery.live)
                for delivery in self.received
                if json.loads(delivery.event)["type"] == "m.room.message"
            ]

        await self.until(lambda: len(found()) >= count)
        return found()

    async def join(self, room: str) -> Room:
        """Join, and wait until the sync has brought the room."""
        joined = await self.transport.join(room)
        await self.until(lambda: any(known.uri == joined.uri for known in self.transport.rooms()))
        return joined


class NewPeer(Protocol):
    def __call__(
        self, name: str, *, start: bool = True, account: Account | None = None, **settings: Any
    ) -> Awaitable[Peer]: ...


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_BACKOFF_S", (0.02, 0.1))


@pytest.fixture
async def new_peer(new_account: NewAccount, tmp_path: Path) -> AsyncIterator[NewPeer]:
    """Make an agent's transport on an account of its own; it runs, unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def make(name: str, *, start: bool = True, account: Account | None = None, **settings: Any) -> Peer:
            account = account or await new_account(name)
            peer = Peer(account, tmp_path / account.name, settings)
            stack.push_async_callback(peer.stop)
            if start:
                await peer.start()
            return peer

        yield make


@pytest.fixture
async def front(homeserver: Homeserver) -> AsyncIterator[Front]:
    front = Front(homeserver.url)
    await front.start()
    yield front
    await front.stop()


@pytest.fixture
def new_device(tmp_path: Path) -> Iterator[NewDevice]:
    made: list[Client] = []

    def make(name: str, device: str = "DEVICE") -> Client:
        made.append(Client(tmp_path / f"{name}{len(made)}", name, device))
        return made[-1]

    yield make
    for client in made:
        client.store.close()


@pytest.fixture
async def new_person(new_account: NewAccount, tmp_path: Path) -> AsyncIterator[NewPerson]:
    """Make a person whose client knows encrypted rooms."""
    async with AsyncExitStack() as stack:

        async def make(name: str) -> EncryptingPerson:
            account = await new_account(name)
            return await stack.enter_async_context(EncryptingPerson(account, tmp_path / account.name))

        yield make


@pytest.fixture
def keys_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are asked for without the patience of the real world."""
    monkeypatch.setattr(encryption_waiting, "FIRST_S", 0.05)
    monkeypatch.setattr(transport, "_POLL_S", 1.0)
