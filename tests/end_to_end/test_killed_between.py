"""Agents die between any two steps of a task, as if the power went, and start again: all is done, and done once."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from bots.homeserver import Homeserver
from bots.requests import AgentStatus
from clawnet_proto.families import task
from clawnet_proto.message import Message
from tests.conftest import NewClient
from tests.end_to_end import mortal_agent
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.conftest import NO_MODEL, NewAgent, plain_client, run
from tests.end_to_end.person import Person, in_thread
from tests.end_to_end.reading import Json, about, awards, carried, messages_of, results
from tests.engines.ollama_server import OllamaServer

MORTAL = (sys.executable, str(Path(mortal_agent.__file__)), "run")
DEATH_S = 30.0
STAGES = ("draft", "critique", "revise")
QUESTION = "What is honey number"
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}

EXECUTOR = (
    "arrived task.award",
    "kept task.award",
    "worked draft",
    "posted task.result",
    "sent task.result",
)
REQUESTER = (
    f"arrived {QUESTION}",
    f"kept {QUESTION}",
    "sent task.request",
    "arrived net.clawnet.direct",
    "posted task.award",
    "sent task.award",
    "kept task.result",
    "posted task.close",
    "sent task.close",
)


class Pair(NamedTuple):
    """One agent asks for people, the other one has the model."""

    requester: AgentProcess
    executor: AgentProcess
    room_id: str


class Engine:
    """The server of the model, in a thread of its own; counts what it is asked."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.server = OllamaServer()

    def __enter__(self) -> Engine:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.__aenter__(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.server.__aexit__(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drafts(self, question: str) -> int:
        """How often it was asked for a first answer to this question."""
        asked = [str(body) for name, body in self.server.requests if name == "chat"]
        return sum(question in body and "".join(self.server.words).strip() not in body for body in asked)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


async def open_pair(homeserver: Homeserver, engine: Engine, new_agent: NewAgent, name: str, *state: Json) -> Pair:
    async with plain_client(homeserver, f"founder-of-{name}") as founder:
        room_id = await founder.create_room(preset="public_chat", initial_state=state)
    requester = await new_agent("asker", room_id, *NO_MODEL)
    executor = await new_agent("worker", room_id, "--engine", "ollama", engine_ollama_host=engine.server.url)
    for agent in (requester, executor):
        start(agent)
        await agent.ready()  # one after the other: what is said while somebody joins, the newcomer may have no key for
    await asyncio.gather(requester.sees(executor.name), executor.sees(requester.name))
    return Pair(requester, executor, room_id)


@pytest.fixture(scope="module")
def pair(homeserver: Homeserver, engine: Engine, new_agent_of_module: NewAgent) -> Pair:
    return run(open_pair(homeserver, engine, new_agent_of_module, "mortals"))


@pytest.fixture(scope="module")
def encrypted_pair(homeserver: Homeserver, engine: Engine, new_agent_of_module: NewAgent) -> Pair:
    return run(open_pair(homeserver, engine, new_agent_of_module, "secretive-mortals", ENCRYPTION))


def transcripts(agent: AgentProcess) -> list[Path]:
    """One for every start, in order."""
    return sorted(agent.home.glob("transcript-*.jsonl"))


def start(agent: AgentProcess) -> None:
    agent.start("--record", f"transcript-{len(transcripts(agent)):03}.jsonl", command=MORTAL)


def condemn(victim: AgentProcess, moment: str) -> None:
    (victim.home / mortal_agent.ORDER).write_text(moment, "utf-8")


async def death_and_return(victim: AgentProcess) -> None:
    """Once it has died where it was told to; then it is started anew."""
    async with asyncio.timeout(DEATH_S):
        while victim.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert not (victim.home / mortal_agent.ORDER).exists(), victim.log
    start(victim)


async def idle(agent: AgentProcess) -> AgentStatus:
    """Once it has said all that it has to say."""
    async with asyncio.timeout(DEATH_S):
        while (status := await agent.status()) is None or not status.online or status.queued or status.jobs:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return status


@pytest.mark.parametrize(
    "role, moment",
    [("executor", moment) for moment in EXECUTOR] + [("requester", moment) for moment in REQUESTER],
)
async def test_a_persons_question_is_answered_once(
    pair: Pair, engine: Engine, new_client: NewClient, role: str, moment: str
) -> None:
    client = await new_client("person")
    await client.join(pair.room_id)
    person = Person(client, pair.room_id)
    victim: AgentProcess = getattr(pair, role)
    question = f"{QUESTION} {client.user_id}?"
    condemn(victim, moment)
    event_id = await person.say(question, pair.requester)
    await death_and_return(victim)
    request, close = await person.closed(event_id)
    assert close.body.outcome == "completed"
    await asyncio.gather(idle(pair.requester), idle(pair.executor))
    await client.sync()
    (answer,) = [event for event in client.events if in_thread(event, event_id) and speaks_to(client.user_id, event)]
    assert [message.id for message in carried(answer)] == [close.id]
    done_once([message for event in client.events for message in carried(event)], request.id)
    # What was finished and not kept is the one thing that is done again.
    assert engine.drafts(question) == (2 if moment == "worked draft" else 1)


@pytest.mark.parametrize(
    "role, moment",
    [("executor", "arrived task.award"), ("executor", "sent task.result"), ("requester", "sent task.award")],
)
async def test_in_an_encrypted_room_too(encrypted_pair: Pair, engine: Engine, role: str, moment: str) -> None:
    requester, executor, _ = encrypted_pair
    victim: AgentProcess = getattr(encrypted_pair, role)
    question = f"{QUESTION} {role} {moment}?"
    condemn(victim, moment)
    async with requester.running("ask", question, "--stages", ",".join(STAGES), "--json") as command:
        opened = await command.until(lambda line: line["event"] == "task")
        await death_and_return(victim)
        if victim is executor:
            answer = await command.until(lambda line: line["event"] == "answer")
            assert answer["outcome"] == "completed", command.lines
        # Whoever lived through it has read every event, each once.
        witness = executor if victim is requester else requester
        await seen_to_its_end(witness, opened["task"])
    statuses = await asyncio.gather(idle(requester), idle(executor))
    assert [status.unreadable for status in statuses] == [0, 0]
    done_once(recorded(witness, opened["task"]), opened["task"])
    assert engine.drafts(question) == 1


async def seen_to_its_end(witness: AgentProcess, task_id: str) -> None:
    """Once an agent has recorded that the task is closed."""
    async with asyncio.timeout(DEATH_S):
        while not any(isinstance(message.body, task.Close) for message in recorded(witness, task_id)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def recorded(witness: AgentProcess, task_id: str) -> list[Message]:
    return about(task_id, messages_of(transcripts(witness)[-1]))


def speaks_to(user_id: str, event: Json) -> bool:
    closes = any(isinstance(message.body, task.Close) for message in carried(event))
    return closes and user_id in event["content"].get("m.mentions", {}).get("user_ids", ())


def done_once(messages: Sequence[Message], task_id: str) -> None:
    """Nothing of a task was sent twice, and every stage was awarded, done and accepted once."""
    messages = about(task_id, messages)
    assert set(Counter(message.id for message in messages).values()) == {1}
    expected = [(stage, 1) for stage in STAGES]
    assert in_order(awards(task_id, messages)) == expected
    assert in_order(results(task_id, messages)) == expected
    (close,) = [
        message for message in messages if isinstance(message.body, task.Close) and message.envelope.thread == task_id
    ]
    assert [accepted.stage for accepted in close.body.accepted] == list(STAGES)
    assert close.body.executions == len(STAGES)


def in_order(messages: Sequence[Message]) -> list[tuple[str, int]]:
    found = [(message.body.stage, message.body.attempt) for message in messages]
    return sorted(found, key=lambda place: STAGES.index(place[0]))
