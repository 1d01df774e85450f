"""Those who read from a hub: how many, how slowly, and what they may make it forget."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from bots.errors import StoreError
from bots.hub import archive, feeds, streams
from tests.agent.virtual_time import until
from tests.hub.visitor import Visitor

if TYPE_CHECKING:
    from tests.hub.conftest import Running

LARGE = b'"' + b"x" * 60_000 + b'"'


def fill(hub: Running, count: int) -> None:
    with hub.archive.transaction():
        for number in range(count):
            hub.archive.append(hub.room(), "somebody", [(str(number), LARGE)], hub.clock.ms)


def asked(hub: Running, accept: str) -> bytes:
    return f"GET /rooms/clawnet HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nAccept: {accept}\r\n\r\n".encode()


async def until_nobody_reads(hub: Running) -> None:
    await until(lambda: not hub.server.readers, 10)


async def test_who_reads_slowly_gets_on(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_TAKE_S", 0.8)
    fill(hub, 400)
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=1 << 17)
    writer.write(asked(hub, "text/event-stream"))
    data = 0
    while b"caught-up" not in (piece := await reader.read(1 << 17)):
        assert piece
        data += len(piece)
        await asyncio.sleep(0.01)
    writer.transport.abort()
    assert data > 399 * 60_000
    await until_nobody_reads(hub)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_who_takes_nothing_counts_until_it_is_let_go(
    hub: Running, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    monkeypatch.setattr(streams, "_TAKE_S", 0.5)
    monkeypatch.setattr(archive, "_PAGE_BYTES", 1 << 25)
    fill(hub, 300)
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port, limit=1024)
    writer.write(asked(hub, accept))
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert hub.server.readers == 1
    await until_nobody_reads(hub)
    writer.transport.abort()


async def test_all_who_read_count(hub: Running, ada: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_READERS_OF_NETWORK", 0)
    for url in (hub.room(), f"{hub.room()}/members"):
        status, answer = await ada.read(url)
        assert (status, answer["code"]) == (503, "hub.readers")


async def test_a_fault_in_the_middle_of_a_stream_ends_it(
    hub: Running, ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(asked(hub, "text/event-stream"))
    before = await reader.readuntil(b"caught-up\ndata: {}\n\n")
    with monkeypatch.context() as context:

        def fail(*_: object) -> object:
            raise StoreError("store.full", "No space.")

        context.setattr(hub.archive, "after", fail)
        assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200
        try:
            rest = await reader.read()
        except ConnectionResetError:
            rest = b""
    writer.close()
    assert (before + rest).count(b"HTTP/1.1") == 1
    assert b"store.full" not in rest


@pytest.mark.parametrize(
    "accept, kind",
    [
        ("text/event-stream", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream;q=0.1", "text/event-stream"),
        ("text/event-stream;q=0, application/json", "application/json"),
        ("text/event-stream; q=0.000", "application/json"),
        ("application/text/event-stream", "application/json"),
    ],
)
async def test_what_a_reader_accepts(hub: Running, accept: str, kind: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(asked(hub, accept))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.transport.abort()
    assert f"Content-Type: {kind}" in head


async def test_what_no_signature_covers_makes_a_hub_forget_nothing(hub: Running, ada: Visitor, bert: Visitor) -> None:
    for visitor in (ada, bert):
        await visitor.say(hub.room(), visitor.announce(hub.room()))
    carriers = [ada.announce(hub.room()) for _ in range(2)]
    for carrier in carriers:
        _, answer = await ada.say(bert.address, carrier, signed=True)
    last = answer["results"][0]["event"]
    async with bert.stream(bert.address, after=last, signed=True) as stream:
        assert (await stream.next())[:2] == (last, "caught-up")
    _, answer = await bert.read(bert.address, signed=True)
    assert [event["carriers"] for event in answer["events"]] == [[json.loads(carrier)] for carrier in carriers]
    assert (await bert.read(bert.address, signed=True, after=last))[1]["events"] == []
    assert (await bert.read(bert.address, signed=True))[1]["events"] == []
