"""What happens when somebody fails, declines or is late: the next attempt, and who has the last word."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import msgspec
import pytest

from bots.config import LimitsSection, RequestsSection
from bots.errors import EngineError
from bots.events import StageChanged
from clawnet_proto.families import task
from clawnet_proto.wire import present
from tests.agent.network import Passage
from tests.agent.scripted_engine import HANGING, ScriptedEngine
from tests.agent.simulated import Room, echo, generate, order, request
from tests.agent.virtual_time import in_virtual_time, until
from tests.agent.worker import answering, new_worker, result_of


class TestAttempts:
    @in_virtual_time
    async def test_a_lapsed_lease_gives_the_stage_to_somebody_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora = await room.crowd("ada", "bert", "cora")
            gone: set[str] = set()

            def first_award_kills(passage: Passage) -> list[Passage]:
                for message in passage.messages:
                    if message.type == "task.award" and message.body.attempt == 1:
                        gone.update(present(message.envelope.recipients, ()))
                executor = next(member for member in (ada, bert, cora) if member.address == passage.to)
                return [] if executor.did in gone else [passage]

            room.network.rules.append(first_award_kills)
            end = await ada.outcome(ada.ask(order()))
            assert (end.outcome, end.stages[0].attempt) == ("completed", 2)
            assert gone == {bert.did, cora.did} - {end.stages[0].executor}
            lease_ms = ada.config.requests.lease_ms
            assert lease_ms < end.elapsed_ms < lease_ms + 2000
            assert [event.state for event in ada.told(StageChanged)] == ["awarded", "awarded", "completed"]

    @in_virtual_time
    async def test_progress_renews_the_lease_of_slow_work(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            slow = ScriptedEngine(["slow", 100.0, " and steady"])
            ada = await room.join("ada")
            await room.join("bert", slow)
            end = await ada.outcome(ada.ask(order(generate())), within_s=300)
            assert (end.outcome, end.text, end.stages[0].attempt) == ("completed", "slow and steady", 1)

    @in_virtual_time
    async def test_a_declined_award_goes_to_somebody_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            strict = LimitsSection(tasks_per_minute_address=1)
            bert = await room.join("bert", limits=strict)
            await ada.outcome(ada.ask(order()))
            cora = await room.join("cora")
            trusting = order(preferences=task.Preferences(trusted=(bert.did,)))
            end = await ada.outcome(ada.ask(trusting))
            assert (end.stages[0].executor, end.stages[0].attempt) == (cora.did, 2)
            declined = room.network.posted("task.fail")
            assert [(fail.sender, fail.body.code, fail.body.message) for fail in declined] == [
                (bert.did, "declined", "The quota address is used up.")
            ]
            assert end.elapsed_ms < 1000

    @in_virtual_time
    async def test_a_failure_another_may_overcome_is_tried_elsewhere(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            sick = ScriptedEngine([EngineError("engine.memory", "Out of memory.", retryable=True)])
            bert = await room.join("bert", sick)
            await room.join("cora", ScriptedEngine(["fine"]))
            trusting = order(generate(), preferences=task.Preferences(trusted=(bert.did,)))
            end = await ada.outcome(ada.ask(trusting))
            assert (end.text, end.stages[0].name, end.stages[0].attempt) == ("fine", "cora", 2)
            assert "Out of memory." in [event.detail for event in ada.told(StageChanged)]
            assert bert.alive

    @in_virtual_time
    async def test_what_everybody_calls_impossible_is_tried_by_everybody_once(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            for name in ("bert", "cora", "dora"):
                refusing = EngineError("engine.context", "The prompt does not fit the context.", retryable=False)
                await room.join(name, ScriptedEngine([refusing]))
            task_id = ada.ask(order(generate()))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.code, end.executions) == ("failed", "attempts", 0)
            assert "The prompt does not fit the context." in end.message
            assert len({attempt.executor for attempt in ada.task(task_id).stages["answer"].attempts.values()}) == 3
            assert len(ada.task(task_id).stages["answer"].attempts) == 3

    @in_virtual_time
    async def test_one_that_declines_for_now_is_asked_again_ever_more_seldom(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(lambda prompt: [100.0, "late"] if "long" in prompt else ["soon"])
            limits = LimitsSection(concurrency=1, waiting=0)
            bert = await room.join("bert", engine, limits=limits)
            busy = ada.ask(order(generate(), question="long", to=bert.did))
            await until(lambda: engine.running)
            waiting = ada.ask(order(generate(), to=bert.did))
            assert (await ada.outcome(busy, within_s=200)).text == "late"
            assert (await ada.outcome(waiting, within_s=200)).text == "soon"
            awards = [award for award in room.network.posted("task.award") if award.envelope.thread == waiting]
            moments = [award.envelope.sent_ms for award in awards]
            pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
            assert len(pauses) == 5
            assert all(abs(pause - 5_000 * 2**number) < 500 for number, pause in enumerate(pauses[:4]))

    @in_virtual_time
    async def test_attempts_are_bounded(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=3))
            await room.join("bert", ScriptedEngine([EngineError("engine.failed", "It died.")]))
            task_id = ada.ask(order(generate()))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.code) == ("failed", "attempts")
            assert len(ada.task(task_id).stages["answer"].attempts) == 3

    @in_virtual_time
    async def test_an_engine_that_breaks_a_promise_fails_the_stage_and_nothing_else(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(attempts=1))
            bert = await room.join("bert", ScriptedEngine([ZeroDivisionError("a fault of ours")]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert "The agent failed while it worked on this." in end.message
            assert (await ada.outcome(ada.ask(order(echo())))).outcome == "completed"
            assert bert.alive

    @in_virtual_time
    @pytest.mark.parametrize("first", ["task.fail", "presence.leave"])
    async def test_the_executor_left_politely_and_comes_back(self, tmp_path: Path, first: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["once", 90.0, " more"])
            bert = await room.join("bert", engine, limits=LimitsSection(grace_seconds=0))
            task_id = ada.ask(order(generate()))
            await asyncio.sleep(80)
            second = {"task.fail", "presence.leave"} - {first}
            room.network.rules.append(
                lambda passage: [msgspec.structs.replace(passage, delay_s=1.0 if passage.holds(*second) else 0.01)]
            )
            await bert.stop()
            assert [fail.body.code for fail in room.network.posted("task.fail")] == ["stopping"]
            await asyncio.sleep(20)
            await bert.start()
            end = await ada.outcome(task_id, within_s=200)
            assert (end.outcome, end.stages[0].attempt) == ("completed", 2)

    @in_virtual_time
    async def test_the_deadline_of_a_task(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(HANGING)
            await room.join("bert", engine)
            end = await ada.outcome(ada.ask(order(generate(), timeout_ms=20_000)))
            assert (end.outcome, end.code) == ("failed", "deadline")
            await until(lambda: engine.canceled == 1)


class TestLateWork:
    @in_virtual_time
    async def test_a_result_after_its_lease_is_counted_and_not_accepted_twice(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = new_worker(room)
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(to=eve.did))
            await until(lambda: len(eve.heard("task.award")) == 2)
            first, second = eve.heard("task.award")
            eve.post(
                answering(eve, ada, first, first.id, result_of(first, "late")),
                answering(eve, ada, second, second.id, result_of(second, "in time")),
            )
            end = await ada.outcome(task_id)
            assert (end.text, end.executions, end.stages[0].attempt) == ("in time", 2, 2)

    @in_virtual_time
    async def test_no_work_is_begun_on_a_request_whose_time_is_over(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            bert = await room.join("bert")
            eve = room.stranger("eve")
            eve.announce()
            body = request(echo("first"), echo("second", "first"))
            eve.post(eve.says(body, expires_ms=room.network.now_ms() + 5_000))
            await until(lambda: list(bert.mesh.tasks()))
            view = next(bert.mesh.tasks())
            award = task.Award(stage="second", attempt=1, lease_ms=600_000)
            eve.post(eve.says(award, recipients=(bert.did,), thread=view.id, answers=view.id))
            await until(lambda: bert.agent.executor.jobs == 1)
            await asyncio.sleep(10)
            assert bert.agent.executor.jobs == 0
            assert bert.alive
