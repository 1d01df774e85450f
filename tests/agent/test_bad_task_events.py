"""Verified messages that a task does not allow, or not from this sender: marked by their code, and no work."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bots.events import MessageSeen
from clawnet_proto.carrier import verify
from clawnet_proto.families import presence, task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.agent.door import GOOD, check_log, logged, opened
from tests.agent.faults import Carrier, asking, awarding, signed
from tests.agent.simulated import QUESTION, Member, Room, echo, order
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import canonical_text


class TestTaskEvents:
    """What the table does not allow, or the sender may not send."""

    @in_virtual_time
    async def test_an_award_by_another_than_the_requester(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            door = await opened(room)
            mallory = room.stranger("mallory")
            mallory.announce()
            asked = asking(door.eve)
            door.eve.post(asked)
            mallory.post(awarding(mallory, asked, door.bert))
            door.eve.post(*door.good())
            await door.only_good_work_was_done(GOOD)
            assert len(logged(caplog, "marked task.not_permitted")) == 1

    @in_virtual_time
    async def test_two_awards_of_one_attempt(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            door = await opened(room)
            asked = asking(door.eve, GOOD)
            awards = [awarding(door.eve, asked, door.bert) for _ in range(2)]
            door.eve.post(asked, *awards)
            await door.only_good_work_was_done(GOOD)
            kept = min(verify(json.dumps(award)).id for award in awards)
            assert door.eve.heard("task.result")[0].body.award == kept
            assert len(logged(caplog, "marked task.conflict")) == 1

    @in_virtual_time
    async def test_an_award_of_a_stage_there_is_not(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            door = await opened(room)
            asked = asking(door.eve)
            thread = verify(json.dumps(asked)).id
            award = task.Award(stage="\x1b[2J", attempt=1, lease_ms=15_000)
            door.eve.post(
                asked,
                door.eve.says(award, recipients=(door.bert.did,), thread=thread, answers=thread),
                *door.good(),
            )
            await door.only_good_work_was_done(GOOD)
            assert len(logged(caplog, "marked task.unknown_stage")) == 1
            check_log(caplog)

    @in_virtual_time
    async def test_an_award_of_a_task_nobody_asked_for(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            door = await opened(room)
            door.eve.post(awarding(door.eve, asking(door.eve), door.bert), *door.good())
            await door.only_good_work_was_done(GOOD)
            assert len(logged(caplog, "marked state.waiting")) == 1

    @in_virtual_time
    async def test_an_award_of_a_task_that_is_over(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            door = await opened(room)
            asked = asking(door.eve)
            thread = verify(json.dumps(asked)).id
            cancel = door.eve.says(task.Cancel(), thread=thread, answers=thread)
            door.eve.post(asked, awarding(door.eve, asked, door.bert), cancel, *door.good())
            await door.only_good_work_was_done(GOOD)


def _answers(given: Message, /, *, says: str = "from eve", **changes: Any) -> task.Result:
    """A result of an echo stage, in which one thing may be wrong."""
    fields: dict[str, Any] = {
        "stage": "answer",
        "attempt": 1,
        "award": given.id,
        "inputs": (task.InputDigest(source="question", digest=digest(QUESTION.encode())),),
        "parameters": echo().parameters,
        "output_digest": digest(says.encode()),
        "text": says,
        "media_type": "text/plain",
        "finish": "stop",
        "usage": task.Usage(prompt_tokens=0, output_tokens=0, queued_ms=0, prompt_ms=0, generate_ms=0),
    }
    return task.Result(**(fields | changes))


def _with_a_wrong_digest(eve: Stranger, good: bytes) -> Carrier:
    fields = json.loads(json.loads(good)["env"])
    fields["body"]["output_digest"] = digest(b"something else")
    return signed(eve, canonical_text(fields))


ANSWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "of a stage there is not": ("task.unknown_stage", {"stage": "critique"}),
    "of an attempt nobody awarded": ("task.unknown_stage", {"attempt": 7}),
    "of another award": ("task.not_allowed", {"award": digest(b"another award")}),
    "computed from other inputs": (
        "task.input_mismatch",
        {"inputs": (task.InputDigest(source="question", digest=digest(b"another question")),)},
    ),
    "computed from no inputs": ("task.input_mismatch", {"inputs": ()}),
}


class TestResults:
    """What an executor, or somebody who is none, may send to a requester."""

    @in_virtual_time
    @pytest.mark.parametrize("fault", ANSWERS)
    async def test_a_result_that_does_not_count(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
    ) -> None:
        caplog.set_level(logging.INFO)
        code, changes = ANSWERS[fault]
        async with Room(tmp_path) as room:
            ada, eve, task_id, award = await _asked_of_eve(room)
            addressed: dict[str, Any] = {"recipients": (ada.did,), "thread": task_id, "answers": award.id}
            bad = eve.says(_answers(award, says="from a liar", **changes), **addressed)
            eve.post(bad, eve.says(_answers(award), **addressed))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text, end.executions) == ("completed", "from eve", 1)
            assert len(logged(caplog, f"marked {code}")) == 1
            marked = [event for event in ada.told(MessageSeen) if event.code == code]
            assert [(event.type, event.verdict) for event in marked] == [("task.result", "bound")]

    @in_virtual_time
    async def test_a_result_with_the_wrong_digest(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        async with Room(tmp_path) as room:
            ada, eve, task_id, award = await _asked_of_eve(room)
            addressed: dict[str, Any] = {"recipients": (ada.did,), "thread": task_id, "answers": award.id}
            good = eve.says(_answers(award), **addressed)
            eve.post(_with_a_wrong_digest(eve, good), good)
            end = await ada.outcome(task_id)
            assert (end.text, end.executions) == ("from eve", 1)
            assert len(logged(caplog, "refused: digest.mismatch")) == 1

    @in_virtual_time
    async def test_a_result_of_somebody_else(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            ada, eve, task_id, award = await _asked_of_eve(room)
            mallory = room.stranger("mallory")
            mallory.announce()
            addressed: dict[str, Any] = {"recipients": (ada.did,), "thread": task_id, "answers": award.id}
            mallory.post(mallory.says(_answers(award, says="from mallory"), **addressed))
            await asyncio.sleep(5)
            assert ada.task(task_id).stages["answer"].accepted is None
            eve.post(eve.says(_answers(award), **addressed))
            assert (await ada.outcome(task_id)).text == "from eve"
            assert len(logged(caplog, "marked task.not_permitted")) == 1

    @in_virtual_time
    async def test_a_result_that_only_a_relay_delivers(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada, eve, task_id, award = await _asked_of_eve(room)
            addressed: dict[str, Any] = {"recipients": (ada.did,), "thread": task_id, "answers": award.id}
            good = eve.says(_answers(award), **addressed)
            room.stranger("mallory").post(good)
            await asyncio.sleep(5)
            assert task_id in ada.agent.requester.open_tasks()
            eve.post(good)
            assert (await ada.outcome(task_id)).text == "from eve"

    @in_virtual_time
    @pytest.mark.parametrize(
        "body",
        [task.Cancel(), task.Close(outcome="completed", accepted=(), executions=0)],
        ids=["cancel", "close"],
    )
    async def test_an_executor_cannot_end_a_task(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, body: task.Cancel | task.Close
    ) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            ada, eve, task_id, award = await _asked_of_eve(room)
            eve.post(
                eve.says(body, thread=task_id, answers=task_id),
                eve.says(_answers(award), recipients=(ada.did,), thread=task_id, answers=award.id),
            )
            assert (await ada.outcome(task_id)).text == "from eve"
            assert len(logged(caplog, "marked task.not_permitted")) == 1

    @in_virtual_time
    async def test_words_after_the_end(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with Room(tmp_path) as room:
            ada, eve, task_id, award = await _asked_of_eve(room)
            addressed: dict[str, Any] = {"recipients": (ada.did,), "thread": task_id, "answers": award.id}
            eve.post(eve.says(_answers(award), **addressed))
            await ada.outcome(task_id)
            second = eve.says(_answers(award, says="on second thought"), **addressed)
            fail = task.Fail(stage="answer", attempt=1, code="sorry", message="no", retryable=True)
            eve.post(second, eve.says(fail, **addressed))
            await asyncio.sleep(5)
            view = ada.task(task_id)
            assert view.state == "completed" and view.stages["answer"].executions == 1
            assert len(logged(caplog, "marked task.not_allowed")) == 2


async def _asked_of_eve(room: Room) -> tuple[Member, Stranger, str, Message]:
    """A task of an agent that the test itself is to do."""
    ada = await room.join("ada")
    eve = room.stranger("eve")
    eve.announce(capabilities=("echo",), load=presence.Load(running=0, waiting=0, slots=1))
    await until(lambda: eve.did in ada.mesh.peers)
    task_id = ada.ask(order(to=eve.did))
    await until(lambda: eve.heard("task.award"))
    return ada, eve, task_id, eve.heard("task.award")[0]
