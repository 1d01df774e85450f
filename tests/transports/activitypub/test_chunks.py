"""Outputs too long for a message: stored by whoever made them, fetched from members alone."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

import pytest
from aiohttp import web

from bots.errors import Refused, RetryLater
from bots.transports.activitypub import chunks
from bots.transports.activitypub.chunks import KEPT_MS
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.transport import ActivityPubTransport
from tests.transports.activitypub.stranger import Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import ActivityPubWorld, now_ms

DATA = bytes(range(256)) * 1024
NAME = urlsafe_b64encode(hashlib.sha256(DATA).digest()).decode().rstrip("=")


def of(resident: Resident) -> ActivityPubTransport:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport


async def test_one_stores_and_the_other_fetches(world: ActivityPubWorld) -> None:
    ada, bert = await world.resident("ada"), await world.resident("bert")
    uri = await ada.transport.store_chunk(DATA)
    assert uri == f"{of(ada).names.base}/chunks/{NAME}"
    assert await bert.transport.fetch_chunk(uri, len(DATA)) == DATA
    await ada.restart()
    assert await ada.transport.store_chunk(DATA) == uri
    assert await bert.transport.fetch_chunk(uri, len(DATA)) == DATA
    with pytest.raises(Refused):
        await bert.transport.fetch_chunk(uri, len(DATA) - 1)
    with pytest.raises(Refused) as caught:
        await bert.transport.fetch_chunk(f"{of(ada).names.base}/chunks/{'A' * 43}", 1)
    assert caught.value.code == "activitypub.no_chunk"


async def test_only_from_members_and_only_chunks(ada: Resident, eve: Stranger) -> None:
    for uri in (
        f"{eve.names.base}/chunks/{NAME}",
        f"{of(ada).names.base}/chunks/{NAME}",
        f"{eve.names.base}/actor",
        f"file:///chunks/{NAME}",
        NAME,
    ):
        with pytest.raises(Refused) as caught:
            await ada.transport.fetch_chunk(uri, 100)
        assert caught.value.code == "activitypub.bad_address"
    assert eve.requests == []


async def test_what_is_no_chunk_and_nobody(ada: Resident, eve: Stranger) -> None:
    _join(ada, eve)
    uri = f"{eve.names.base}/chunks/{NAME}"
    eve.pages[f"/chunks/{NAME}"] = web.Response(text="not bytes")
    with pytest.raises(Refused):
        await ada.transport.fetch_chunk(uri, 100)
    for status, error in ((403, Refused), (451, Refused), (302, Refused), (429, RetryLater), (503, RetryLater)):
        eve.pages[f"/chunks/{NAME}"] = web.Response(status=status, headers={"Location": "/actor"})
        with pytest.raises(error):
            await ada.transport.fetch_chunk(uri, 100)
    assert ("GET", "/actor") not in eve.requests
    await eve.away()
    with pytest.raises(RetryLater):
        await ada.transport.fetch_chunk(uri, 100)


async def test_they_are_kept_for_a_day_and_are_bounded(ada: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, now = of(ada)._chunks, now_ms()
    assert kept.put(DATA, now) == NAME
    assert kept.get(NAME, now + KEPT_MS - 1) == DATA
    assert kept.get(NAME, now + KEPT_MS) is None
    monkeypatch.setattr(chunks, "_BYTES_MOST", 25)
    names = [kept.put(bytes([number]) * 10, now + number) for number in range(3)]
    assert [kept.get(name, now) is not None for name in names] == [False, True, True]


def _join(ada: Resident, eve: Stranger) -> None:
    """Make somebody a member."""
    of(ada)._database.execute(
        "INSERT INTO members VALUES (?, ?, 'did', 1, ?, 1)", (PUBLIC, eve.names.actor, now_ms() + 60_000)
    )
