"""A homeserver with its default limits: the outbox obeys, coalesces, and loses nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bots.errors import RetryLater
from bots.homeserver import Homeserver
from bots.outbox import Entry, Outbox
from bots.transports import Parcel
from tests.matrix_client import Account, MatrixClient
from tests.transports.conftest import Peer


@pytest.fixture
async def strict_homeserver(tmp_path: Path) -> AsyncIterator[Homeserver]:
    async with Homeserver(tmp_path / "homeserver", rate_limits="default") as server:
        yield server


@pytest.mark.timeout(240)
async def test_a_burst_at_default_limits(strict_homeserver: Homeserver, tmp_path: Path) -> None:
    accounts = [
        Account(strict_homeserver.url, name, await strict_homeserver.register(name, "password"), "password")
        for name in ("anna", "bert")
    ]
    async with MatrixClient(accounts[1]) as bert:
        room_id = await bert.create_room(preset="public_chat")
        anna = Peer(accounts[0], tmp_path / "anna", {})
        try:
            await anna.start()
            room = await anna.join(room_id)
            await burst(anna, room.uri, bert, room_id)
        finally:
            await anna.stop()


async def burst(anna: Peer, room: str, bert: MatrixClient, room_id: str) -> None:
    async def fill() -> RetryLater:
        for number in range(20):
            try:
                await anna.transport.send(Parcel(txn=f"fill-{number}", plane="room", room=room, body="fill"))
            except RetryLater as error:
                return error
        raise AssertionError("never limited")

    began = time.monotonic()
    limit = await fill()
    assert limit.code == "matrix.rate_limited"
    assert limit.after_s > 0
    assert time.monotonic() - began < 5, "the transport itself does not wait"

    outbox = Outbox(anna.store, anna.transport, lambda: time.time_ns() // 1_000_000)
    run = asyncio.create_task(outbox.run())
    try:
        for number in range(40):
            carrier = json.dumps({"n": number})
            outbox.add(Entry(plane="room", room=room, carrier=carrier, line=f"fact {number}"))
            await asyncio.sleep(0)
        # Direct messages do not wait for the rooms.
        direct = Entry(plane="direct", address=f"matrix:u/{bert.user_id[1:]}", device=bert.device_id, carrier="{}")
        outbox.add(direct)
        await bert.wait_for_to_device(lambda event: event["type"] == "net.clawnet.direct")
        assert outbox.health().queued > 0
        assert await outbox.flush(60)
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    sent = [event["content"] for event in await bert.messages(room_id) if event["sender"] == anna.account.user_id]
    events = [content["net.clawnet.carriers"] for content in sent if "net.clawnet.carriers" in content]
    assert [carrier["n"] for carriers in events for carrier in carriers] == list(range(40))
    assert len(events) <= 4
