"""An executor asks back, and its lease waits for the reply."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bots.errors import ClawbotError
from bots.events import TaskQuestion
from clawnet_proto.families import task
from tests.agent.simulated import Room, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.agent.worker import answering, new_worker, result_of


class TestQuestions:
    @in_virtual_time
    async def test_an_executor_asks_and_the_lease_waits_for_the_reply(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            ada = await room.join("ada")
            eve = new_worker(room)
            await until(lambda: eve.did in ada.mesh.peers)
            task_id = ada.ask(order(to=eve.did))
            await until(lambda: eve.heard("task.award"))
            award = eve.heard("task.award")[0]
            eve.post(answering(eve, ada, award, award.id, task.Ask(stage="answer", attempt=1, question="For whom?")))
            await until(lambda: ada.told(TaskQuestion))
            assert ada.told(TaskQuestion)[0].text == "For whom?"
            assert ada.task(task_id).state == "input_required"
            await asyncio.sleep(120)
            assert len(ada.task(task_id).stages["answer"].attempts) == 1
            ada.agent.requester.reply(task_id, "For children.")
            await until(lambda: eve.heard("task.reply"))
            reply = eve.heard("task.reply")[0]
            assert reply.body.text == "For children."
            eve.post(answering(eve, ada, award, reply.id, result_of(award, "A net, dear.")))
            end = await ada.outcome(task_id)
            assert (end.outcome, end.text) == ("completed", "A net, dear.")

    @in_virtual_time
    async def test_a_task_that_asks_nothing_takes_no_reply(self, tmp_path: Path) -> None:
        async with Room(tmp_path) as room:
            (ada,) = await room.crowd("ada")
            task_id = ada.ask(order())
            with pytest.raises(ClawbotError, match="waits for no answer"):
                ada.agent.requester.reply(task_id, "yes")
            with pytest.raises(ClawbotError, match="waits for no answer"):
                ada.agent.requester.reply("no such task", "yes")
