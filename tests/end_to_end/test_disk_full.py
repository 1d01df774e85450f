"""The disk is full: the agent says so, and stops or goes on without; with room again nothing is lost, or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from bots.requests import AgentStatus
from clawnet_proto.families import task
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import CLAWBOT, LEAVE_S, READY_S, AgentProcess
from tests.end_to_end.conftest import NO_MODEL, NewAgent
from tests.end_to_end.person import Person, in_thread
from tests.end_to_end.reading import about, messages_of, room_messages
from tests.end_to_end.small_disk import SmallDisk
from tests.engines.ollama_server import OllamaServer
from tests.transports.encrypted_room import MEGOLM

BYTES = 2 << 20
QUESTION = "What is honey?"
ALMOST = 48 << 10
CANNOT = 3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "disk"
    place.mkdir()
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(SmallDisk(place, BYTES))
        except OSError as error:
            pytest.skip(f"no disk of a fixed size can be had here: {error}")
        yield disk


def inside(disk: SmallDisk) -> Sequence[str]:
    return (*disk.inside, *CLAWBOT, "run")


async def ended(agent: AgentProcess) -> int:
    """Its exit status, once it has ended by itself."""
    async with asyncio.timeout(LEAVE_S):
        while agent.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return await agent.stop()


async def until_told(agent: AgentProcess, *codes: str) -> None:
    """Once its status names exactly these problems, or these warnings."""
    async with asyncio.timeout(READY_S):
        while codes_of(await agent.status()) != list(codes):
            assert agent.pid is not None, agent.log
            await asyncio.sleep(0.05)


def codes_of(status: AgentStatus | None) -> list[str] | None:
    return None if status is None else [found.code for found in (status.problems or status.warnings)]


def last_line(agent: AgentProcess) -> str:
    return agent.log.splitlines()[-1]


async def test_what_cannot_be_kept_is_not_acknowledged_and_comes_again(
    disk: SmallDisk, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("ada", person.room_id, *NO_MODEL)
    disk.take_over(agent.state.parent)
    agent.start(command=inside(disk))
    await agent.ready()
    disk.fill(leave=ALMOST)
    await until_told(agent, "disk.unwritable")
    for number in range(8):
        await client.send_text(person.room_id, f"{number} " + "x" * 40_000)
    asked = await person.say("!claw peers", agent)
    assert await ended(agent) == CANNOT
    sentence = (
        f"clawbot: The disk that holds the store {agent.state}/store.sqlite is full. Free some space and start again"
    )
    assert last_line(agent).startswith(sentence)

    agent.start(command=inside(disk))
    assert await ended(agent) == CANNOT
    assert last_line(agent).startswith(sentence)

    disk.make_room()
    agent.start(command=inside(disk))
    await agent.ready()
    await person.told(asked, f"{agent.name} – ai")
    await until_told(agent)
    await client.sync()
    assert len([event for event in client.events if in_thread(event, asked)]) == 1


async def test_work_that_could_not_be_kept_is_done_again_and_accepted_once(
    disk: SmallDisk, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    client = await new_client("witness")
    room_id = await new_room(client)
    async with OllamaServer() as server:
        server.fault = "stall"
        asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human")
        worker = await new_agent("worker", room_id, "--engine", "ollama", engine_ollama_host=server.url)
        disk.take_over(worker.state.parent)
        asker.start()
        worker.start(command=inside(disk))
        await asyncio.gather(asker.ready(), worker.ready())
        await asker.sees(worker.name)
        async with asker.running("ask", QUESTION, "--json") as command:
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            disk.fill()
            server.fault = ""
            server.went_on.set()
            assert await ended(worker) == CANNOT
            assert "is full. Free some space and start again" in last_line(worker)
            disk.make_room()
            worker.start(command=inside(disk))
            answer = await command.until(lambda line: line["event"] == "answer")
            assert answer["outcome"] == "completed", command.lines
        assert len([name for name, _ in server.requests if name == "chat"]) == 2
    messages = about(answer["task"], await room_messages(client, room_id))
    assert [message.body.attempt for message in messages if isinstance(message.body, task.Award)] == [1]
    assert len([message for message in messages if isinstance(message.body, task.Result)]) == 1


async def test_the_keys_of_encrypted_rooms_cannot_be_kept(
    disk: SmallDisk, new_client: NewClient, new_agent: NewAgent
) -> None:
    founder = await new_client("founder")
    state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
    room_id = await founder.create_room(preset="public_chat", initial_state=state)
    async with OllamaServer() as server:
        asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human")
        worker = await new_agent("worker", room_id, "--engine", "ollama", engine_ollama_host=server.url)
        for agent in (asker, worker):
            agent.start()
            await agent.ready()  # one after the other: what is said while somebody joins, it may have no key for
        await asyncio.gather(asker.sees(worker.name), worker.sees(asker.name))
        assert await worker.stop() == 0
        keys = "matrix-encryption.sqlite"
        disk.take_over_file(worker.state / keys)
        worker.start(command=inside(disk))
        await worker.ready()
        disk.fill()
        async with asker.running("ask", QUESTION, "--json") as command:
            assert await ended(worker) == CANNOT
            assert (
                last_line(worker)
                == f"clawbot: The disk that holds {worker.state}/{keys} is full. Free some space and start again."
            )
            disk.make_room()
            worker.start(command=inside(disk))
            answer = await command.until(lambda line: line["event"] == "answer")
            assert answer["outcome"] == "completed", command.lines
        for agent in (asker, worker):
            status = await agent.ready()
            assert status.unreadable == 0


async def test_the_transcript_cannot_go_on(
    disk: SmallDisk, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    """Nobody acts on what it does not hold; what it holds is intact."""
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("ada", person.room_id, *NO_MODEL)
    transcript = disk.folder / "transcript.jsonl"
    agent.start("--record", str(transcript))
    await agent.ready()
    await person.told(await person.say("!claw peers"), agent.name)
    disk.fill()
    asked = await person.say("!claw peers " + "x" * 10_000, agent)
    assert await ended(agent) == CANNOT
    assert last_line(agent) == (
        f"clawbot: The transcript {transcript} cannot be written on: No space left on device. "
        "Free some space and record into another file; what this one holds is intact."
    )
    verified = await agent.clawbot("verify", str(transcript), "--quiet")
    assert verified.status == 0, verified
    assert messages_of(transcript)
    agent.start("--record", "transcript.jsonl")
    await person.told(asked, agent.name)


async def test_the_audit_log_waits_and_the_agent_goes_on(
    disk: SmallDisk, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("ada", person.room_id, *NO_MODEL)
    (disk.folder / "audit").mkdir()
    (agent.state / "audit").symlink_to(disk.folder / "audit")
    disk.fill()
    agent.start()
    await agent.ready()
    await until_told(agent, "audit.fault")
    await person.told(await person.say("!claw help", agent), "I pass questions on")
    disk.make_room()
    await until_told(agent)
    assert await agent.stop() == 0
    verified = await agent.clawbot("audit", "verify")
    assert verified.status == 0, verified
    shown = await agent.clawbot("audit", "show", "--json")
    assert [record["kind"] for record in shown.json].count("spoke") == 1
