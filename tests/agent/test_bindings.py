"""Who delivered a message: what an address that is not proven for its sender brings waits until it is (chapter 04)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bots.config import LimitsSection
from bots.events import MessageSeen, StageText
from clawnet_proto.families import presence, task
from clawnet_proto.signing import digest
from tests.agent.simulated import QUESTION, Member, Room, echo, live, order, request, results
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto import samples


class TestRelays:
    @in_virtual_time
    @pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two batches"])
    async def test_a_relayed_copy_that_comes_first_is_shown_and_the_original_is_acted_upon_once(
        self, tmp_path: Path, together: bool
    ) -> None:
        async with Room(tmp_path) as room:
            limits = LimitsSection(serve="listed", listed=("@eve:example.org",))
            bert = await room.join("bert", limits=limits)
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            eve.announce()
            asked = eve.says(request(echo()))
            award = eve.awards(asked, bert.did)
            mallory.post(asked)
            mallory.post(award)
            if not together:
                await until(lambda: list(bert.mesh.tasks()))
                await asyncio.sleep(1)
                assert bert.agent.executor.jobs == 0
                assert bert.mesh.binding(next(bert.mesh.tasks()).request) == "relayed"
            eve.post(asked)
            eve.post(award)
            await until(lambda: eve.heard("task.result", "task.fail"))
            await asyncio.sleep(5)
            assert results(room) == [("answer", 1)]
            assert room.network.posted("task.fail") == []
            eve.announce()
            await asyncio.sleep(1)
            assert bert.agent.intake._deferred == {}  # for the relayed copies nobody waits any more

    @in_virtual_time
    async def test_a_result_that_was_relayed_first_is_told_like_any_other(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            eve.announce()
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(echo(), to=eve.did))
            await until(lambda: eve.heard("task.award"))
            award = eve.heard("task.award")[0]
            inputs = (task.InputDigest(source="question", digest=digest(QUESTION.encode())),)
            body = samples.result(award.id, "A net.", stage="answer", parameters=echo().parameters, inputs=inputs)
            result = eve.says(body, recipients=(ada.did,), thread=task_id, answers=award.id)
            for somebody in (mallory, eve):
                somebody.post(result)
                await asyncio.sleep(1)
            assert (await ada.outcome(task_id)).outcome == "completed"
            assert [event.text for event in ada.told(StageText)] == ["A net."]

    @in_virtual_time
    async def test_what_is_relayed_waits_no_longer_than_it_holds(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            eve.announce()
            mallory.post(eve.says(request(echo()), expires_ms=room.network.now_ms() + 2_000))
            await until(lambda: bert.agent.intake._deferred)
            await asyncio.sleep(600)
            eve.write("Good night.")
            await until(lambda: not bert.agent.intake._deferred)

    @in_virtual_time
    async def test_what_only_a_relay_delivers_is_folded_and_never_acted_upon(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            eve.announce()
            asked = eve.says(request(echo()))
            mallory.post(asked, eve.awards(asked, bert.did))
            await until(lambda: list(bert.mesh.tasks()))
            await asyncio.sleep(10)
            assert eve.heard("task.offer", "task.result", "task.fail", "task.start") == []
            told = [event for event in bert.told(MessageSeen) if event.verdict == "relayed"]
            assert [(event.type, event.code, event.address) for event in told] == [
                ("task.request", "binding.relayed", mallory.address),
                ("task.award", "binding.relayed", mallory.address),
            ]

    @in_virtual_time
    async def test_what_came_before_its_address_was_proven_is_acted_upon_when_it_is(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve, other = room.stranger("eve"), room.stranger("eves-other-account")
            eve.announce()
            asked = eve.says(request(echo()))
            other.post(asked, eve.awards(asked, bert.did))
            await until(lambda: list(bert.mesh.tasks()))
            await asyncio.sleep(1)
            assert (bert.agent.executor.jobs, eve.heard("task.result")) == (0, [])
            both = tuple(presence.Address(uri=one.address, device="DEVICE") for one in (eve, other))
            other.post(eve.announcement(addresses=both, revision=room.network.now_ms()))
            await until(lambda: eve.heard("task.result"))
            assert results(room) == [("answer", 1)]

    @in_virtual_time
    async def test_an_original_award_of_a_relayed_request_makes_no_work(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            eve.announce()
            asked = eve.says(request(echo()))
            mallory.post(asked)
            eve.post(eve.awards(asked, bert.did))
            await asyncio.sleep(10)
            assert room.network.posted("task.result", "task.fail") == []


class TestUnbound:
    @in_virtual_time
    async def test_a_request_waits_for_the_announce_of_its_sender(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            await room.join("bert")
            eve = room.stranger("eve")
            eve.post(eve.says(request(echo())))
            await asyncio.sleep(5)
            assert eve.heard("task.offer") == []
            eve.announce()
            await until(lambda: eve.heard("task.offer"))

    @in_virtual_time
    async def test_an_award_waits_for_the_announce_of_its_sender(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert, eve = await _awarded_by_nobody_known(room)
            assert (bert.agent.executor.jobs, eve.heard("task.result")) == (0, [])
            eve.announce()
            await until(lambda: eve.heard("task.result"))

    @in_virtual_time
    async def test_it_waits_through_a_restart(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert, eve = await _awarded_by_nobody_known(room)
            await bert.crash()
            await bert.start()
            eve.announce()
            await until(lambda: eve.heard("task.result"))
            await bert.crash()
            await bert.start()
            await asyncio.sleep(5)
            assert results(room) == [("answer", 1)]

    @in_virtual_time
    async def test_a_copy_by_another_account_does_not_take_the_place_of_the_original(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            limits = LimitsSection(serve="listed", listed=("@eve:example.org",))
            bert = await room.join("bert", limits=limits)
            eve, mallory = room.stranger("eve"), room.stranger("mallory")
            asked = eve.says(request(echo()))
            award = eve.awards(asked, bert.did)
            for somebody in (mallory, eve):
                somebody.post(asked)
                somebody.post(award)
                await asyncio.sleep(1)
            eve.announce()
            await until(lambda: eve.heard("task.result", "task.fail"))
            await asyncio.sleep(5)
            assert results(room) == [("answer", 1)]

    @in_virtual_time
    async def test_a_newcomer_learns_from_handshakes_whom_it_cannot_read_of(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            # The timeline it may read begins with its own join.
            room.network.account("matrix:u/cora:example.org").log.clear()
            cora = room.member("cora")
            await cora.start()
            await until(lambda: {ada.did, bert.did} <= live(cora))
            assert (await cora.outcome(cora.ask(order()))).outcome == "completed"


async def _awarded_by_nobody_known(room: Room) -> tuple[Member, Stranger]:
    """An agent, and who has awarded it something before it announced itself."""
    bert, eve = await room.join("bert"), room.stranger("eve")
    asked = eve.says(request(echo()))
    eve.post(asked, eve.awards(asked, bert.did))
    await until(lambda: list(bert.mesh.tasks()))
    return bert, eve
