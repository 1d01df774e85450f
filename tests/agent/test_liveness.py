"""Work goes to who is there: hellos before a stage is given to somebody unheard of, and few offers to the dead."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bots.behaviours.liveness import AGAIN_MS, ANSWER_MS, AT_ONCE, SILENT_MOST, Liveness
from bots.behaviours.offering import RANKS
from bots.events import StageChanged
from bots.ranking import WAVES, turn_ms
from tests.agent.network import Passage
from tests.agent.scripted_engine import ScriptedEngine, Step
from tests.agent.simulated import Member, Room, echo, generate, order, rank
from tests.agent.virtual_time import in_virtual_time, until

SLOW: list[Step] = ["slow", 3.0, " work"]


async def awarded(asking: Member, task_id: str, members: list[Member]) -> Member:
    """Who got the first attempt."""
    await until(lambda: [event for event in asking.told(StageChanged) if event.task == task_id])
    executor = next(event.executor for event in asking.told(StageChanged) if event.task == task_id)
    return next(member for member in members if member.did == executor)


async def die(*members: Member) -> None:
    await asyncio.gather(*(member.crash() for member in members))


def hellos(room: Room, asking: Member, since_ms: int) -> Counter[str]:
    sent = room.network.sent("handshake.hello", by=asking.address)
    return Counter(str(hello.envelope.recipients) for hello in sent if hello.envelope.sent_ms >= since_ms)


class TestTakeOver:
    @in_virtual_time
    async def test_a_stage_goes_to_the_best_of_those_that_answer(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            names = [f"peer-{number}" for number in range(12)]
            others = await room.crowd(*names, engine=lambda: ScriptedEngine(SLOW))
            task_id = ada.ask(order(generate()))
            first = await awarded(ada, task_id, others)
            ranking = [member for member in rank(ada, task_id, others) if member is not first]
            await die(first, *ranking[:10])
            end = await ada.outcome(task_id)
            assert (end.stages[0].executor, end.stages[0].attempt) == (ranking[10].did, 2)
            # The first eight are given their time; among the next ones is the one that lives.
            assert end.elapsed_ms < ada.config.requests.lease_ms + ANSWER_MS + 6_000

    @in_virtual_time
    async def test_eight_are_greeted_at_once_and_none_again_too_soon(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            names = [f"peer-{number}" for number in range(12)]
            others = await room.crowd(*names, engine=lambda: ScriptedEngine(SLOW))
            task_ids = [ada.ask(order(generate(), question=f"{number}?")) for number in range(4)]
            await until(lambda: len({event.task for event in ada.told(StageChanged)}) == 4)
            await die(*others)
            lapsed_ms = room.network.now_ms() + ada.config.requests.lease_ms - 1_000
            await asyncio.sleep(ada.config.requests.lease_ms / 1000 + 1)
            assert 0 < len(hellos(room, ada, lapsed_ms)) <= AT_ONCE * len(task_ids)
            await asyncio.sleep((AGAIN_MS - ANSWER_MS) / 1000)
            assert max(hellos(room, ada, lapsed_ms).values()) == 1

    @in_virtual_time
    async def test_who_asks_does_it_if_all_others_are_silent(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", ScriptedEngine(["by myself"]))
            others = await room.crowd("bert", "cora", engine=lambda: ScriptedEngine(SLOW))
            task_id = ada.ask(order(generate()))
            await awarded(ada, task_id, others)
            await die(*others)
            end = await ada.outcome(task_id)
            assert (end.text, end.stages[0].executor, end.stages[0].attempt) == ("by myself", ada.did, 2)

    @in_virtual_time
    async def test_silence_alone_excludes_nobody(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            others = await room.crowd("bert", "cora", engine=lambda: ScriptedEngine(SLOW))
            room.network.rules.append(lambda passage: [] if passage.holds("handshake.accept") else [passage])
            task_id = ada.ask(order(generate()))
            first = await awarded(ada, task_id, others)
            await die(first)
            (second,) = (member for member in others if member is not first)
            assert (await ada.outcome(task_id)).stages[0].executor == second.did

    @in_virtual_time
    async def test_a_requester_that_comes_back_awards_to_who_is_there(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            others = await room.crowd("bert", "cora", "dora", engine=lambda: ScriptedEngine(SLOW))
            room.network.rules.append(lambda passage: [] if passage.holds("task.offer") else [passage])
            task_id = ada.ask(order(generate()))
            await until(lambda: room.network.posted("task.request"))
            await ada.crash()
            ranking = rank(others[0], task_id, others)
            await die(*ranking[:2])
            await ada.start()
            end = await ada.outcome(task_id)
            assert (end.stages[0].executor, end.stages[0].attempt) == (ranking[2].did, 1)

    @in_virtual_time
    async def test_what_was_held_up_on_its_way_is_no_sign_of_life(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            others = await room.crowd("bert", "cora", "dora", engine=lambda: ScriptedEngine(SLOW))

            def slowed(passage: Passage) -> list[Passage]:
                held = passage.holds("task.offer") and passage.sender != others[0].address
                return [msgspec.structs.replace(passage, delay_s=14.0 if held else passage.delay_s)]

            room.network.rules.append(slowed)
            first, second, third = others
            task_id = ada.ask(order(generate()))
            assert await awarded(ada, task_id, others) is first
            await asyncio.sleep(1)
            await die(first, second)
            end = await ada.outcome(task_id)
            assert (end.stages[0].executor, end.stages[0].attempt) == (third.did, 2)


class TestOffersToTheDead:
    def test_waves_come_ever_later(self) -> None:
        assert [turn_ms(3 * wave) for wave in range(WAVES)] == [0, 2_000, 4_000, 8_000, 16_000, 32_000]
        assert [turn_ms(place) for place in (0, 2, 3, 5, 6)] == [0, 0, 2_000, 2_000, 4_000]
        assert RANKS == 18

    @in_virtual_time
    @pytest.mark.parametrize("agents", [6, 24])
    async def test_a_request_of_somebody_who_died_draws_eighteen_offers_at_most(
        self, tmp_path: Path, agents: int
    ) -> None:
        async with Room(tmp_path) as room:
            ada, *others = await room.crowd("ada", *(f"peer-{number}" for number in range(agents)))
            task_id = ada.ask(order(echo()))
            await until(lambda: room.network.posted("task.request"))
            await ada.crash()
            ranking = rank(others[0], task_id, others)
            await asyncio.sleep(120)
            offers = room.network.sent("task.offer")
            assert len(offers) == min(agents, RANKS)
            assert {offer.sender for offer in offers} == {member.did for member in ranking[:RANKS]}


class Desk:
    """The moments and the hellos of one requester; ``alive`` answer after 100 ms."""

    def __init__(self, *alive: str) -> None:
        self.alive = set(alive)
        self.now = 10_000_000
        self.greeted: list[str] = []
        self._answered: dict[str, int] = {}
        self.identity = SimpleNamespace(did="me")
        self.liveness = Liveness(cast(Any, self), cast(Any, self))

    def monotonic_ms(self) -> int:
        return self.now

    now_ms = monotonic_ms

    def greet(self, _room: str, did: str, *, again_ms: int) -> None:
        self.greeted.append(did)
        if did in self.alive:
            self._answered[did] = self.now + 100

    def confirmed_ms(self, _room: str, did: str) -> int | None:
        answered = self._answered.get(did, self.now + 1)
        return answered if answered <= self.now else None

    def decide(self, dids: list[str], most_ms: int = 120_000) -> list[str]:
        """Who is there, once that is known."""
        for _ in range(most_ms // 250):
            if (found := self.liveness.there("room", dids, 400)) is not None:
                return found
            self.now += 250
        raise AssertionError("it is never known")


class TestWhoIsThere:
    @pytest.mark.parametrize("dead", [1, 9, 40, 60])
    def test_one_that_lives_is_found_behind_all_that_do_not(self, dead: int) -> None:
        desk = Desk("alive")
        dids = [*(f"dead-{number:02}" for number in range(dead)), "alive"]
        assert desk.decide(dids) == ["alive"]
        assert Counter(desk.greeted).most_common(1)[0][1] == 1

    def test_where_all_are_silent_that_is_known_in_the_end(self) -> None:
        desk = Desk()
        dids = [f"dead-{number:02}" for number in range(60)]
        assert desk.decide(dids) == []
        assert sorted(desk.greeted) == dids

    def test_of_very_many_only_so_many_are_greeted_and_the_next_ones_have_their_chance(self) -> None:
        desk = Desk("peer-0070")
        dids = [f"peer-{number:04}" for number in range(1000)]
        first = desk.decide(dids)
        assert first == dids[SILENT_MOST : SILENT_MOST + AT_ONCE]
        assert len(desk.greeted) == SILENT_MOST + AT_ONCE
        desk.now += 15_000  # a lease that lapsed
        assert desk.decide(dids)[0] == "peer-0070"

    def test_an_answer_that_has_grown_old_is_asked_for_again_and_no_silence(self) -> None:
        desk = Desk("bert", "cora")
        assert desk.decide(["bert", "cora"]) == ["bert", "cora"]
        for pause_ms in (6_000, 8_000, 30_000):
            desk.now += pause_ms
            assert desk.decide(["bert", "cora"]) == ["bert", "cora"]
