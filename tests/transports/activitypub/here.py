"""Our side of an inbox, without a server of its own, and what is posted to it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import pytest
from aiohttp import web

from bots.transports.activitypub.fetcher import Fetcher
from bots.transports.activitypub.notes import Document
from bots.transports.activitypub.request import Request
from bots.transports.activitypub.schemes import Scheme
from bots.transports.activitypub.verification import Arrival, Rejected, Verifier
from tests.transports.activitypub.arrived import BASE, INBOX, keys
from tests.transports.activitypub.stranger import Stranger

OWN = f"{BASE}/actor"


class Monotonic:
    """A clock that goes on when it is told to."""

    ms = 0

    def __call__(self) -> int:
        return self.ms


class Here:
    """Our own side: who we take things for."""

    def __init__(self) -> None:
        self.monotonic = Monotonic()
        self.offset_ms = 0
        self.fetcher = Fetcher(keys(3), f"{OWN}#main-key", self.now_ms, allow_private=True)
        self.verifier = Verifier(self.fetcher, OWN, self.now_ms, self.monotonic)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms

    async def takes(self, request: Request) -> Arrival:
        return await self.verifier.arrival(request)

    async def refuses(self, request: Request, status: int, code: str) -> None:
        with pytest.raises(Rejected) as caught:
            await self.verifier.arrival(request)
        assert (caught.value.status, caught.value.code) == (status, f"activitypub.{code}"), caught.value.message


class Keeper(Stranger):
    """One that serves more than its actor: ``things``, by their URLs; or nothing at all any more."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name, number=number)
        self.things: dict[str, Document | str] = {}
        self.gone = False

    async def _serve(self, request: web.Request) -> web.Response:
        found = self.things.get(str(request.url))
        if self.gone:
            self.requests.append((request.method, request.path))
            return web.Response(status=410)
        if found is None:
            return await super()._serve(request)
        if isinstance(found, str):
            return web.Response(body=found.encode(), content_type="application/clawnet+json")
        return web.Response(body=json.dumps(found).encode(), content_type="application/activity+json")


@asynccontextmanager
async def somebody_here() -> AsyncIterator[Here]:
    found = Here()
    yield found
    await found.verifier.close()
    await found.fetcher.close()


@asynccontextmanager
async def somebody(name: str, number: int) -> AsyncIterator[Keeper]:
    """A stranger; each number has keys of its own."""
    found = Keeper(name, number)
    await found.start()
    yield found
    await found.stop()


def posted(
    document: Document | bytes,
    signed_by: Stranger | None,
    *,
    scheme: Scheme = "cavage",
    changes: Mapping[str, str] = MappingProxyType({}),
) -> Request:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"Content-Type": "application/activity+json", "Host": "my.example"}
    if signed_by is not None:
        headers |= signed_by.signed(INBOX, body, scheme)
    return Request(method="POST", base=BASE, target="/inbox", headers=list({**headers, **changes}.items()), body=body)


def gets(stranger: Stranger) -> int:
    """How often its actor was asked for."""
    return stranger.requests.count(("GET", "/actor"))
