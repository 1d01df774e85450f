"""A node that has proven its key, and does what no node should."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
import pytest
from aiohttp import web

from bots.serving.limits import Allowance, Meters
from bots.transports import Parcel
from bots.transports.http.backlog import Backlog
from bots.transports.lan import following, transport
from bots.transports.lan.records import Record
from bots.transports.lan.transport import LanTransport
from clawnet_proto import base64url
from clawnet_proto.bindings import lan as binding
from clawnet_proto.bindings.lan import Proof
from tests.agent.virtual_time import until
from tests.proto.authoring import Author
from tests.transports.resident import Resident
from tests.transports.worlds import LanWorld, Words, now_ms

Say = Callable[[web.StreamResponse], Awaitable[None]]


class Rogue:
    """Serves what a test wants it to: ``room`` and ``queue`` write the two streams."""

    def __init__(self, lan: LanWorld, name: str = "rogue") -> None:
        self.author = Author(name)
        self.address = binding.address(self.author.did)
        self.lan = lan
        self.asked: list[str] = []
        self.words = Words(name, lan.room)
        self._events = 0

    def event(self, sender: str = "") -> bytes:
        self._events += 1
        data = {
            "sender": sender or self.address,
            "received_ms": now_ms(),
            "carriers": [json.loads(self.words.carrier())],
        }
        return f"id: e-{self._events}\nevent: message\ndata: {json.dumps(data)}\n\n".encode()

    def caught_up(self) -> bytes:
        return f"id: e-{self._events}\nevent: caught-up\ndata: {{}}\n\n".encode()

    @asynccontextmanager
    async def serving(self, ada: Resident, room: Say, queue: Say) -> AsyncIterator[None]:
        """Serve, and have ada know of it."""

        async def answer(request: web.Request) -> web.StreamResponse:
            place = request.path.split("/")[2]
            self.asked.append(place)
            if place == "proof":
                return self._proof(request)
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            with suppress(ConnectionError):
                await (room if place == "rooms" else queue)(response)
                await asyncio.Event().wait()
            return response

        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        assert isinstance(ada.transport, LanTransport)
        ada.transport._neighbours.found(Record(self.author.did, ("127.0.0.1",), self._port, ()))
        yield
        await runner.cleanup()

    def _proof(self, request: web.Request) -> web.Response:
        proof = Proof(
            node=self.author.did, reader=request.query["reader"], at=f"127.0.0.1:{self._port}",
            nonce=request.query["nonce"], ticket=base64url.encode(os.urandom(32)), now_ms=now_ms(),
            rooms=(self.lan.room,),
        )  # fmt: skip
        body = msgspec.json.encode(binding.prove(self.author.key, (), proof))
        return web.Response(body=body, content_type="application/json")


def from_rogue(ada: Resident, rogue: Rogue) -> list[str]:
    return [one.plane for one in ada.received if one.sender == rogue.address]


async def silent(_response: web.StreamResponse) -> None:
    """Says nothing, and goes on with that."""


async def test_it_speaks_for_nobody_but_itself(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    rogue = Rogue(lan)

    async def room(response: web.StreamResponse) -> None:
        await response.write(
            rogue.event(bert.address) + rogue.event(ada.address) + rogue.event("lan:x") + rogue.event()
        )

    before = len(ada.received)
    async with rogue.serving(ada, room, silent):
        await ada.until(lambda: from_rogue(ada, rogue))
    assert len(ada.received) == before + 1


async def test_what_it_has_for_us_is_read_once_its_rooms_are(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    rogue = Rogue(lan)
    told = asyncio.Event()

    async def room(response: web.StreamResponse) -> None:
        await response.write(rogue.event())
        await told.wait()
        assert "peers" not in rogue.asked
        await response.write(rogue.event() + rogue.caught_up())

    async def queue(response: web.StreamResponse) -> None:
        await response.write(rogue.event())

    async with rogue.serving(ada, room, queue):
        await ada.until(lambda: from_rogue(ada, rogue) == ["room"])
        told.set()
        await ada.until(lambda: from_rogue(ada, rogue) == ["room", "room", "direct"])
    assert rogue.asked[:3] == ["proof", "rooms", "peers"]


async def test_a_flood_is_read_no_faster_than_it_may_be(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    assert isinstance(ada.transport, LanTransport)
    rogue = Rogue(lan)
    written: list[int] = []
    some = b"".join(rogue.event() for _ in range(100))

    async def room(response: web.StreamResponse) -> None:
        while True:
            await response.write(some)
            written.append(len(some))

    real = ada.transport._pace
    ada.transport._pace = Meters(Allowance(100, 0.001))
    async with rogue.serving(ada, room, silent):
        await ada.until(lambda: from_rogue(ada, rogue))
        read = len(from_rogue(ada, rogue))
        # It is held up where it writes; others are not, once it may not go on.
        ada.transport._pace = real
        words = Words("somebody", lan.room).carrier()
        await bert.transport.send(Parcel(txn="t1", plane="room", room=lan.room, carriers=(words,)))
        await ada.until(lambda: json.loads(words) in ada.carriers("room"))
    assert 0 < read <= 200


async def test_who_talks_without_end_is_heard_six_hundred_times_a_minute(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    assert isinstance(ada.transport, LanTransport)
    rogue, now = Rogue(lan), asyncio.get_running_loop().time
    some = b"".join(rogue.event() for _ in range(100))

    async def room(response: web.StreamResponse) -> None:
        while True:
            await response.write(some)

    assert transport._PACE.per_second * 60 == 600
    ada.transport._pace = Meters(Allowance(20, transport._PACE.per_second))
    began_s = now()
    async with rogue.serving(ada, room, silent):
        await ada.until(lambda: len(from_rogue(ada, rogue)) >= 25)
        assert len(from_rogue(ada, rogue)) <= 20 + 10 * (now() - began_s)


async def test_what_is_no_event_is_paid_for_too(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    assert isinstance(ada.transport, LanTransport)
    rogue = Rogue(lan)

    async def room(response: web.StreamResponse) -> None:
        await response.write(b": remark\n" * 10_000 + rogue.event())

    refused: list[float] = []

    class Slow(Meters):
        def wait_s(self, name: str, amount: float, now_s: float) -> float:
            wait_s = super().wait_s(name, amount, now_s)
            refused.extend([wait_s] if wait_s else [])
            return wait_s

    real = ada.transport._pace
    ada.transport._pace = Slow(Allowance(10, 0.001))
    async with rogue.serving(ada, room, silent):
        await until(lambda: refused, 10)
        ada.transport._pace = real
        words = Words("somebody", lan.room).carrier()
        await bert.transport.send(Parcel(txn="t1", plane="room", room=lan.room, carriers=(words,)))
        await ada.until(lambda: json.loads(words) in ada.carriers("room"))
        assert from_rogue(ada, rogue) == []


@pytest.mark.parametrize("says, tries", [(False, [1, 2, 3]), (True, [0, 0, 0])])
async def test_who_ends_at_once_is_tried_less_and_less(
    lan: LanWorld, monkeypatch: pytest.MonkeyPatch, says: bool, tries: list[int]
) -> None:
    told: list[int] = []

    def at_once(tries: int, within_s: tuple[float, float], _: object) -> float:
        if within_s == following._CALL_S:
            return within_s[1]
        told.append(tries)
        return 0.0

    monkeypatch.setattr(following, "delay_s", at_once)
    ada = await lan.resident("ada")
    rogue = Rogue(lan)

    async def room(response: web.StreamResponse) -> None:
        if says:
            await response.write(rogue.event())
        await response.write_eof()

    async with rogue.serving(ada, room, silent):
        await until(lambda: len(told) >= 3, 10)
    assert told[:3] == tries


async def test_an_event_that_is_too_large_is_skipped(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    rogue = Rogue(lan)
    largest = b'id: large\nevent: message\ndata: {"sender":"%s","received_ms":1,"carriers":["%s"]}\n\n'
    frame = len((largest % (rogue.address.encode(), b"")).replace(b"\n", b""))

    async def room(response: web.StreamResponse) -> None:
        for size in (69632, 69633, 250_000):
            await response.write(largest % (rogue.address.encode(), b"x" * (size - frame)))
        await response.write(rogue.event())

    async with rogue.serving(ada, room, silent):
        await ada.until(lambda: len(from_rogue(ada, rogue)) >= 2)
    assert len(from_rogue(ada, rogue)) == 2


async def test_what_is_read_and_not_taken_yet_is_bounded(lan: LanWorld) -> None:
    """Of all nodes together; and nothing is lost."""
    ada = await lan.resident("ada")
    assert isinstance(ada.transport, LanTransport)
    backlog = ada.transport.backlog = Backlog(10_000)
    held: list[int] = []
    ada.heard = lambda _: held.append(backlog.held)
    rogues = [Rogue(lan, name) for name in ("rogue", "villain")]

    def room(rogue: Rogue) -> Say:
        async def say(response: web.StreamResponse) -> None:
            await response.write(b"".join(rogue.event() for _ in range(100)))

        return say

    async with AsyncExitStack() as stack:
        for rogue in rogues:
            await stack.enter_async_context(rogue.serving(ada, room(rogue), silent))
        for rogue in rogues:
            await ada.until(lambda: len(from_rogue(ada, rogue)) == 100)  # noqa: B023
        await ada.until(lambda: not backlog.held)
    assert 0 < max(held) <= 10_000


@pytest.mark.parametrize(
    "noise",
    [
        b"data: x\n" * 10_000,
        b"\xff\xfe\n\n",
        b"id: \x00\nevent: message\ndata: {}\n\n",
        b"event: members\ndata: {}\n\n" * 50,
    ],
)
async def test_noise_in_its_stream_disturbs_nobody(lan: LanWorld, noise: bytes) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    rogue = Rogue(lan)

    async def room(response: web.StreamResponse) -> None:
        await response.write(rogue.event() + noise)

    async with rogue.serving(ada, room, silent):
        await ada.until(lambda: "rooms" in rogue.asked)
        assert ada.transport.online
        await ada.until(lambda: ada.transport.is_member(lan.room, bert.address))
