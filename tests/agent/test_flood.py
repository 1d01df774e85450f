"""A thousand messages a second, every second, by one member: what an agent does meanwhile, and what it still knows."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from hashlib import sha256
from pathlib import Path

import pytest

from bots.complaints import PER_MINUTE
from bots.events import Notice
from clawnet_proto.families import identity, task
from clawnet_proto.keys import SigningKey
from clawnet_proto.signing import digest, signed_bytes
from clawnet_proto.specification import LIMITS
from tests.agent.network import Held, Network
from tests.agent.simulated import Member, Room, echo, live, order, request
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until
from tests.flood.alone import SPAMMER, Flood
from tests.flood.spam import EVERYTHING, Rogue
from tests.proto.authoring import Author

SECONDS = 10


def told(network: Network, address: str) -> int:
    """How many carriers were sent to an address directly."""
    return sum(len(event["content"]["net.clawnet.carriers"]) for _, to, event in network.direct if to == address)


def assert_nothing_of_others_is_lost(ada: Member, paul: Stranger, gone: Stranger, asked: str) -> None:
    view = ada.task(asked)
    assert (view.state, ada.mesh.binding(view.request)) == ("submitted", "bound")
    assert ada.mesh.peers[gone.did].standing == "revoked"
    assert paul.did in live(ada)


@in_virtual_time
async def test_an_agent_keeps_up_serves_the_others_and_forgets_nothing_of_theirs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        paul, gone = room.stranger("paul"), room.stranger("gone")
        for stranger in (paul, gone):
            stranger.announce()
        gone.post(gone.says(identity.Revoke(chain=(), since_ms=0)))
        paul.post(asked := paul.says(request(echo()), recipients=(gone.did,)))
        await asyncio.sleep(1)
        flood = Flood(room.network, ada)
        (asked_id,) = [view.id for view in ada.mesh.tasks()]
        flood.rogue.overheard, flood.rogue.foreign_tasks = [json.loads(asked)], [asked_id]
        caplog.clear()
        spent = time.process_time()
        flooding = asyncio.ensure_future(flood.run(SECONDS, (*EVERYTHING, Rogue.progress)))
        tasks = []
        while not flooding.done():
            tasks.append(bert.ask(order(to=ada.did)))
            await asyncio.sleep(1)
        spent = time.process_time() - spent - flood.cpu_s
        for task_id in tasks:
            assert (await bert.outcome(task_id)).outcome == "completed"
        await until(lambda: not ada.agent.store.waiting)
        # Generous, for machines that do other things as well: a third of a core is usual.
        assert spent < 2 * SECONDS, "it does not keep up"
        assert_nothing_of_others_is_lost(ada, paul, gone, asked_id)
        assert len(ada.mesh.peers) <= LIMITS.peers
        assert len(caplog.records) < 4 * PER_MINUTE
        # Whoever floods is answered as often as anybody may be, and no more.
        assert told(room.network, SPAMMER) < 250
        assert len(ada.agent.handshakes._tried_ms) < 100
        await ada.stop()
        await ada.start()
        assert_nothing_of_others_is_lost(ada, paul, gone, asked_id)


async def heard_offer(stranger: Stranger, asked: bytes) -> None:
    stranger.post(asked)
    thread = digest(signed_bytes(json.loads(asked)["env"].encode()))
    await until(lambda: any(offer.envelope.thread == thread for offer in stranger.heard("task.offer")), 10)


@in_virtual_time
async def test_one_who_asks_without_end_leaves_offers_for_others(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        await room.join("ada")
        rogue, paul = room.stranger("rogue"), room.stranger("paul")
        for stranger in (rogue, paul):
            stranger.announce()
        for _ in range(20):
            for _ in range(2):
                rogue.post(*(rogue.says(request(echo())) for _ in range(16)))
            await asyncio.sleep(1)
        assert 32 <= len(rogue.heard("task.offer")) <= 90
        await heard_offer(paul, paul.says(request(echo())))


@in_virtual_time
async def test_what_is_deferred_of_one_makes_room_for_what_is_of_others(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        await room.join("ada")
        rogue, paul = room.stranger("rogue"), room.stranger("paul")
        asked = paul.says(request(echo()))
        paul.post(asked)  # nobody knows yet that this is his account
        for _ in range(40):
            rogue.post(*(rogue.says(request(echo())) for _ in range(16)))
        await asyncio.sleep(1)
        paul.announce()
        await until(lambda: paul.heard("task.offer"), 10)


@in_virtual_time
async def test_keys_that_never_stood_for_an_account_are_given_up_in_silence(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        rogue, gone = room.stranger("rogue"), room.stranger("gone")
        gone.announce()
        gone.post(gone.says(identity.Revoke(chain=(), since_ms=0)))
        for number in range(50):
            rogue.post(Author(f"free {number}").carrier(identity.Revoke(chain=(), since_ms=0)))
        await asyncio.sleep(5)
        revoked = [notice.text for notice in ada.told(Notice) if "revoked" in notice.text]
        assert len(revoked) == 1 and gone.did in revoked[0]
        assert sum(peer.standing == "revoked" for peer in ada.mesh.peers.values()) == 51


@in_virtual_time
async def test_one_who_writes_without_end_keeps_nobody_elses_question_from_an_answer(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        rogue, paul = room.stranger("rogue"), room.stranger("paul")
        asked = paul.write("!claw task 0123abcd", **{"m.mentions": {"user_ids": ["@ada:example.org"]}})
        for number in range(600):
            rogue.write(f"!claw ask {number}")
        await asyncio.sleep(10)
        roots = [event["content"].get("m.relates_to", {}).get("event_id") for event in room.network.timeline]
        assert roots.count(asked) == 1
        assert ada.agent.people.waiting <= 256


@in_virtual_time
async def test_one_who_offers_by_many_identities_takes_nobodys_place(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada, bert = await room.crowd("ada", "bert")
        room.stranger("rogue")
        held = Held(room.network, lambda passage: passage.sender == bert.address and passage.holds("task.offer"))
        task_id = ada.ask(order())
        for number in range(100):
            rogue = Stranger(room.network, "rogue")
            rogue.key = SigningKey(sha256(f"{number}".encode()).digest())
            rogue.did = rogue.key.did
            rogue.announce()
            offer = task.Offer(stages=(task.StageOffer(stage="answer", wait_ms=0),))
            rogue.send(ada.address, rogue.says(offer, recipients=(ada.did,), thread=task_id, answers=task_id))
            await asyncio.sleep(0.05)
        held.release()
        offers = ada.agent.requester._errands[task_id].offers
        await until(lambda: bert.did in offers, 5)
        assert len(offers) == 64
        assert (await ada.outcome(task_id)).outcome == "completed"
