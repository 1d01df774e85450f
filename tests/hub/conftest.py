from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from bots.hub.archive import Archive, Bounds
from bots.hub.chunks import ChunkBounds, Chunks
from bots.hub.hub import Hub, Settings
from bots.hub.server import HubServer
from bots.serving.listening import Listener
from bots.transports.http.names import Names
from tests.hub.visitor import Clock, Visitor
from tests.proto.authoring import NOW_MS

_SETTINGS, _BOUNDS, _CHUNK_BOUNDS = Settings(), Bounds(), ChunkBounds()


class RealClock(Clock):
    """Time as it is, from ``NOW_MS`` on."""

    def now_ms(self) -> int:
        return self.ms + round(time.monotonic() * 1000)


class Running:
    """A hub that serves on loopback, and what it stands on."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        settings: Settings = _SETTINGS,
        bounds: Bounds = _BOUNDS,
        chunk_bounds: ChunkBounds = _CHUNK_BOUNDS,
    ) -> None:
        self.clock = clock
        self._path, self._settings, self._bounds, self._chunk_bounds = path, settings, bounds, chunk_bounds
        self.names = Names("")
        self.port = 0

    async def start(self) -> None:
        """Serve, on the same port as before."""
        self._stack = AsyncExitStack()
        self.archive = Archive(self._path, self._bounds)
        self._stack.callback(self.archive.close)
        self.chunks = Chunks(self._path.with_name(f"{self._path.stem}-chunks.sqlite"), self._chunk_bounds)
        self._stack.callback(self.chunks.close)
        self.hub = Hub(self.names, self.archive, self._settings, self.clock.now_ms, self.clock.now_s, self.chunks)
        self.server = HubServer(self.hub, clock_s=self.clock.unix_s)
        self.listener = listener = await self._stack.enter_async_context(
            Listener(self.server.app, "127.0.0.1", self.port)
        )
        self.port, self.names.base = listener.port, f"http://127.0.0.1:{listener.port}"

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def base(self) -> str:
        return self.names.base

    def room(self, name: str = "clawnet") -> str:
        return f"{self.base}/rooms/{name}"


NewHub = Callable[..., Awaitable[Running]]


@pytest.fixture
async def new_hub(tmp_path: Path) -> AsyncIterator[NewHub]:
    async with AsyncExitStack() as stack:

        async def new(
            settings: Settings = _SETTINGS,
            bounds: Bounds = _BOUNDS,
            chunk_bounds: ChunkBounds = _CHUNK_BOUNDS,
            *,
            real_time: bool = False,
        ) -> Running:
            since_ms = NOW_MS - round(time.monotonic() * 1000)
            clock = RealClock(since_ms) if real_time else Clock(NOW_MS)
            running = Running(tmp_path / "hub.sqlite", clock, settings, bounds, chunk_bounds)
            await running.start()
            stack.push_async_callback(running.stop)
            return running

        yield new


@pytest.fixture
async def hub(new_hub: NewHub) -> Running:
    return await new_hub()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def ada(hub: Running, session: aiohttp.ClientSession) -> Visitor:
    return Visitor("ada", hub.base, session, hub.clock)


@pytest.fixture
def bert(hub: Running, session: aiohttp.ClientSession) -> Visitor:
    return Visitor("bert", hub.base, session, hub.clock)
