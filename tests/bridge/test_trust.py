"""What a bridge brings is shown, and acted upon where the owner names that bridge (spec/04-identity.md, ID-13)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec
import pytest

from bots.config import TrustSection
from bots.events import MessageSeen
from clawnet_proto.carrier import verify
from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tests.agent.simulated import QUESTION, Member, Room, echo, order, request
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import Author
from tests.proto.samples import result

BRIDGE: Final = "matrix:u/bridge:example.org"


def award(by: Author, asked: bytes, to: Member, **fields: int) -> bytes:
    asked_id = verify(asked).id
    body = task.Award(stage="answer", attempt=1, lease_ms=15_000)
    return by.carrier(body, recipients=(to.did,), thread=asked_id, answers=asked_id, **fields)


async def trusting(room: Room) -> Member:
    """An agent whose owner names the bridge."""
    bert = room.member("bert")
    bert.config = msgspec.structs.replace(bert.config, trust=TrustSection(bridges=(BRIDGE,)))
    await bert.start()
    return bert


def bridge_of(room: Room) -> Stranger:
    bridge = room.stranger("bridge")
    assert bridge.address == BRIDGE
    bridge.announce(kind="system", role="bridge")
    return bridge


@in_virtual_time
@pytest.mark.parametrize("announced", [True, False], ids=["relayed", "unbound"])
async def test_what_a_named_bridge_brings_is_acted_upon_and_told_as_what_it_is(tmp_path: Path, announced: bool) -> None:
    async with Room(tmp_path) as room:
        bert = await trusting(room)
        eve, bridge = room.stranger("eve"), bridge_of(room)
        if announced:
            eve.announce()
        asked = eve.says(request(echo()))
        bridge.post(asked, award(eve, asked, bert, sent_ms=room.network.now_ms()))
        await until(lambda: eve.heard("task.result"))
        told = [event for event in bert.told(MessageSeen) if event.address == BRIDGE and event.type == "task.request"]
        assert [(event.verdict, event.code) for event in told] == [("relayed" if announced else "unbound", "")]


@in_virtual_time
@pytest.mark.parametrize("announced", [True, False], ids=["relayed", "unbound"])
async def test_what_somebody_else_brings_is_not(tmp_path: Path, announced: bool) -> None:
    async with Room(tmp_path) as room:
        bert = await trusting(room)
        eve, mallory = room.stranger("eve"), room.stranger("mallory")
        mallory.announce(kind="system", role="bridge")
        if announced:
            eve.announce()
        asked = eve.says(request(echo()))
        mallory.post(asked, award(eve, asked, bert, sent_ms=room.network.now_ms()))
        await until(lambda: list(bert.mesh.tasks()))
        await asyncio.sleep(10)
        assert not eve.heard("task.offer", "task.result", "task.fail", "task.start")


@in_virtual_time
async def test_a_bridge_cannot_speak_for_those_whose_words_it_brings(tmp_path: Path) -> None:
    """It is named for what others signed: what is signed by a key that is not theirs stays nobody's."""
    async with Room(tmp_path) as room:
        bert = await trusting(room)
        eve, bridge = room.stranger("eve"), bridge_of(room)
        eve.announce()
        now_ms = room.network.now_ms()
        asked = bridge.carrier(request(echo()), sent_ms=now_ms, sender=eve.did)
        bridge.post(asked, award(bridge, asked, bert, sent_ms=now_ms))
        await asyncio.sleep(10)
        assert not list(bert.mesh.tasks())
        assert not eve.heard("task.offer", "task.result", "task.fail", "task.start")


@in_virtual_time
async def test_it_makes_nobody_a_peer_that_can_be_counted_upon(tmp_path: Path) -> None:
    """A peer is counted upon by its own address: nothing can be sent directly to who is only relayed."""
    async with Room(tmp_path) as room:
        bert = await trusting(room)
        eve, bridge = room.stranger("eve"), bridge_of(room)
        bridge.post(eve.announcement())
        asked = eve.says(request(echo()))
        bridge.post(asked)
        await until(lambda: list(bert.mesh.tasks()))
        await asyncio.sleep(10)
        assert eve.did not in {peer.did for peer in bert.agent.live_peers(bert.mesh.room)}
        assert not eve.heard("task.offer", "task.fail")


@in_virtual_time
@pytest.mark.parametrize("named", [True, False])
async def test_an_output_that_only_a_bridge_brings_counts_if_it_is_named(tmp_path: Path, named: bool) -> None:
    """Of a peer that is here, and whose own server is away when it is done."""
    async with Room(tmp_path) as room:
        bert = await trusting(room) if named else await room.join("bert")
        eve, bridge = room.stranger("eve"), bridge_of(room)
        eve.announce()
        await until(lambda: eve.did in {peer.did for peer in bert.agent.live_peers(bert.mesh.room)})
        task_id = bert.ask(order(to=eve.did))
        await until(lambda: eve.heard("task.award"))
        (awarded,) = eve.heard("task.award")
        body = result(
            awarded.id,
            "Done.",
            stage="answer",
            parameters=echo().parameters,
            inputs=(task.InputDigest(source="question", digest=digest(QUESTION.encode())),),
        )
        bridge.post(eve.says(body, recipients=(bert.did,), thread=task_id, answers=awarded.id))
        if named:
            end = await bert.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", "Done.")
        else:
            await asyncio.sleep(5)
            view = bert.mesh.task(task_id)
            assert view is not None
            assert view.close is None
