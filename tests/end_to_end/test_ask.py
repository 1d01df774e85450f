"""``clawbot ask`` and the commands around it: beside a running agent, and without one."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from bots.engines import Sampling
from bots.engines.llamacpp import LlamaCppEngine
from clawnet_proto.families import task
from clawnet_proto.families.task_prompt import render
from clawnet_proto.message import Message
from tests.conftest import NewClient
from tests.end_to_end.agent_process import AgentProcess, models_held
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent
from tests.end_to_end.reading import about, carried, room_messages
from tests.engines.generation import TIMEOUT_S, completed
from tests.matrix_client import MatrixClient

QUESTION = "What is the capital of France?"


@pytest.fixture
async def witness(mesh: Mesh, new_client: NewClient) -> MatrixClient:
    """Of plain HTTP, in the room all the time."""
    witness = await new_client("witness")
    await witness.join(mesh.room_id)
    return witness


@pytest.fixture
async def asker(mesh: Mesh, new_agent: NewAgent) -> AgentProcess:
    """Not running."""
    return await new_agent("asker", mesh.room, *NO_MODEL, "--kind", "human")


async def test_without_a_running_agent(asker: AgentProcess, witness: MatrixClient, mesh: Mesh) -> None:
    finished = await asker.clawbot("ask", QUESTION)
    assert finished.status == 0, finished
    # The answer alone, for pipes; all else is for the person who waits.
    assert finished.out.count("\n") == 1
    assert finished.out.strip()
    assert f"{mesh.room} is public: anyone who joins can read the question and the answer" in finished.err
    assert finished.err.index("is public") < finished.err.index("task ")
    messages = await room_messages(witness, mesh.room_id)
    (request,) = [message for message in messages if isinstance(message.body, task.Request) and asked(message)]
    kinds = [message.type for message in about(request.id, messages)]
    assert kinds == ["task.request", "task.award", "task.result", "task.close"]
    # It leaves the room as polite as it came.
    assert [message.type for message in messages if message.sender == request.sender][-1] == "presence.leave"


def asked(request: Message) -> bool:
    return bool(request.body.title == QUESTION)


async def test_beside_a_running_agent(asker: AgentProcess) -> None:
    asker.start()
    await asker.ready()
    finished = await asker.clawbot("ask", QUESTION, "--json", "--max-tokens", "16")
    assert finished.status == 0, finished
    kinds = [event["event"] for event in finished.json]
    assert kinds[0] == "notice"
    assert kinds[-1] == "answer"
    assert {"task", "stage", "text", "message"} <= set(kinds)
    status = await asker.clawbot("status", "--json")
    assert (status.status, status.json[0]["name"]) == (0, asker.name)
    # Without a word of a new login: it was the running agent that asked.
    assert asker.log.count("Logged in") == 1


async def test_two_questions_at_once_do_not_mix(asker: AgentProcess) -> None:
    asker.start()
    await asker.ready()
    both = await asyncio.gather(*(asker.clawbot("ask", text, "--json") for text in (QUESTION, "What is honey?")))
    for finished in both:
        assert finished.status == 0, finished
        assert len(finished.of("answer")) == len(finished.of("task")) == 1
        assert {event["task"] for event in finished.of("text")} == {finished.of("answer")[0]["task"]}


@pytest.mark.parametrize("beside", [True, False])
async def test_ctrl_c_cancels_the_task(asker: AgentProcess, witness: MatrixClient, mesh: Mesh, beside: bool) -> None:
    if beside:
        asker.start()
        await asker.ready()
    with models_held(*mesh.agents):
        async with asker.running("ask", QUESTION, "--json") as command:
            task_id = (await command.until(lambda line: line["event"] == "task"))["task"]
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            command.process.send_signal(signal.SIGINT)
            assert await command.ended() == 130
            assert command.process.stderr is not None
            assert (await command.process.stderr.read()) == b""
        await witness.wait_for(
            lambda event: any(message.type == "task.cancel" for message in about(task_id, carried(event)))
        )
    # Nobody works on it any more.
    async with asyncio.timeout(30):
        while any([status.jobs for agent in mesh.agents if (status := await agent.status())]):  # noqa: ASYNC110, C419
            await asyncio.sleep(0.05)
    if beside:
        tasks = await asker.clawbot("tasks", task_id[:8], "--json")
        assert [line["state"] for line in tasks.json] == ["canceled"]


async def test_a_private_question(asker: AgentProcess, witness: MatrixClient, mesh: Mesh, model_path: Path) -> None:
    secret = "What is the capital of Liechtenstein?"
    finished = await asker.clawbot("ask", secret, "--private", "--stages", "draft,critique,revise", "--json")
    assert finished.status == 0, finished
    (answer,) = finished.of("answer")
    assert "Sealed: only the agents that run it" in finished.of("notice")[0]["text"]

    events = await witness.messages(mesh.room_id)
    room = "".join(str(event) for event in events)
    assert "Liechtenstein" not in room
    assert answer["text"].strip() not in room
    messages = [message for event in events for message in carried(event)]
    (request,) = [message for message in about(answer["task"], messages) if isinstance(message.body, task.Request)]
    assert request.body.privacy == "sealed"
    pieces = [event["text"] for event in finished.of("text") if event["stage"] == "revise"]
    assert "".join(pieces) == answer["text"]
    # It is what the model says to this question, not to a digest of it.
    texts = {"question": secret} | {stage["stage"]: stage["text"] for stage in answer["stages"]}
    engine = LlamaCppEngine(model_path)
    await engine.start()
    try:
        (model,) = await engine.models()
        for stage in request.body.stages:
            sampling = Sampling(max_tokens=stage.parameters.max_tokens, stop=stage.parameters.stop)
            prompt = render(stage, texts)
            _, bare = await completed(engine.generate(model.name, prompt, sampling, timeout_s=TIMEOUT_S))
            assert texts[stage.id] == bare.text
    finally:
        await engine.close()


async def test_peers(asker: AgentProcess, mesh: Mesh) -> None:
    finished = await asker.clawbot("peers", "--json")
    assert finished.status == 0
    peers = {peer["name"]: peer for peer in finished.of("peer") if peer["live"]}
    assert {agent.name for agent in mesh.agents} <= set(peers)
    for agent in mesh.agents:
        peer = peers[agent.name]
        assert peer["bound"]
        assert "generate" in peer["capabilities"]
        assert peer["models"] == ["gemma-3-270m-q4_k_m"]
        assert peer["address"] == f"matrix:u/{agent.account.user_id.removeprefix('@')}"
    table = await asker.clawbot("peers")
    head, *rows = table.out.splitlines()
    assert head.split()[:3] == ["NAME", "KIND", "ROLE"]
    assert {agent.name for agent in mesh.agents} <= {row.split()[0] for row in rows}


async def test_a_task_that_nobody_can_do(asker: AgentProcess) -> None:
    """It says at once why it waits, and then that it was in vain."""
    finished = await asker.clawbot("ask", QUESTION, "--model", "gpt-9", CLAWNET_REQUESTS_GIVE_UP_SECONDS="1")
    assert finished.status == 1
    assert finished.out == ""
    assert "Nobody here can do that so far" in finished.err
    assert "Nobody offered to run answer" in finished.err


async def test_the_agent_stops_while_it_is_asked(asker: AgentProcess, mesh: Mesh) -> None:
    asker.start()
    await asker.ready()
    with models_held(*mesh.agents):
        async with asker.running("ask", QUESTION, "--json") as command:
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            asker.kill()
            assert await command.ended() == 3
            assert command.process.stderr is not None
            told = (await command.process.stderr.read()).decode()
            assert told.startswith("clawbot: The agent stopped before there was an answer.")
