"""A hub that behaves as no real one can be made to, and whoever reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from bots.identity import Identity
from bots.transports import Delivery
from bots.transports.http.config import HttpConfig
from bots.transports.http.transport import HttpTransport
from tests.agent.virtual_time import until

PATIENCE_S = 10.0
ANYBODY = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"

Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Puppet:
    """A hub that says what a test wants. ``streams`` are what the room's stream is each time it is asked for: bytes
    to send, then whether it is cut. The last one is given again.
    """

    def __init__(self) -> None:
        self.streams: list[tuple[bytes, bool]] = [(caught_up("e-0"), False)]
        self.queue: list[tuple[bytes, bool]] = [(caught_up("q-0"), False)]  # the same for what is sent to us
        self.answer: Answers | None = None  # to a POST
        self.mute = False
        self.asked: list[web.Request] = []  # for the room's stream
        self.asked_own: list[web.Request] = []
        self.posted = 0
        self.ended = asyncio.Event()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/rooms/clawnet", self._room)
        app.router.add_get("/peers/{did}", self._own)
        app.router.add_post("/{path:.*}", self._post)
        app.router.add_get("/rooms/clawnet/members", self._members)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.room = f"{self.base}/rooms/clawnet"

    async def stop(self) -> None:
        self.ended.set()
        await self._runner.cleanup()

    async def _room(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.mute:
            await self.ended.wait()
        data, cut = self.streams.pop(0) if len(self.streams) > 1 else self.streams[0]
        if data == GONE:
            return web.json_response({"code": "history.gone"}, status=410)
        return await self._stream(request, data.replace(b"BASE", self.base.encode()), cut)

    async def _own(self, request: web.Request) -> web.StreamResponse:
        self.asked_own.append(request)
        data, cut = self.queue.pop(0) if len(self.queue) > 1 else self.queue[0]
        return await self._stream(request, data.replace(b"BASE", self.base.encode()), cut)

    async def _stream(self, request: web.Request, data: bytes, cut: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(data)
        if not cut:
            await self.ended.wait()
        return response

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self.posted += 1
        await request.read()
        assert self.answer is not None
        return await self.answer(request)

    async def _members(self, request: web.Request) -> web.StreamResponse:
        return await self._post(request)


GONE = b"gone"


def members(*dids: str, more: bool = False, kind: str = "members") -> bytes:
    told = {"members": [f"BASE/peers/{did}" for did in dids], "more": more}
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps(told).encode())


def message(event_id: str, word: str = "word", sender: str = f"BASE/peers/{ANYBODY}") -> bytes:
    data = json.dumps({"sender": sender, "received_ms": 1, "carriers": [word]}).encode()
    return b"id: %s\nevent: message\ndata: %s\n\n" % (event_id.encode(), data)


def caught_up(event_id: str) -> bytes:
    return b"id: %s\nevent: caught-up\ndata: {}\n\n" % event_id.encode()


class Reader:
    """A transport at a puppet, and what it commits."""

    def __init__(self, hub: Puppet, own: Identity) -> None:
        self._hub, self._own = hub, own
        self.kept: str | None = None
        self.committed: list[Delivery] = []
        self.durable: list[bool] = []  # of what was sent to us alone
        self.fault: Exception | None = None
        self.missing = 0
        self._run: asyncio.Future[None] | None = None

    def commit(self, _: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        if self.fault is not None and deliveries:
            raise self.fault
        self.committed += deliveries
        self.durable += [durable for delivery in deliveries if delivery.plane == "direct"]
        self.kept = position

    def position(self, _: str) -> str | None:
        return self.kept

    def had(self, _: str, events: object) -> Sequence[str]:
        return []

    def _miss(self) -> None:
        self.missing += 1

    def start(self, *, watched: bool = False) -> None:
        config = HttpConfig(hub=self._hub.base, rooms=("clawnet",))
        self.transport = HttpTransport(
            config, lambda: self._own, self, lambda: 0, on_missing=self._miss if watched else None, chance=lambda: 0.0
        )
        self._run = asyncio.ensure_future(self.transport.run())

    async def ended(self) -> None:
        assert self._run is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._run

    async def stop(self) -> None:
        if self._run is not None:
            await self.transport.close()
            await asyncio.gather(self._run, return_exceptions=True)
            self._run = None

    def heard(self) -> list[tuple[object, bool]]:
        return [(word, delivery.live) for delivery in self.committed for word in self.transport.carriers(delivery)]

    async def hears(self, *wanted: tuple[str, bool]) -> None:
        await until(lambda: len(self.heard()) >= len(wanted), PATIENCE_S)
        assert self.heard() == list(wanted)
