"""Chunks of artifacts at a hub: stored by members, found by their digest, bounded, and gone after a day."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from bots import identity as identities
from bots.errors import Refused, RetryLater
from bots.hub import server
from bots.hub.chunks import ChunkBounds, Chunks
from bots.hub.hub import Settings
from bots.serving.limits import Allowance
from bots.store import Store
from bots.transports.http.config import HttpConfig
from bots.transports.http.transport import HttpTransport
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS
from tests.hub.visitor import Visitor

if TYPE_CHECKING:
    from tests.hub.conftest import NewHub, Running

DAY_MS = 86_400_000
NOW_MS = 100 * DAY_MS
KB = 1024
DATA = bytes(range(256)) * 300
NAME = digest(DATA)


# -- what is kept --------------------------------------------------------------------------------------------

Open = Callable[[ChunkBounds], Chunks]


@pytest.fixture
def open_(tmp_path: Path) -> Iterator[Open]:
    opened: list[Chunks] = []

    def new(bounds: ChunkBounds) -> Chunks:
        opened.append(Chunks(tmp_path / "chunks.sqlite", bounds))
        return opened[-1]

    yield new
    for chunks in opened:
        chunks.close()


def put(chunks: Chunks, number: int, did: str = "ada", network: str = "n", *, at_ms: int = NOW_MS) -> str:
    """Store the chunk with this number, of 4 KiB."""
    data = number.to_bytes(4, "big") * KB
    chunks.put(digest(data), data, did, network, at_ms)
    return digest(data)


def kept(chunks: Chunks, *names: str, at_ms: int = NOW_MS) -> list[bool]:
    return [chunks.get(name, at_ms) is not None for name in names]


def test_after_a_day_it_is_gone_unless_it_was_stored_anew(open_: Open) -> None:
    chunks = open_(ChunkBounds())
    first, second = put(chunks, 1), put(chunks, 2)
    put(chunks, 2, at_ms=NOW_MS + 1)
    assert kept(chunks, first, second, at_ms=NOW_MS + DAY_MS) == [False, True]
    put(chunks, 3, at_ms=NOW_MS + DAY_MS)
    assert chunks._database.value("SELECT count(*) FROM chunks") == 2


@pytest.mark.parametrize(
    "bounds", [ChunkBounds(bytes_of_peer=8 * KB), ChunkBounds(bytes_of_network=8 * KB), ChunkBounds(bytes=8 * KB)]
)
def test_the_oldest_makes_place(open_: Open, bounds: ChunkBounds) -> None:
    chunks = open_(bounds)
    first, second, third = (put(chunks, number) for number in range(3))
    assert kept(chunks, first, second, third) == [False, True, True]
    chunks.close()
    again = open_(bounds)
    put(again, 3)
    assert kept(again, second, third) == [False, True]


def test_who_stores_most_makes_place_for_others(open_: Open) -> None:
    chunks = open_(ChunkBounds(bytes=64 * KB))
    of_ada = put(chunks, 1000, "ada", "n")
    for number in range(100):
        put(chunks, number, f"flooder {number}", "elsewhere")
    assert kept(chunks, of_ada) == [True]
    assert chunks._database.value("SELECT count(*) FROM chunks") <= 16


def test_the_least_chunk_takes_its_place_too(open_: Open) -> None:
    chunks = open_(ChunkBounds(bytes_of_peer=8 * KB))
    for number in range(10):
        data = bytes([number])
        chunks.put(digest(data), data, "ada", "n", NOW_MS)
    assert chunks._database.value("SELECT count(*) FROM chunks") == 2


def test_nobody_can_make_it_drop_what_another_one_stored_too(open_: Open) -> None:
    chunks = open_(ChunkBounds(bytes_of_peer=8 * KB))
    shared = put(chunks, 1, "mallory", "m")
    assert put(chunks, 1, "ada", "n") == shared
    for number in range(2, 10):
        put(chunks, number, "mallory", "m")
    assert kept(chunks, shared) == [True]
    for number in range(10, 12):
        put(chunks, number, "ada", "n")
    assert kept(chunks, shared) == [False]


# -- over HTTP -----------------------------------------------------------------------------------------------


async def bring(
    visitor: Visitor, url: str, data: bytes, session: aiohttp.ClientSession, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Store a chunk; ``headers`` stand for the proof of who does."""
    proof = visitor.proof("PUT", url, data) if headers is None else headers
    sent = {"Content-Type": "application/octet-stream", **proof}
    async with session.put(url, data=data, headers=sent) as response:
        return response.status, json.loads(await response.read())


@pytest.fixture
async def member(hub: Running, ada: Visitor) -> Visitor:
    assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200
    return ada


async def test_what_a_member_stores_everybody_finds_by_its_digest(
    hub: Running, member: Visitor, session: aiohttp.ClientSession
) -> None:
    url = f"{hub.base}/chunks/{NAME}"
    for _ in range(2):
        assert await bring(member, url, DATA, session) == (200, {"uri": url})
    async with session.get(url) as response:
        assert await response.read() == DATA
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"] == "attachment"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    await hub.stop()
    await hub.start()
    async with session.get(url) as response:
        assert await response.read() == DATA
    hub.clock.ms += DAY_MS
    async with session.get(url) as response:
        assert (response.status, (await response.json())["code"]) == (404, "http.not_found")


async def test_only_members_store(hub: Running, ada: Visitor, session: aiohttp.ClientSession) -> None:
    url = f"{hub.base}/chunks/{NAME}"
    status, answer = await bring(ada, url, DATA, session)
    assert (status, answer["code"]) == (403, "hub.not_member")
    assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200
    status, answer = await bring(ada, url, DATA, session, {})
    assert (status, answer["code"]) == (401, "http.unsigned")
    # The signature covers the bytes.
    proof = ada.proof("PUT", url, DATA)
    status, answer = await bring(ada, url, DATA[1:], session, proof)
    assert (status, answer["code"]) == (401, "http.signature")
    async with session.get(url) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    "name, data, headers, status, code",
    [
        (NAME, DATA + b"x", {}, 400, "http.digest"),
        (digest(b""), b"", {}, 400, "http.digest"),
        (NAME[1:], DATA, {}, 404, "http.not_found"),
        (f"..%2f{NAME[5:]}", DATA, {}, 404, "http.not_found"),
        (NAME, DATA, {"Content-Type": "text/html"}, 415, "http.content_type"),
        (NAME, DATA, {"Content-Encoding": "gzip"}, 415, "http.content_type"),
        (NAME, b"x" * (LIMITS.chunk_bytes + 1), {}, 413, "size.request"),
    ],
    ids=["other bytes", "no bytes", "short", "a path", "a type", "packed", "large"],
)
async def test_what_is_no_chunk(
    hub: Running,
    member: Visitor,
    session: aiohttp.ClientSession,
    name: str,
    data: bytes,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    url = f"{hub.base}/chunks/{name}"
    found, answer = await bring(member, url, data, session, member.proof("PUT", url, data) | headers)
    assert (found, answer["code"]) == (status, code)
    assert hub.chunks._database.value("SELECT count(*) FROM chunks") == 0


async def test_the_largest_chunk_and_no_more_without_saying_how_much(
    hub: Running, member: Visitor, session: aiohttp.ClientSession
) -> None:
    data = b"x" * LIMITS.chunk_bytes
    url = f"{hub.base}/chunks/{digest(data)}"
    assert (await bring(member, url, data, session))[0] == 200

    async def endless() -> Any:
        while True:
            yield b"x" * 65536

    headers = {"Content-Type": "application/octet-stream"}
    async with session.put(url, data=endless(), headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (413, "size.request")


async def test_a_chunk_that_comes_too_slowly(
    hub: Running, member: Visitor, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CHUNK_S", 0.1)
    over = asyncio.Event()

    async def slowly() -> Any:
        yield b"x"
        await over.wait()

    url = f"{hub.base}/chunks/{NAME}"
    async with session.put(url, data=slowly(), headers={"Content-Type": "application/octet-stream"}) as response:
        assert (response.status, (await response.json())["code"]) == (408, "http.slow")
    over.set()


async def test_chunks_count_like_messages(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(Settings(per_key=Allowance(2, 1)))
    ada = Visitor("ada", hub.base, session, hub.clock)
    assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200
    url = f"{hub.base}/chunks/{NAME}"
    assert [(await bring(ada, url, DATA, session))[0] for _ in range(2)] == [200, 429]
    hub.clock.ms += 1000
    assert (await bring(ada, url, DATA, session))[0] == 200


async def test_many_bytes_count_like_many_requests(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(Settings(requests=Allowance(30, 1)))
    ada = Visitor("ada", hub.base, session, hub.clock)
    assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200
    data = b"x" * LIMITS.chunk_bytes
    url = f"{hub.base}/chunks/{digest(data)}"
    assert (await bring(ada, url, data, session))[0] == 200
    statuses = []
    for _ in range(3):
        async with session.get(url) as response:
            statuses.append(response.status)
    assert statuses == [200, 200, 429]
    hub.clock.ms += 10_000
    async with session.get(url) as response:
        assert response.status == 200


async def test_a_hub_without_files(hub: Running, member: Visitor, session: aiohttp.ClientSession) -> None:
    hub.hub.chunks = None
    url = f"{hub.base}/chunks/{NAME}"
    status, answer = await bring(member, url, DATA, session)
    assert (status, answer["code"]) == (403, "hub.no_store")
    async with session.get(url) as response:
        assert response.status == 404


# -- the client ----------------------------------------------------------------------------------------------


@pytest.fixture
async def transport(member: Visitor, hub: Running, tmp_path: Path) -> AsyncIterator[HttpTransport]:
    """That of the member."""
    own = identities.create(tmp_path / "keys")
    own = msgspec.structs.replace(own, did=member.author.did, key=member.author.key)
    store = Store.open(tmp_path / "store.sqlite")
    settings = HttpConfig(hub=hub.base, rooms=("clawnet",))
    opened = HttpTransport(settings, lambda: own, store, hub.clock.now_ms)
    yield opened
    await opened.close()
    store.close()


async def test_what_one_stores_is_fetched_up_to_a_limit(transport: HttpTransport, hub: Running) -> None:
    uri = await transport.store_chunk(DATA)
    assert uri == f"{hub.base}/chunks/{NAME}"
    assert await transport.fetch_chunk(uri, len(DATA)) == DATA
    assert len(await transport.fetch_chunk(uri, 1000)) == 1001


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.org/chunks/" + NAME, "http://127.0.0.1:9/chunks/" + NAME, "mxc://example.org/a",
        "BASE/chunks/" + NAME + "?x", "BASE/chunks/" + NAME[1:], "BASE/chunks/../rooms/clawnet", "BASE/rooms/clawnet",
        "BASE.example.org/chunks/" + NAME, "BASE@example.org/chunks/" + NAME, "file:///etc/passwd", "",
    ],
)  # fmt: skip
async def test_what_is_no_chunk_is_not_even_asked_for(
    transport: HttpTransport, hub: Running, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(transport._wire, "fetch", lambda url, most: asked.append(url))
    with pytest.raises(Refused) as caught:
        await transport.fetch_chunk(uri.replace("BASE", hub.base), 10)
    assert caught.value.code == "http.bad_address"
    assert asked == []


async def test_what_is_not_there_and_who_stores_nothing(transport: HttpTransport, hub: Running) -> None:
    with pytest.raises(Refused) as caught:
        await transport.fetch_chunk(f"{hub.base}/chunks/{NAME}", 10)
    assert caught.value.code == "http.not_found"
    hub.hub.chunks = None
    with pytest.raises(Refused) as caught:
        await transport.store_chunk(DATA)
    assert caught.value.code == "http.no_store"
    await hub.stop()
    with pytest.raises(RetryLater) as later:
        await transport.store_chunk(DATA)
    assert later.value.code == "http.unreachable"
    await hub.start()
