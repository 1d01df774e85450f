"""One agent's transport and store, as the agent would use them, whatever transport that is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bots.store import Store
from bots.transports import Delivery, Room, Transport

PATIENCE_S = 30.0


class Resident:
    """``open_transport`` makes the transport anew at each start, as a start of the agent's process does."""

    def __init__(self, directory: Path, open_transport: Callable[[Resident], Transport]) -> None:
        self.directory = directory
        self.commits = 0
        self.commit_s = 0.0
        self.joined: list[Room] = []
        self.online: list[bool] = []
        self.heard: Callable[[Sequence[Delivery]], None] = lambda deliveries: None  # once they are committed
        self._open_transport = open_transport
        self._run: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self.open()

    def open(self) -> None:
        self.store = Store.open(self.directory / "store.sqlite")
        self.transport = self._open_transport(self)

    def on_joined(self, room: Room) -> None:
        self.joined.append(room)
        self._arrived.set()

    def on_online(self, online: bool) -> None:
        self.online.append(online)
        self._arrived.set()

    # What the transport commits goes to the store, and wakes whoever waits once it has settled.

    def commit(self, transport: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        time.sleep(self.commit_s)
        self.store.commit(transport, deliveries, position, durable=durable)
        self.commits += 1
        self.heard(deliveries)
        asyncio.get_running_loop().call_soon(self._arrived.set)

    def position(self, transport: str) -> str | None:
        return self.store.position(transport)

    def had(self, transport: str, events: Collection[str]) -> Collection[str]:
        return self.store.had(transport, events)

    @property
    def address(self) -> str:
        return self.transport.address

    @property
    def received(self) -> list[Delivery]:
        return [delivery for _, delivery in self.store.unhandled()]

    def carriers(self, plane: str) -> list[object]:
        """What arrived on a plane, in order."""
        return [
            carrier
            for delivery in self.received
            if delivery.plane == plane
            for carrier in self.transport.carriers(delivery)
        ]

    async def start(self) -> None:
        """Run, and wait until what was there is in."""
        self._run = asyncio.create_task(self.transport.run())
        await self.until(lambda: self.transport.online)

    async def until(self, ready: Callable[[], object]) -> None:
        """Wait until something is so; whatever ends the run is raised."""
        assert self._run is not None
        async with asyncio.timeout(PATIENCE_S):
            while not ready():
                self._arrived.clear()
                woken = asyncio.create_task(self._arrived.wait())
                # Members come and go without a word to whoever runs a transport.
                await asyncio.wait([woken, self._run], timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                if self._run.done():
                    self._run.result()
                    raise AssertionError("the run ended")

    async def closed(self) -> None:
        """Close the transport while it runs, and wait for the end of the run."""
        assert self._run is not None
        await self.transport.close()
        async with asyncio.timeout(PATIENCE_S):
            await self._run

    async def stop(self) -> None:
        """What the end of the agent's process does."""
        await self.transport.close()
        if self._run is not None:
            await asyncio.gather(self._run, return_exceptions=True)
            self._run = None
        self.store.close()

    async def restart(self) -> None:
        await self.stop()
        self.open()
        await self.start()
