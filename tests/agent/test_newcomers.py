"""Who comes into an encrypted room cannot read what was announced before: agents do so anew, sparingly."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.agent.simulated import Room
from tests.agent.virtual_time import in_virtual_time


def announces(room: Room, by: str) -> int:
    return len(room.network.posted("presence.announce", by=by))


@in_virtual_time
async def test_after_a_while_of_silence_at_once_and_then_seldom(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        room.network.encrypted = True
        ada, bert = await room.crowd("ada", "bert")
        await asyncio.sleep(700)
        before = announces(room, ada.address)
        room.network.account("matrix:u/observer:example.org")
        await asyncio.sleep(3)
        assert announces(room, ada.address) == before, "its device may have no keys yet"
        await asyncio.sleep(5)
        assert announces(room, ada.address) == before + 1
        for number in range(5):
            room.network.account(f"matrix:u/observer-{number}:example.org")
            await asyncio.sleep(30)
        assert announces(room, ada.address) == before + 1
        await asyncio.sleep(500)
        assert announces(room, ada.address) == announces(room, bert.address) == before + 2
        room.network.outside.add("matrix:u/observer:example.org")
        await asyncio.sleep(700)
        assert announces(room, ada.address) == before + 2


@pytest.mark.parametrize("encrypted, others", [(False, 1), (True, 70)])
def test_not_where_the_past_can_be_read_and_not_among_many(tmp_path: Path, encrypted: bool, others: int) -> None:
    @in_virtual_time
    async def run() -> None:
        async with Room(tmp_path) as room:
            room.network.encrypted = encrypted
            ada = await room.join("ada")
            await asyncio.sleep(700)
            before = announces(room, ada.address)
            for number in range(others):
                room.network.account(f"matrix:u/observer-{number}:example.org")
            await asyncio.sleep(700)
            assert announces(room, ada.address) == before

    run()


@in_virtual_time
async def test_many_do_not_all_speak_in_the_same_second(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        room.network.encrypted = True
        for number in range(56):
            room.network.account(f"matrix:u/observer-{number}:example.org")
        members = await room.crowd("ada", "bert", "cora", "dora", "emil", "finn")
        await asyncio.sleep(700)
        before = len(room.network.timeline)
        room.network.account("matrix:u/late:example.org")
        await asyncio.sleep(5 + 63 * 0.25 + 2)
        sent = [message.envelope.sent_ms for message in room.network.posted("presence.announce")][-len(members) :]
        assert len(room.network.timeline) == before + len(members), "each in an event of its own"
        assert max(sent) - min(sent) > 5_000
