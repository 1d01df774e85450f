"""What an owner allows: whom the agent serves, with which models, and how much of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.config import LimitsSection, RequestsSection
from tests.agent.scripted_engine import HANGING, ScriptedEngine
from tests.agent.simulated import Room, generate, order
from tests.agent.virtual_time import in_virtual_time, until


class TestLimits:
    @in_virtual_time
    @pytest.mark.parametrize(
        "limits",
        [LimitsSection(serve="nobody"), LimitsSection(serve="listed", listed=("elsewhere.example",))],
        ids=["nobody", "listed"],
    )
    async def test_whom_the_owner_does_not_serve_gets_neither_offer_nor_work(
        self, tmp_path: Path, limits: LimitsSection
    ) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", limits=limits)
            await ada.outcome(ada.ask(order()))
            assert room.network.sent("task.offer") == []
            end = await ada.outcome(ada.ask(order(to=bert.did)))
            assert (end.outcome, end.executions) == ("failed", 0)
            assert [fail.body.code for fail in room.network.posted("task.fail")] == ["declined"]

    @in_virtual_time
    @pytest.mark.parametrize("listed", ["@ada:example.org", "example.org", "matrix:u/ada:example.org"])
    async def test_whom_the_owner_lists_is_served(self, tmp_path: Path, listed: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            await room.join("bert", limits=LimitsSection(serve="listed", listed=(listed,)))
            assert (await ada.outcome(ada.ask(order()))).outcome == "completed"

    @in_virtual_time
    async def test_a_request_passed_on_too_often(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", limits=LimitsSection(hops=2))
            assert (await ada.outcome(ada.ask(order(hops=2)))).outcome == "completed"
            assert [offer.sender for offer in room.network.sent("task.offer")] == [bert.did]
            end = await ada.outcome(ada.ask(order(hops=3)))
            assert (end.stages[0].executor, len(room.network.sent("task.offer"))) == (ada.did, 1)
            end = await ada.outcome(ada.ask(order(hops=3, to=bert.did)))
            assert "passed on too often" in end.message

    @in_virtual_time
    async def test_more_tokens_than_the_owner_allows(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["never"])
            bert = await room.join("bert", engine, limits=LimitsSection(output_tokens=20))
            assert (await ada.outcome(ada.ask(order(generate(max_tokens=21))))).code == "no_offers"
            end = await ada.outcome(ada.ask(order(generate(max_tokens=21), to=bert.did)))
            assert "More than 20 tokens are asked for." in end.message
            assert engine.prompts == []
            assert (await ada.outcome(ada.ask(order(generate(max_tokens=20), to=bert.did)))).text == "never"

    @in_virtual_time
    async def test_a_prompt_larger_than_the_owner_allows(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["never"])
            await room.join("bert", engine, limits=LimitsSection(prompt_bytes=100))
            end = await ada.outcome(ada.ask(order(generate(), question="é" * 51)))
            assert (end.outcome, engine.prompts) == ("failed", [])
            assert "The prompt is larger than 100 bytes." in end.message
            fail = room.network.posted("task.fail")[0].body
            assert (fail.code, fail.retryable) == ("prompt.too_large", False)

    @in_virtual_time
    async def test_a_model_the_owner_does_not_lend(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["never"])
            bert = await room.join("bert", engine, limits=LimitsSection(models=("another",)))
            announce = ada.mesh.peers[bert.did].body
            assert announce is not None and announce.models == ()
            end = await ada.outcome(ada.ask(order(generate(), to=bert.did)))
            assert (engine.prompts, end.outcome) == ([], "failed")

    @in_virtual_time
    async def test_hands_that_are_full(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine([5.0, "done"])
            bert = await room.join("bert", engine, limits=LimitsSection(concurrency=1, waiting=1))
            tasks = [ada.ask(order(generate(), to=bert.did)) for _ in range(3)]
            await until(lambda: room.network.posted("task.fail"))
            fail = room.network.posted("task.fail")[0].body
            assert (fail.code, fail.message) == ("declined", "This agent has its hands full.")
            ends = [await ada.outcome(task_id) for task_id in tasks]
            assert [end.outcome for end in ends] == ["completed"] * 3
            assert [end.stages[0].attempt for end in ends] == [1, 1, 2]

    @in_virtual_time
    async def test_tokens_not_used_are_given_back(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(["five tokens"])
            bert = await room.join("bert", engine, limits=LimitsSection(tokens_per_minute=150, output_tokens=100))
            for _ in range(4):
                end = await ada.outcome(ada.ask(order(generate(max_tokens=100), to=bert.did)))
                assert end.outcome == "completed"

    @in_virtual_time
    async def test_tokens_of_cancelled_work_are_given_back(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            engine = ScriptedEngine(lambda prompt: HANGING if "hang" in prompt else ["done"])
            bert = await room.join("bert", engine, limits=LimitsSection(tokens_per_minute=150, output_tokens=100))
            hanging = ada.ask(order(generate(max_tokens=100), question="hang", to=bert.did))
            await until(lambda: engine.running)
            ada.agent.requester.cancel(hanging, "")
            await until(lambda: engine.canceled)
            end = await ada.outcome(ada.ask(order(generate(max_tokens=100), to=bert.did)))
            assert end.outcome == "completed"
