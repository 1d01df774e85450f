from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bots.hub import feeds, server, streams
from bots.serving import listening
from tests.hub.visitor import Visitor

if TYPE_CHECKING:
    from tests.hub.conftest import Running


async def raw(hub: Running, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """What comes back for these bytes until the other side ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def posted(hub: Running, body: bytes, length: int, kind: str = "application/json") -> bytes:
    return (
        f"POST /rooms/clawnet HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode() + body


async def test_who_sends_a_request_too_slowly_is_cut(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_ASK_S", 0.2)
    assert await raw(hub, b"GET / HT") == b""
    assert await raw(hub) == b""
    # A second request on the same connection has no more time than the first.
    first = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\n\r\n".encode()
    answer = await raw(hub, first, b"GET / HT")
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_who_sends_a_body_too_slowly_is_told(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_BODY_S", 0.2)
    answer = await raw(hub, posted(hub, b'{"carriers"', 100))
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("length", [65537, 1 << 40])
async def test_what_is_too_large_is_not_even_read(hub: Running, length: int) -> None:
    answer = await raw(hub, posted(hub, b"", length))
    assert answer.startswith(b"HTTP/1.1 413")


async def test_what_grows_too_large_on_the_way(hub: Running, session: aiohttp.ClientSession) -> None:
    async def endless() -> object:
        for _ in range(100):
            yield b"[" * 4096

    async with session.post(hub.room(), data=endless(), headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_another_type_of_content(hub: Running, kind: str) -> None:
    assert (await raw(hub, posted(hub, b"{}", 2, kind))).startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"carriers":{}}',
        b'{"carriers":[]}',
        b'{"carriers":[' + b",".join([b"{}"] * 17) + b"]}",
        b'{"carriers":' + b"[" * 30_000,
        b'{"carriers":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"\xff\xfe",
        b'{"carriers":["\\ud800"]}\x00',
    ],
)
async def test_a_body_that_is_none(hub: Running, ada: Visitor, body: bytes) -> None:
    status, answer = await ada.post(hub.room(), body)
    assert (status, answer["code"]) == (400, "http.body")


@pytest.mark.parametrize(
    "carrier", [b"null", b"1e999999", b'"\\ud800"', b'{"clawnet":"\\ud800"}', b"9" * 5000, b"[" * 500 + b"]" * 500]
)
async def test_a_carrier_that_is_none(hub: Running, ada: Visitor, carrier: bytes) -> None:
    good = ada.announce(hub.room())
    status, answer = await ada.say(hub.room(), carrier, good)
    assert status in (200, 400)
    if status == 200:
        assert answer["results"][0]["code"] in ("carrier.malformed", "carrier.not_json")
        assert "event" in answer["results"][1]


async def test_too_many_who_read(hub: Running, bert: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_READERS_OF_NETWORK", 2)
    async with bert.stream(hub.room()), bert.stream(hub.room("other")):
        status, answer = await bert.read(hub.room())
        assert (status, answer["code"]) == (503, "hub.readers")
    for _ in range(100):
        status, answer = await bert.read(hub.room())
        if status == 200:
            break
        await asyncio.sleep(0.02)
    assert status == 200


async def test_who_takes_nothing_is_let_go(
    hub: Running, ada: Visitor, bert: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_TAKE_S", 0.2)
    large = b'"' + b"x" * 60_000 + b'"'
    for number in range(300):  # many times more than all buffers on the way hold
        hub.archive.append(hub.room(), ada.address, [(str(number), large)], hub.clock.ms)
    _, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=1024)
    writer.write(b"GET /rooms/clawnet HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    async with bert.stream(hub.room()) as stream:
        assert (await stream.next())[1] == "message"
    for _ in range(200):
        if not hub.server.readers:
            break
        await asyncio.sleep(0.05)
    writer.transport.abort()
    assert hub.server.readers == 0


@pytest.mark.parametrize(
    "path", ["/rooms/a/../../etc", "/rooms/%2e%2e%2f", "/peers/nobody", "/peers/did:key:z6Mk", "/%00"]
)
async def test_paths_that_lead_nowhere(hub: Running, path: str) -> None:
    answer = await raw(hub, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b"\r\n")[0].split()[1] in (b"404", b"400")


async def test_nonsense_is_no_reason_to_log(hub: Running, caplog: pytest.LogCaptureFixture) -> None:
    for junk in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 100_000,
        b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    ):
        await raw(hub, junk + b"\r\n\r\n")
    assert not caplog.records
    answer = await raw(hub, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.dumps(answer.decode())
