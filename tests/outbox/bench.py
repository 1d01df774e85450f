"""An outbox over a real store, and what is put into it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bots.outbox import Entry, Outbox
from bots.store import Store
from bots.transports import Parcel
from tests.outbox.fake_transport import FakeTransport

ROOM = "matrix:roomid/abc"
BOB = "matrix:u/bob:example.org"


class Bench:
    """A store, a transport, a clock and what the outbox reported."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.open(path)
        self.transport = FakeTransport()
        self.passed_ms = 0
        self.ahead_ms = 0  # the wall clock, of what it showed at first
        self.refused: list[tuple[list[Entry], str]] = []
        self.outbox = self._outbox()

    def _outbox(self) -> Outbox:
        return Outbox(
            self.store,
            self.transport,
            self,
            refused=lambda entries, error: self.refused.append((list(entries), error.code)),
            backoff_s=(0.001, 0.004),
        )

    def now_ms(self) -> int:
        return 1_000_000 + self.passed_ms + self.ahead_ms

    def monotonic_ms(self) -> int:
        return self.passed_ms

    def restart(self) -> None:
        self.store.close()
        self.store = Store.open(self.path)
        self.outbox = self._outbox()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        run = asyncio.create_task(self.outbox.run())
        try:
            yield
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def drained(self) -> list[Parcel]:
        async with self.running():
            assert await self.outbox.flush(10)
        return self.transport.parcels


def fact(number: int, *, conversation: str = "task", room: str = ROOM, **options: object) -> Entry:
    entry = {"plane": "room", "room": room, "conversation": conversation}
    entry |= {"carrier": json.dumps({"n": number}), "line": f"line {number}"}
    return Entry(**(entry | options))  # type: ignore[arg-type]


def private(number: int, *, address: str = BOB) -> Entry:
    return Entry(plane="direct", address=address, device="BOBS", carrier=json.dumps({"n": number}))


def held(parcel: Parcel) -> list[int]:
    return [json.loads(carrier)["n"] for carrier in parcel.carriers]
