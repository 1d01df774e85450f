"""A transport that says what the test wants."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from bots.errors import Refused, RetryLater, TransportError
from bots.transports import Delivery, EncryptionHealth, Parcel, PersonText, Room

LIMITED = RetryLater("fake.rate_limited", "Too fast.", 0.02)
UNREACHABLE = RetryLater("fake.unreachable", "Nobody there.", 0.0)
BROKEN = RetryLater("fake.server_error", "It failed.", 0.0)


class FakeTransport:
    """Takes parcels like a homeserver: the same transaction id twice is one event."""

    name = "fake"
    address = "matrix:u/me:example.org"
    device = "ME"
    online = True

    def __init__(self) -> None:
        self.tries: list[Parcel] = []
        self.taken: dict[str, Parcel] = {}
        self.answer: Callable[[Parcel], TransportError | None] = lambda parcel: None
        self.lose_answers = False
        self.gates: dict[str, asyncio.Event] = {}  # by room or address: sends wait for it
        self.started = asyncio.Event()
        self.concurrent = Counter[str]()
        self.most_concurrent = Counter[str]()

    async def store_chunk(self, data: bytes) -> str:
        raise Refused("fake.no_store", "This transport stores nothing.")

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        raise Refused("fake.no_store", "This transport stores nothing.")

    def direct_event(self, carrier: str) -> str:
        return carrier

    async def send(self, parcel: Parcel) -> str:
        lane = parcel.room or parcel.address
        self.tries.append(parcel)
        self.started.set()
        self.concurrent[lane] += 1
        self.most_concurrent[lane] = max(self.most_concurrent[lane], self.concurrent[lane])
        try:
            if lane in self.gates:
                await self.gates[lane].wait()
            await asyncio.sleep(0)
            if (error := self.answer(parcel)) is not None:
                raise error
            self.taken.setdefault(parcel.txn, parcel)
            if self.lose_answers:
                raise UNREACHABLE
        finally:
            self.concurrent[lane] -= 1
        return f"$event-{list(self.taken).index(parcel.txn)}" if parcel.plane == "room" else ""

    @property
    def parcels(self) -> list[Parcel]:
        return list(self.taken.values())

    async def connect(self) -> None: ...

    async def join(self, room: str) -> Room:
        raise NotImplementedError

    def rooms(self) -> Sequence[Room]:
        return []

    @property
    def encryption(self) -> EncryptionHealth:
        return EncryptionHealth()

    def is_member(self, room: str, address: str) -> bool:
        return False

    def reaches(self, address: str) -> bool:
        return True

    async def run(self) -> None: ...

    async def close(self) -> None: ...

    def carriers(self, delivery: Delivery) -> list[object]:
        return []

    def person_text(self, delivery: Delivery) -> PersonText | None:
        return None

    def thread_root(self, delivery: Delivery) -> str:
        return ""
