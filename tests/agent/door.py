"""A door with an agent behind it: good messages must go through whatever else comes in with them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bots.events import MessageSeen
from tests.agent.faults import Carrier, asking, awarding
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import until

GOOD = "a good question"


class Door:
    """An agent that serves, a stranger that is bound, and what came of it."""

    def __init__(self, room: Room, bert: Member, engine: ScriptedEngine, eve: Stranger) -> None:
        self.room = room
        self.bert = bert
        self.engine = engine
        self.eve = eve

    def good(self, question: str = GOOD) -> list[Carrier]:
        asked = asking(self.eve, question)
        return [asked, awarding(self.eve, asked, self.bert)]

    async def only_good_work_was_done(self, *questions: str) -> None:
        """The good went through, nothing else was worked on, and the agent is well."""
        await until(lambda: len(self.eve.heard("task.result")) == len(questions))
        await asyncio.sleep(20)
        assert sorted(self.engine.prompts) == sorted(questions)
        assert len(self.room.network.posted("task.result", "task.fail", by=self.bert.address)) == len(questions)
        assert self.bert.alive
        assert self.bert.agent.executor.jobs == 0

    def invalid(self) -> list[str]:
        return [event.code for event in self.bert.told(MessageSeen) if event.verdict == "invalid"]


async def opened(room: Room) -> Door:
    """An agent with an engine, and eve, whom it knows."""
    engine = ScriptedEngine(["done"])
    bert = await room.join("bert", engine)
    eve = room.stranger("eve")
    eve.announce()
    await until(lambda: eve.did in bert.mesh.peers)
    return Door(room, bert, engine, eve)


def logged(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    """What our own code logged with these words in it."""
    texts = [record.getMessage() for record in caplog.records if record.name.startswith("bots")]
    return [text for text in texts if words in text]


def check_log(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that came from outside may move a terminal, and nothing is a fault of ours."""
    for record in caplog.records:
        assert record.levelno < logging.ERROR, record.getMessage()
        assert all(character.isprintable() for character in record.getMessage()), repr(record.getMessage())
