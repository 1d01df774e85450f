"""Ways on which carriers go from one to another, each timed alike: our transports', and the raw ones beside them."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from bots.transports import Delivery, Parcel, Plane
from tests.transports.resident import Resident

_PATIENCE_S = 30.0


class Arrivals:
    """When carriers came, as seconds of ``time.perf_counter``."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[float]] = {}  # by signature: no two are alike

    def expect(self, carrier: str) -> asyncio.Future[float]:
        """When this carrier, not sent yet, will have come."""
        coming: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._expected[json.loads(carrier)["sig"]] = coming
        return coming

    def came(self, carriers: Sequence[Any]) -> None:
        """These, as parsed JSON, are here now."""
        now = time.perf_counter()
        for carrier in carriers:
            if (coming := self._expected.pop(carrier["sig"], None)) is not None:
                coming.set_result(now)


class Way(msgspec.Struct, frozen=True):
    """From one to another. ``send`` says carriers in one event, and returns once the other side has taken it."""

    send: Callable[[Sequence[str]], Awaitable[object]]
    arrivals: Arrivals

    async def latency_s(self, carrier: str) -> float:
        """From the call that sends it until it is there."""
        coming = self.arrivals.expect(carrier)
        start = time.perf_counter()
        await self.send([carrier])
        async with asyncio.timeout(_PATIENCE_S):
            return await coming - start

    async def rate(self, carriers: Sequence[str], at_once: int = 1) -> float:
        """Messages a second: events one right after the other, each with ``at_once`` of them, until all are there."""
        coming = [self.arrivals.expect(carrier) for carrier in carriers]
        start = time.perf_counter()
        for first in range(0, len(carriers), at_once):
            await self.send(carriers[first : first + at_once])
        async with asyncio.timeout(_PATIENCE_S):
            return len(carriers) / (max(await asyncio.gather(*coming)) - start)


class Ways(msgspec.Struct, frozen=True):
    """To all in a room, and to one."""

    room: Way
    direct: Way


def ours(sender: Resident, receiver: Resident, room: str) -> Ways:
    """Through our transport: a carrier is there once the receiver has committed it."""
    arrivals, numbers = Arrivals(), itertools.count()

    def heard(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            arrivals.came(receiver.transport.carriers(delivery))

    def way(plane: Plane, **to: str) -> Way:
        async def send(carriers: Sequence[str]) -> None:
            parcel = Parcel(txn=f"bench{next(numbers)}", plane=plane, carriers=tuple(carriers), body="words", **to)
            await sender.transport.send(parcel)

        return Way(send, arrivals)

    receiver.heard = heard
    return Ways(way("room", room=room), way("direct", address=receiver.address, device=receiver.transport.device))
