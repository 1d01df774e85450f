"""The raw transports: what the bare protocol costs with aiohttp alone, nothing verified and nothing kept by us.

Each gives two ways between two clients of its own for as long as it is entered.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.bench._ways import Arrivals, Way, Ways
from tests.matrix_client import MatrixClient
from tests.transports.worlds import Parts

_POLL_MS = 30_000
_CARRIERS = "net.clawnet.carriers"
_TO_DEVICE = "net.clawnet.bench"
_KEY_BITS = 2048


@asynccontextmanager
async def matrix(parts: Parts) -> AsyncIterator[Ways]:
    """Two accounts in a room of their own, which both follow it, as agents and chat clients do."""
    arrivals = Arrivals()
    sender, receiver = await parts.new_client("raw-one"), await parts.new_client("raw-two")
    room_id = await parts.new_room(sender, receiver)

    async def say(carriers: Sequence[str]) -> None:
        await sender.send_text(room_id, "words", **{_CARRIERS: list(map(json.loads, carriers))})

    async def whisper(carriers: Sequence[str]) -> None:
        content = {_CARRIERS: list(map(json.loads, carriers))}
        await sender.send_to_device(receiver.user_id, receiver.device_id, _TO_DEVICE, content)

    async def follow(client: MatrixClient) -> None:
        while True:
            await client.sync(_POLL_MS)
            for event in (*client.events, *client.to_device) if client is receiver else ():
                arrivals.came(event["content"].get(_CARRIERS, ()))
            client.events.clear()
            client.to_device.clear()

    for client in (sender, receiver):
        await client.sync()
    async with _running(follow(sender), follow(receiver)):
        yield Ways(Way(say, arrivals), Way(whisper, arrivals))


@asynccontextmanager
async def http(_parts: Parts) -> AsyncIterator[Ways]:
    """A server that hands on what is posted as server-sent events; both planes are the same there."""
    arrivals, coming = Arrivals(), asyncio.Queue[bytes]()

    async def take(request: web.Request) -> web.Response:
        coming.put_nowait(await request.read())
        return web.Response()

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(b"data: " + await coming.get() + b"\n\n")

    async def read(stream: aiohttp.StreamReader) -> None:
        async for line in stream:
            if line.startswith(b"data: "):
                arrivals.came(json.loads(line.removeprefix(b"data: "))["carriers"])

    async with (
        _serving(web.post("/", take), web.get("/", tell)) as url,
        aiohttp.ClientSession() as session,
        session.get(url) as response,
        _running(read(response.content)),
    ):
        way = Way(_post(session, url, lambda url, body: {}), arrivals)
        yield Ways(way, way)


@asynccontextmanager
async def activitypub(_parts: Parts) -> AsyncIterator[Ways]:
    """Posts to an inbox with an RSA signature, which nobody there looks at; both planes are the same there."""
    arrivals, key = Arrivals(), rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)

    async def take(request: web.Request) -> web.Response:
        arrivals.came(json.loads(await request.read())["carriers"])
        return web.Response(status=202)

    async with _serving(web.post("/", take)) as url, aiohttp.ClientSession() as session:
        way = Way(_post(session, url, lambda url, body: _signed(key, url, body)), arrivals)
        yield Ways(way, way)


def _signed(key: rsa.RSAPrivateKey, url: str, body: bytes) -> dict[str, str]:
    """The headers that ActivityPub servers sign with (draft-cavage-http-signatures-12)."""
    covered = {
        "(request-target)": f"post {urlsplit(url).path}",
        "host": urlsplit(url).netloc,
        "date": formatdate(usegmt=True),
        "digest": f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}",
    }
    text = "\n".join(f"{name}: {value}" for name, value in covered.items())
    signature = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    names = " ".join(covered)
    return {
        "Date": covered["date"],
        "Digest": covered["digest"],
        "Signature": f'keyId="{url}#main-key",algorithm="rsa-sha256",headers="{names}",signature="{signature}"',
    }


def _post(
    session: aiohttp.ClientSession, url: str, headers: Callable[[str, bytes], Mapping[str, str]]
) -> Callable[[Sequence[str]], Coroutine[None, None, None]]:
    async def send(carriers: Sequence[str]) -> None:
        body = ('{"carriers":[' + ",".join(carriers) + "]}").encode()
        kind = {"Content-Type": "application/json"}
        async with session.post(url, data=body, headers={**kind, **headers(url, body)}) as response:
            response.raise_for_status()

    return send


@asynccontextmanager
async def _serving(*routes: web.RouteDef) -> AsyncIterator[str]:
    """A bare server on loopback, by its URL."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _running(*parts: Coroutine[None, None, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
