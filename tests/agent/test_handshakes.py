"""Handshakes: what proves a peer, what does not, and how many there are."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from bots.events import PeerConfirmed
from bots.ranking import score
from clawnet_proto.families import handshake
from clawnet_proto.families.presence import Address
from clawnet_proto.message import Message
from tests.agent.door import logged
from tests.agent.network import LATENCY_S
from tests.agent.simulated import Member, Room
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until


def hello(eve: Stranger, to: Member, *, address: str = "", **fields: Any) -> bytes:
    given: dict[str, Any] = {"versions": ("1",), "address": Address(uri=address or eve.address, device="DEVICE")}
    return eve.says(handshake.Hello(**(given | fields)), recipients=(to.did,))


def confirmed(member: Member) -> set[str]:
    return {event.peer for event in member.told(PeerConfirmed)}


async def greeted(room: Room) -> tuple[Member, Stranger, Message]:
    """An agent that greets a stranger who answers nothing by itself, and its hello."""
    bert = await room.join("bert")
    eve = room.stranger("eve")
    eve.announce()
    await until(lambda: eve.heard("handshake.hello"))
    return bert, eve, eve.heard("handshake.hello")[0]


class TestCourse:
    @in_virtual_time
    async def test_two_agents_confirm_each_other_and_measure_the_way(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            await until(lambda: bert.did in confirmed(ada) and ada.did in confirmed(bert))
            there_and_back = 4 * LATENCY_S * 1000  # sent and delivered, twice
            for event in ada.told(PeerConfirmed):
                assert there_and_back <= event.rtt_ms <= there_and_back + 300

    @in_virtual_time
    async def test_a_hello_is_answered_to_the_address_it_names_together_with_our_announce(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            eve.send(bert.address, hello(eve, bert))
            await until(lambda: eve.heard("handshake.accept"))
            accept = eve.heard("handshake.accept")[0]
            announces = [message for message in room.network.sent("presence.announce") if message.sender == bert.did]
            assert announces
            confirm = handshake.Confirm(version="1")
            eve.send(
                bert.address,
                eve.says(confirm, recipients=(bert.did,), thread=accept.envelope.thread, answers=accept.id),
            )
            await until(lambda: eve.did in confirmed(bert))


class TestWhatProvesNothing:
    @in_virtual_time
    async def test_a_hello_that_names_the_address_of_another(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve, victim = room.stranger("eve"), room.stranger("victim")
            eve.send(bert.address, hello(eve, bert, address=victim.address))
            await asyncio.sleep(5)
            assert room.network.sent("handshake.accept") == []

    @in_virtual_time
    async def test_a_hello_without_a_common_version(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            eve.send(bert.address, hello(eve, bert, versions=("2", "7")))
            await asyncio.sleep(5)
            assert room.network.sent("handshake.accept") == []

    @in_virtual_time
    @pytest.mark.parametrize(
        "code, fields, envelope",
        [
            ("handshake.not_allowed", {"address": "matrix:u/victim:example.org"}, {}),
            ("handshake.not_allowed", {}, {"thread": "x" * 43}),
            ("handshake.not_allowed", {}, {"answers": "x" * 43}),
            ("handshake.no_version", {"version": "2", "versions": ("1", "2")}, {}),
            ("handshake.no_version", {"version": "7", "versions": ("7",)}, {}),
        ],
        ids=[
            "another address",
            "another handshake",
            "another answer",
            "a version we do not speak",
            "no common version",
        ],
    )
    async def test_an_accept_that_does_not_fit(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        code: str,
        fields: dict[str, Any],
        envelope: dict[str, Any],
    ) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            bert, eve, greeting = await greeted(room)
            eve.send(bert.address, _accept(eve, bert, greeting, fields, envelope))
            await asyncio.sleep(2)
            assert (confirmed(bert), room.network.sent("handshake.confirm")) == (set(), [])
            assert len(logged(caplog, code)) == 1
            eve.send(bert.address, _accept(eve, bert, greeting, {}, {}))
            await until(lambda: eve.did in confirmed(bert))

    @in_virtual_time
    async def test_an_accept_by_somebody_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert, _eve, greeting = await greeted(room)
            mallory = room.stranger("mallory")
            mallory.send(bert.address, _accept(mallory, bert, greeting, {}, {}))
            await asyncio.sleep(2)
            assert confirmed(bert) == set()

    @in_virtual_time
    async def test_an_accept_that_comes_too_late_or_twice(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert, eve, greeting = await greeted(room)
            await asyncio.sleep(30)
            for _ in range(2):
                eve.send(bert.address, _accept(eve, bert, greeting, {}, {}))
            await asyncio.sleep(2)
            assert confirmed(bert) == set()

    @in_virtual_time
    @pytest.mark.parametrize("fault", ["version", "answers"])
    async def test_a_confirm_that_does_not_fit(self, tmp_path: Path, fault: str) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            eve.send(bert.address, hello(eve, bert))
            await until(lambda: eve.heard("handshake.accept"))
            accept = eve.heard("handshake.accept")[0]
            confirm = handshake.Confirm(version="2" if fault == "version" else "1")
            answers = "x" * 43 if fault == "answers" else accept.id
            thread = accept.envelope.thread
            eve.send(bert.address, eve.says(confirm, recipients=(bert.did,), thread=thread, answers=answers))
            await asyncio.sleep(2)
            assert confirmed(bert) == set()


class TestHowMany:
    @in_virtual_time
    async def test_hellos_are_answered_so_often_and_no_more(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            for _ in range(300):
                eve.send(bert.address, hello(eve, bert))
            await asyncio.sleep(5)
            assert 30 <= len(room.network.sent("handshake.accept")) <= 34
            for number in range(300):
                other = room.stranger(f"other-{number}")
                other.send(bert.address, hello(other, bert))
            await asyncio.sleep(5)
            assert 240 <= len(room.network.sent("handshake.accept")) <= 270

    @in_virtual_time
    async def test_whom_nobody_needs_is_not_greeted_by_everybody(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            members = await room.crowd(*(f"peer-{number}" for number in range(12)))
            await asyncio.sleep(30)
            hellos = room.network.sent("handshake.hello")
            for member in members:
                greeted = {message.envelope.recipients for message in hellos if message.sender == member.did}
                assert len(greeted) < len(members) - 1
            await asyncio.sleep(300)
            assert len(room.network.sent("handshake.hello")) == len(hellos)

    @in_virtual_time
    async def test_a_newcomer_is_welcomed_by_three(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            members = await room.crowd(*(f"peer-{number}" for number in range(12)))
            await asyncio.sleep(30)
            eve = room.stranger("eve")
            dids = [member.did for member in members]
            welcoming = _best(eve.did, dids)[:3]
            # Whoever would keep her confirmed ahead of need greets her too.
            ahead = [did for did in dids if eve.did in _best(did, [eve.did, *(set(dids) - {did})])[:8]]
            eve.announce()
            await asyncio.sleep(5)
            assert {message.sender for message in eve.heard("handshake.hello")} == {*welcoming, *ahead}


def _best(key: str, dids: list[str]) -> list[str]:
    return sorted(dids, key=lambda did: -score(key, did, 1.0))


def _accept(eve: Stranger, to: Member, greeting: Message, fields: dict[str, Any], envelope: dict[str, Any]) -> bytes:
    given: dict[str, Any] = {"version": "1", "versions": ("1",), "address": eve.address} | fields
    given["address"] = Address(uri=given["address"], device="DEVICE")
    addressed: dict[str, Any] = {"recipients": (to.did,), "thread": greeting.id, "answers": greeting.id} | envelope
    return eve.says(handshake.Accept(**given), **addressed)
