"""Tasks among agents: their course, what is told while somebody works, and how they are cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bots.config import RequestsSection
from bots.errors import ClawbotError
from bots.events import StageText
from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tests.agent.network import Held, no_store
from tests.agent.scripted_engine import ScriptedEngine, Step
from tests.agent.simulated import QUESTION, Room, echo, generate, order
from tests.agent.virtual_time import in_virtual_time, until


class TestCourse:
    @in_virtual_time
    async def test_an_open_task_goes_through_other_hands_and_ends_with_a_receipt(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora = await room.crowd("ada", "bert", "cora")
            task_id = ada.ask(order(echo("draft"), echo("revise", "question", "draft")))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", f"|{QUESTION}||{QUESTION}")
            assert {done.executor for done in end.stages} == {bert.did, cora.did}
            await until(lambda: cora.task(task_id).close is not None)
            for member in (ada, bert, cora):
                view = member.task(task_id)
                assert (view.state, view.errors) == ("completed", {})
                draft, revise = (stage.accepted for stage in view.stages.values())
                assert draft is not None and revise is not None
                assert revise.body.inputs == (
                    task.InputDigest(source="question", digest=digest(QUESTION.encode())),
                    task.InputDigest(source="draft", digest=draft.body.output_digest),
                )

    @in_virtual_time
    async def test_an_addressed_task_is_one_event_and_nobody_else_offers(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, _cora = await room.crowd("ada", "bert", "cora")
            end = await ada.outcome(ada.ask(order(to=bert.did)))
            assert [done.executor for done in end.stages] == [bert.did]
            assert room.network.sent("task.offer") == []
            asked = [event for event in room.network.timeline if "asks of bert" in event["content"]["body"]]
            assert "awards answer to bert" in asked[0]["content"]["body"]

    @in_virtual_time
    async def test_a_peer_that_is_not_there_cannot_be_addressed(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            with pytest.raises(ClawbotError, match="not in the room"):
                ada.ask(order(to=room.stranger("nobody").did))
            assert room.network.posted("task.request") == []

    @in_virtual_time
    async def test_one_question_costs_its_requester_three_room_events(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, *_ = await room.crowd("ada", "bert", "cora", "dora")
            await asyncio.sleep(60)
            before = len(room.network.bodies(by=ada.address))
            task_id = ada.ask(order(echo("draft"), echo("critique", "draft"), echo("revise", "draft", "critique")))
            await ada.outcome(task_id)
            await until(lambda: room.network.posted("task.close"))
            assert len(room.network.bodies(by=ada.address)) - before == 3

    @in_virtual_time
    async def test_preferences_rank_and_do_not_exclude(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert, cora, dora = await room.crowd("ada", "bert", "cora", "dora")
            for preferred in (bert, cora, dora):
                preferences = task.Preferences(trusted=(preferred.did,))
                end = await ada.outcome(ada.ask(order(preferences=preferences)))
                assert end.stages[0].executor == preferred.did
            nobody = task.Preferences(roles=("poet",))
            assert (await ada.outcome(ada.ask(order(preferences=nobody)))).outcome == "completed"


class TestProgress:
    @in_virtual_time
    @pytest.mark.parametrize("piece", ["word ", "w" * 9000], ids=["many pieces", "large pieces"])
    async def test_at_most_two_a_second_and_the_text_is_whole(self, tmp_path: Path, piece: str) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            count = 200 if len(piece) < 100 else 1
            script: list[Step] = [piece, 0.02] * count
            script += [3.0, "end"]
            await room.join("bert", ScriptedEngine(script))
            task_id = ada.ask(order(generate()))
            end = await ada.outcome(task_id)
            assert end.text == piece * count + "end"
            progress = room.network.sent("task.progress")
            moments = [message.envelope.sent_ms for message in progress]
            assert len(moments) >= 3
            assert all(third - first >= 1000 for first, third in zip(moments, moments[2:], strict=False))
            assert [message.body.index for message in progress] == list(range(len(progress)))
            streamed = [event for event in ada.told(StageText) if event.task == task_id]
            assert "".join(event.text for event in streamed) == end.text
            assert [event.offset for event in streamed] == [
                sum(len(earlier.text) for earlier in streamed[:number]) for number in range(len(streamed))
            ]

    @in_virtual_time
    async def test_short_leases_are_kept_alive_at_the_same_rate(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada", requests=RequestsSection(lease_ms=1500))
            words: list[Step] = ["a", 0.1] * 50
            await room.join("bert", ScriptedEngine([10.0, *words, 10.0, "b"]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert end.stages[0].attempt == 1
            moments = [message.envelope.sent_ms for message in room.network.sent("task.progress")]
            assert all(third - first >= 1000 for first, third in zip(moments, moments[2:], strict=False))

    @in_virtual_time
    async def test_an_output_too_long_for_a_message_is_cut_if_it_can_be_stored_nowhere(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            room.network.chunk_fault = no_store
            ada = await room.join("ada")
            await room.join("bert", ScriptedEngine(["é" * 12_000]))
            end = await ada.outcome(ada.ask(order(generate())))
            assert end.stages[0].finish == "length"
            assert end.text == "é" * 8000


class TestCancel:
    @in_virtual_time
    async def test_cancelling_stops_the_work_and_nothing_is_said_about_it_any_more(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            engine = ScriptedEngine(["on", 1.0, " and", 1.0, " on"] * 100)
            bert = await room.join("bert", engine)
            task_id = ada.ask(order(generate()))
            await until(lambda: ada.told(StageText))
            ada.agent.requester.cancel(task_id, "never mind")
            assert (await ada.outcome(task_id)).outcome == "canceled"
            await until(lambda: engine.canceled == 1)
            assert room.network.posted("task.result", "task.fail", by=bert.address) == []
            said = len(room.network.sent("task.progress"))
            await asyncio.sleep(30)
            assert len(room.network.sent("task.progress")) == said
            assert room.network.posted("task.result", "task.fail", by=bert.address) == []
            assert bert.task(task_id).state == "canceled"
            assert bert.agent.executor.jobs == 0
            assert ada.agent.requester.open_tasks() == ()

    @in_virtual_time
    async def test_cancelled_before_anybody_worked(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, bert = await room.crowd("ada", "bert")
            held = Held(room.network, lambda passage: passage.to == bert.address)
            task_id = ada.ask(order())
            ada.agent.requester.cancel(task_id, "")
            await until(lambda: any(passage.holds("task.cancel") for passage in held.passages))
            held.release()
            await until(lambda: bert.mesh.task(task_id) is not None)
            await asyncio.sleep(5)
            assert room.network.sent("task.offer") == []
            assert bert.task(task_id).state == "canceled"

    @in_virtual_time
    async def test_what_is_over_cannot_be_cancelled(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, _bert = await room.crowd("ada", "bert")
            task_id = ada.ask(order())
            await ada.outcome(task_id)
            with pytest.raises(ClawbotError, match="no open task"):
                ada.agent.requester.cancel(task_id, "too late")
            await until(lambda: room.network.posted("task.close"))
            assert room.network.posted("task.cancel") == []
