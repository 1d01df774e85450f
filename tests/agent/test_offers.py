"""Who offers to run a stage: the best of those who can, three at a time."""

from __future__ import annotations

from pathlib import Path

from bots.config import LimitsSection
from bots.events import PeerConfirmed
from bots.ranking import OFFERS_PER_WAVE, WAVE_MS
from clawnet_proto.families import task
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Room, generate, order, rank
from tests.agent.virtual_time import in_virtual_time, until


class TestOffers:
    @in_virtual_time
    async def test_only_the_best_three_of_ten_offer(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(10)))
            task_id = ada.ask(order())
            await ada.outcome(task_id)
            offers = room.network.sent("task.offer")
            best = rank(ada, task_id, others)[:OFFERS_PER_WAVE]
            assert sorted(offer.sender for offer in offers) == sorted(member.did for member in best)
            assert (await ada.outcome(task_id)).stages[0].executor in {member.did for member in best}

    @in_virtual_time
    async def test_a_silent_first_wave_is_followed_by_the_next_three(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(7)))
            silent: set[str] = set()
            room.network.rules.append(lambda passage: [] if passage.sender in silent else [passage])
            task_id = ada.ask(order())
            ranking = rank(ada, task_id, others)
            silent.update(member.address for member in ranking[:OFFERS_PER_WAVE])
            end = await ada.outcome(task_id)
            assert end.stages[0].executor in {member.did for member in ranking[OFFERS_PER_WAVE : 2 * OFFERS_PER_WAVE]}
            assert WAVE_MS <= end.elapsed_ms < WAVE_MS + 2000

    @in_virtual_time
    async def test_the_requester_shakes_hands_with_who_offers(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(10)))
            end = await ada.outcome(ada.ask(order()))
            await until(lambda: end.stages[0].executor in {event.peer for event in ada.told(PeerConfirmed)})
            executor = next(member for member in others if member.did == end.stages[0].executor)
            await until(lambda: ada.did in {event.peer for event in executor.told(PeerConfirmed)})

    @in_virtual_time
    async def test_nobody_is_capable(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            end = await ada.outcome(ada.ask(order(generate(needs=task.Needs(model="unheard-of")))))
            assert (end.outcome, end.code) == ("failed", "no_offers")
            assert end.message == "Nobody offered to run answer."
            assert 15_000 < end.elapsed_ms < 20_000
            await until(lambda: room.network.posted("task.close"))
            assert room.network.posted("task.close")[0].body.message == end.message

    @in_virtual_time
    async def test_whoever_is_alone_does_it_itself(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", ScriptedEngine(["alone"]), limits=LimitsSection(serve="listed"))
            end = await ada.outcome(ada.ask(order(generate())))
            assert (end.text, end.stages[0].executor) == ("alone", ada.did)
