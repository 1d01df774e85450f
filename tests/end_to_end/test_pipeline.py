"""The main job: a question through three stages, each run by another agent, and all of it can be checked later."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bots import cli
from bots.engines import Sampling
from bots.engines.llamacpp import LlamaCppEngine
from clawnet_proto.families import task
from clawnet_proto.families.task_prompt import render
from clawnet_proto.signing import digest
from tests.conftest import NewClient
from tests.end_to_end.agent_process import AgentProcess, Finished
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent
from tests.end_to_end.reading import carried, messages_of
from tests.engines.generation import TIMEOUT_S, completed
from tests.matrix_client import MatrixClient

QUESTION = "Why is the sky blue?"
STAGES = ("draft", "critique", "revise")
FLIPS = 50


class Asked(NamedTuple):
    """A question that was answered, and what is left of it."""

    asker: AgentProcess
    finished: Finished
    transcript: Path
    witness: MatrixClient  # of plain HTTP, in the room all the time


@pytest.fixture
async def asked(mesh: Mesh, new_agent: NewAgent, new_client: NewClient) -> AsyncIterator[Asked]:
    witness = await new_client("witness")
    await witness.join(mesh.room_id)
    asker = await new_agent("asker", mesh.room, *NO_MODEL, "--kind", "human")
    asker.start("--record", "transcript.jsonl")
    await asker.sees(*(agent.name for agent in mesh.agents))
    finished = await asker.clawbot("ask", QUESTION, "--stages", ",".join(STAGES), "--json")
    yield Asked(asker, finished, asker.home / "transcript.jsonl", witness)


async def test_three_agents_answer_and_the_transcript_proves_it(
    asked: Asked, mesh: Mesh, model_path: Path
) -> None:
    assert asked.finished.status == 0, asked.finished
    (answer,) = asked.finished.of("answer")
    assert [stage["stage"] for stage in answer["stages"]] == list(STAGES)
    assert {stage["name"] for stage in answer["stages"]} == {agent.name for agent in mesh.agents}
    assert answer["text"] == answer["stages"][-1]["text"]
    assert all(stage["output_digest"] == digest(stage["text"].encode()) for stage in answer["stages"])
    pieces = [event for event in asked.finished.of("text") if event["stage"] == "revise"]
    assert "".join(piece["text"] for piece in pieces) == answer["text"].rstrip()[: sum(len(p["text"]) for p in pieces)]

    assert await asked.asker.stop() == 0
    verified = await asked.asker.clawbot("verify", asked.transcript.name, "--json")
    assert verified.status == 0, verified.out
    assert {finding["verdict"] for finding in verified.json} == {"bound"}

    messages = messages_of(asked.transcript)
    results = {message.body.stage: message.body for message in messages if isinstance(message.body, task.Result)}
    (request,) = [message for message in messages if isinstance(message.body, task.Request)]
    (close,) = [message for message in messages if isinstance(message.body, task.Close)]
    outputs = {item.name: item.digest for item in request.body.inputs}
    outputs |= {item.stage: item.output_digest for item in close.body.accepted}
    for stage in request.body.stages:
        given = {item.source: item.digest for item in results[stage.id].inputs}
        assert given == {source: outputs[source] for source in stage.sources}
    assert (close.body.outcome, close.body.executions) == ("completed", len(STAGES))

    texts = {item.name: item.text for item in request.body.inputs}
    texts |= {name: result.text for name, result in results.items()}
    for stage in request.body.stages:
        assert texts[stage.id] == await bare(model_path, stage, texts)


async def bare(model_path: Path, stage: task.Stage, texts: dict[str, str]) -> str:
    """What the engine alone makes of a stage."""
    parameters = stage.parameters
    assert parameters.temperature_milli == 0
    sampling = Sampling(max_tokens=parameters.max_tokens, stop=parameters.stop)
    engine = LlamaCppEngine(model_path)
    await engine.start()
    try:
        (model,) = await engine.models()
        _, completion = await completed(
            engine.generate(model.name, render(stage, texts), sampling, timeout_s=TIMEOUT_S)
        )
    finally:
        await engine.close()
    return completion.text
