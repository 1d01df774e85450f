"""A homeserver with its default limits: the outbox obeys, coalesces, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from bots.clock import SYSTEM
from bots.errors import RetryLater
from bots.homeserver import Homeserver
from bots.outbox import Entry, Outbox
from bots.transports import Parcel
from tests.matrix_client import Account, Json, MatrixClient
from tests.transports.conftest import Front, Peer

QUESTION = "What is honey?"
BULK = 100
BULK_S = 60.0  # one by one they would need (BULK - BURST) / PER_S, which is 450 s
BURST, PER_S = 10, 0.2  # of Synapse's rc_message, unless its owner says otherwise


@pytest.fixture(scope="module")
def strict_homeserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    server = Homeserver(tmp_path_factory.mktemp("strict"), rate_limits="default")
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(server.start())
        yield server
        loop.run_until_complete(server.stop())
    finally:
        loop.close()


class Scene(NamedTuple):
    """An agent's transport and outbox behind a front that sees what it asks, and somebody who reads the room."""

    anna: Peer
    outbox: Outbox
    room: str  # URI
    room_id: str
    bert: MatrixClient
    front: Front

    async def carried(self) -> list[list[Json]]:
        """The carriers of each event of hers, in the order of the room."""
        events = await self.bert.messages(self.room_id)
        contents = [event["content"] for event in events if event["sender"] == self.anna.account.user_id]
        return [content["net.clawnet.carriers"] for content in contents if "net.clawnet.carriers" in content]


@asynccontextmanager
async def scene(homeserver: Homeserver, folder: Path) -> AsyncIterator[Scene]:
    names = [f"{name}-{folder.name}" for name in ("anna", "bert")]
    accounts = [Account(homeserver.url, name, await homeserver.register(name, "secret"), "secret") for name in names]
    front = Front(homeserver.url)
    await front.start()
    anna = Peer(accounts[0], folder, {"homeserver": front.url})
    outbox = Outbox(anna.store, anna.transport, SYSTEM)
    try:
        async with MatrixClient(accounts[1]) as bert:
            room_id = await bert.create_room(preset="public_chat")
            await anna.start()
            room = await anna.join(room_id)
            run = asyncio.create_task(outbox.run())
            yield Scene(anna, outbox, room.uri, room_id, bert, front)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
    finally:
        await anna.stop()
        await front.stop()


def fact(room: str, number: int) -> Entry:
    return Entry(plane="room", room=room, carrier=json.dumps({"n": number}), line=f"fact {number}", priority=1)


def question(room: str) -> Entry:
    return Entry(plane="room", room=room, carrier=json.dumps({"ask": QUESTION}), line=QUESTION, priority=0)


@pytest.fixture
async def rested(strict_homeserver: Homeserver, tmp_path: Path) -> AsyncIterator[Scene]:
    """Its account has said nothing yet."""
    async with scene(strict_homeserver, tmp_path) as made:
        yield made


async def test_a_hundred_messages_are_few_events_and_a_question_overtakes_them(rested: Scene) -> None:
    room, outbox = rested.room, rested.outbox
    for number in range(BULK):
        outbox.add(fact(room, number))
    outbox.add(question(room))
    began = time.monotonic()
    assert await outbox.flush(BULK_S)
    assert time.monotonic() - began < BULK_S
    events = await rested.carried()
    said = [carrier for carriers in events for carrier in carriers]
    assert [carrier["n"] for carrier in said if "n" in carrier] == list(range(BULK))
    assert len(events) <= 8 < BURST, "fewer than anybody may send at once"
    # It was the last to be queued; what was on its way already is all that may be ahead of it.
    assert {"ask": QUESTION} in events[0] + events[1]


@pytest.mark.timeout(180)
async def test_an_account_that_has_used_up_its_budget(rested: Scene) -> None:
    """Nothing is lost, the order stays, and nobody asks again before the homeserver said one may."""
    anna, outbox, room, bert, front = rested.anna, rested.outbox, rested.room, rested.bert, rested.front
    limit = await used_up(anna, room)
    assert limit.code == "matrix.rate_limited"
    assert limit.after_s > 0
    tries, refusals = watched(front)
    for number in range(40):
        outbox.add(fact(room, number))
        await asyncio.sleep(0)
    outbox.add(question(room))
    # Direct messages do not wait for the rooms.
    outbox.add(Entry(plane="direct", address=f"matrix:u/{bert.user_id[1:]}", device=bert.device_id, carrier="{}"))
    await bert.wait_for_to_device(lambda event: event["type"] == "net.clawnet.direct")
    assert outbox.health().queued > 0
    assert await outbox.flush(60)
    events = await rested.carried()
    said = [carrier for carriers in events for carrier in carriers]
    assert [carrier["n"] for carrier in said if "n" in carrier] == list(range(40))
    assert {"ask": QUESTION} in events[0] + events[1]
    assert len(events) <= 4
    assert refusals, "it was limited"
    for refused_s, wait_s in refusals:
        soonest = min((tried_s for tried_s in tries if tried_s > refused_s), default=float("inf"))
        assert soonest >= refused_s + wait_s - 0.05
    assert len(tries) <= len(events) + len(refusals) <= 2 * len(events) + 1


async def used_up(anna: Peer, room: str) -> RetryLater:
    """Say something until the homeserver will not have more of it; what it then says."""
    with pytest.raises(RetryLater) as caught:
        async with asyncio.timeout(5):  # the transport itself does not wait
            for number in range(2 * BURST):
                await anna.transport.send(Parcel(txn=f"fill-{number}", plane="room", room=room, body="fill"))
    return caught.value


def watched(front: Front) -> tuple[list[float], list[tuple[float, float]]]:
    """From now on: when an event of a room was tried, and (when, for how many seconds) one was refused."""
    tries: list[float] = []
    refusals: list[tuple[float, float]] = []

    def tried(request: web.Request) -> web.Response | None:
        if "/send/" in request.path:
            tries.append(time.monotonic())
        return None

    def answered(path: str, body: bytes) -> bytes:
        if "/send/" in path and b"M_LIMIT_EXCEEDED" in body:
            refusals.append((time.monotonic(), json.loads(body)["retry_after_ms"] / 1000))
        return body

    front.fault, front.spoil = tried, answered
    return tries, refusals
