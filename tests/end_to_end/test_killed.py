"""Agents, and the processes that hold their models, are killed in the middle of a stage: the question is answered."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from itertools import pairwise

import pytest

from clawnet_proto.families import task
from tests.conftest import NewClient
from tests.end_to_end.agent_process import AgentProcess, Running, models_held
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent, run
from tests.end_to_end.reading import Json, awards, messages_of, results, room_messages

QUESTION = "What is the most important thing to know about the history of the Roman Empire?"
STAGES = ("draft", "critique", "revise")
ASK = ("ask", QUESTION, "--stages", ",".join(STAGES), "--max-tokens", "24", "--json")
LEASE_MS = 3000
# The first three: one that is not at work, one that is and stays away, one that is and comes back at once.
SEEDS = range(int(os.environ.get("CLAWNET_TEST_SEEDS", "3")))


@pytest.fixture(scope="module")
def asker(fragile_mesh: Mesh, new_agent_of_module: NewAgent) -> AgentProcess:
    """Asks, and has little patience with agents that fall silent."""

    async def start() -> AgentProcess:
        asker = await new_agent_of_module(
            "asker", fragile_mesh.room, *NO_MODEL, "--kind", "human", requests_lease_ms=str(LEASE_MS)
        )
        asker.start("--record", "transcript.jsonl")
        await asker.ready()
        await asker.sees(*(agent.name for agent in fragile_mesh.agents))
        return asker

    return run(start())


async def stage_is(command: Running, stage: str, state: str) -> Json:
    """The event that says so."""
    return await command.until(
        lambda line: line["event"] == "stage" and (line["stage"], line["state"]) == (stage, state)
    )


async def answered(command: Running) -> dict[str, Json]:
    """The stages of the answer by name, once it is there."""
    answer = await command.until(lambda line: line["event"] == "answer")
    assert answer["outcome"] == "completed", command.lines
    assert await command.ended() == 0
    stages = {stage["stage"]: stage for stage in answer["stages"]}
    assert tuple(stages) == STAGES
    assert all(stage["text"].strip() for stage in stages.values())
    return stages


@pytest.mark.parametrize("seed", SEEDS)
async def test_an_agent_is_killed(fragile_mesh: Mesh, asker: AgentProcess, seed: int) -> None:
    """Mostly the one that is at work; else one that is done, or has its turn still to come."""
    chance = random.Random(seed)
    stage, at_work, back_at_once = chance.choice(STAGES), chance.random() < 2 / 3, chance.random() < 1 / 2
    await asyncio.gather(*(agent.ready() for agent in fragile_mesh.agents))
    async with asker.running(*ASK) as command:
        executor = fragile_mesh.named((await stage_is(command, stage, "awarded"))["name"])
        others = [agent for agent in fragile_mesh.agents if agent is not executor]
        victim = executor if at_work else chance.choice(others)
        # Who was slow to offer has no stage, and somebody else two: the first of them must not be held up.
        awarded = [line for line in command.lines if line["event"] == "stage" and line["state"] == "awarded"]
        before = [line["stage"] for line in awarded if line["name"] == executor.name and line["stage"] != stage]
        if before:
            await stage_is(command, before[-1], "completed")
        with models_held(executor):
            await stage_is(command, stage, "working")
            victim.kill()
        if back_at_once:
            victim.start()
        stages = await answered(command)
    if not back_at_once:
        if at_work:
            assert stages[stage]["attempt"] > 1
            assert stages[stage]["name"] != victim.name
        victim.start()


async def test_a_model_is_killed(fragile_mesh: Mesh, asker: AgentProcess) -> None:
    """The worker that holds it, as the system does when memory is short: the agent itself lives on."""
    await asyncio.gather(*(agent.ready() for agent in fragile_mesh.agents))
    async with asker.running(*ASK) as command:
        executor = fragile_mesh.named((await stage_is(command, "draft", "awarded"))["name"])
        before = executor.pid
        with models_held(executor) as (worker,):
            await stage_is(command, "draft", "working")
            os.kill(worker, signal.SIGKILL)
        await answered(command)
    assert executor.pid == before
    status = await executor.ready()
    assert status.engine == "llamacpp ready"
    assert executor.children != [worker]


async def test_nothing_was_done_twice(fragile_mesh: Mesh, asker: AgentProcess, new_client: NewClient) -> None:
    """After all this: what the room says, what the agents that came back did, and what the transcript proves."""
    statuses = await asyncio.gather(*(agent.ready() for agent in fragile_mesh.agents))
    assert [status.jobs for status in statuses] == [0, 0, 0]
    witness = await new_client("witness")
    await witness.join(fragile_mesh.room_id)
    messages = await room_messages(witness, fragile_mesh.room_id)
    requests = [message.id for message in messages if isinstance(message.body, task.Request)]
    assert len(requests) == len(SEEDS) + 1
    for task_id in requests:
        done = Counter((item.body.stage, item.body.attempt) for item in results(task_id, messages))
        assert set(done.values()) == {1}
        (close,) = [
            item.body for item in messages if isinstance(item.body, task.Close) and item.envelope.thread == task_id
        ]
        assert close.outcome == "completed"
        assert len(close.accepted) == len(STAGES) <= close.executions <= len(done)
        # A stage goes to somebody else, never twice in a row to who fell silent.
        for stage in STAGES:
            chosen = [item.envelope.recipients for item in awards(task_id, messages) if item.body.stage == stage]
            assert all(earlier != later for earlier, later in pairwise(chosen))

    assert await asker.stop() == 0
    verified = await asker.clawbot("verify", "transcript.jsonl", "--quiet")
    assert verified.status == 0, verified
    recorded = messages_of(asker.home / "transcript.jsonl")
    for task_id in requests:
        awarded, kept = awards(task_id, messages), awards(task_id, recorded)
        assert {message.id for message in kept} == {message.id for message in awarded}
