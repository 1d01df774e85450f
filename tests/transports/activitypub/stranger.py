"""An actor of another server, made by hand: it says whatever a test wants, signed or not."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from bots.transports.activitypub import documents, notes, proofs
from bots.transports.activitypub.media_types import ACTIVITY_JSON
from bots.transports.activitypub.names import PUBLIC, Names
from bots.transports.activitypub.notes import Document, Words
from bots.transports.activitypub.schemes import Scheme, headers
from tests.agent.virtual_time import until
from tests.transports.actor_keys import some_keys

PATIENCE_S = 20.0


class Stranger:
    """Serves its actor on loopback, and keeps what is posted to its inboxes.

    ``answer`` gives the status for a post; ``document`` may be changed.
    """

    def __init__(self, name: str = "eve", *, number: int = 0, kind: str = "Service", did: str = "") -> None:
        self.name = name
        self.keys = some_keys(number)
        self.kind = kind
        self.did = did
        self.posted: list[Document] = []
        self.requests: list[tuple[str, str]] = []  # (method, path) of what it was asked
        self.answer: Callable[[web.Request], web.Response] = lambda _: web.Response(status=202)
        self.outbox: list[Any] = []
        self.texts: dict[str, str] = {}  # carriers by path
        self.pages: dict[str, web.Response] = {}  # anything else, once each
        self._numbers = itertools.count(1)
        self._session = aiohttp.ClientSession()

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=1 << 22)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.names = Names(f"http://127.0.0.1:{self._runner.addresses[0][1]}", self.name)
        self.document = documents.actor(self.names, self.keys, self.did or "none") | {"type": self.kind}
        if not self.did:
            del self.document["clawnetIdentity"]

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def away(self) -> None:
        """Nobody answers any more."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        return int(self.names.base.rpartition(":")[2])

    async def _serve(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        if request.method == "POST":
            answer = self.answer(request)
            if answer.status < 300:
                self.posted.append(json.loads(await request.read()))
            return answer
        served = {
            "/actor": self.document,
            "/actor/outbox": documents.collection(self.names.outbox, len(self.outbox), f"{self.names.outbox}?page=1"),
        }
        if request.query.get("page"):
            served["/actor/outbox"] = documents.page(f"{self.names.outbox}?page=1", self.names.outbox, self.outbox)
        if request.path in self.pages:
            return self.pages.pop(request.path)
        if request.path in self.texts:
            return web.Response(text=self.texts[request.path], content_type="application/clawnet+json")
        if (found := served.get(request.path)) is None:
            return web.Response(status=404)
        return web.Response(body=json.dumps(found).encode(), headers={"Content-Type": ACTIVITY_JSON})

    def of(self, kind: str) -> list[Document]:
        """What was posted to it of one type."""
        return [one for one in self.posted if one["type"] == kind]

    async def got(self, kind: str, count: int = 1) -> list[Document]:
        """Once so many of a type were posted to it."""
        await until(lambda: len(self.of(kind)) >= count, PATIENCE_S)
        return self.of(kind)

    async def answered(self, text: str, timeout_s: float) -> list[Document]:
        """All notes that it got, once there is one with this text."""
        await until(lambda: any(text in one["object"]["content"] for one in self.of("Create")), timeout_s)
        return self.of("Create")

    # -- what it says ----------------------------------------------------------------------------------------

    def fresh(self) -> str:
        return f"n{next(self._numbers)}"

    def follow(self, actor: str) -> Document:
        return notes.follow(self.names, self.fresh(), actor)

    def ends(self) -> Document:
        """The ``Delete`` of its actor."""
        activity = {"id": self.names.activity(self.fresh()), "type": "Delete", "actor": self.names.actor}
        return {"@context": notes.CONTEXT, "object": self.names.actor, "to": [PUBLIC]} | activity

    def says(self, text: str = "words", *, to: tuple[str, ...] = (PUBLIC,), **more: Any) -> Document:
        """``Create{Note}``."""
        words = Words(name=self.fresh(), published_ms=time.time_ns() // 1_000_000, text=text, to=to, **more)
        return notes.create(self.names, words)

    def asks(self, text: str, actor: str, handle: str, *, private: bool = False) -> Document:
        """A note that mentions somebody."""
        return self.says(text, to=(actor,) if private else (PUBLIC, actor), mentions=((actor, handle),))

    def carries(self, *carriers: str, to: tuple[str, ...] = (PUBLIC,), **more: Any) -> Document:
        """A note with carriers."""
        return self.says(to=to, carriers=notes.carriers_text(carriers), **more)

    def proven(self, document: Document) -> Document:
        """With a signature of its own."""
        return proofs.attach(document, self.keys, self.names.ed25519_key, time.time_ns() // 1_000_000_000)

    def signed(self, url: str, body: bytes, scheme: Scheme = "cavage", *, now_s: int | None = None) -> dict[str, str]:
        """The headers of a post."""
        moment = int(time.time()) if now_s is None else now_s
        found = headers(scheme, self.keys, self.names.main_key, "POST", url, body, moment)
        return found | {"Content-Type": ACTIVITY_JSON}

    async def post(
        self, url: str, document: Document, scheme: Scheme = "cavage", more: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, Document, dict[str, str]]:
        """Post an activity, signed; ``more`` headers replace those of the signature. Gives status, answer, headers."""
        body = json.dumps(document).encode()
        return await self.send(url, body, self.signed(url, body, scheme) | dict(more))

    async def send(
        self, url: str, body: bytes | AsyncIterator[bytes], given: dict[str, str], method: str = "POST"
    ) -> tuple[int, Document, dict[str, str]]:
        """A request as it is."""
        async with asyncio.timeout(PATIENCE_S):
            async with self._session.request(method, URL(url, encoded=True), data=body, headers=given) as answer:
                text = await answer.read()
                return answer.status, json.loads(text) if text else {}, dict(answer.headers)
