"""The main job: a question through three stages, each run by another agent, and all of it can be checked later."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import pytest

from bots import cli
from bots.engines import Sampling
from bots.engines.llamacpp import LlamaCppEngine
from bots.homeserver import Homeserver
from clawnet_proto.families import task
from clawnet_proto.families.task_prompt import render
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.end_to_end.agent_process import AgentProcess, Finished
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent, plain_client, run
from tests.end_to_end.reading import Json, about, carried, messages_of, results
from tests.engines.generation import TIMEOUT_S, completed

QUESTION = "Why is the sky blue?"
STAGES = ("draft", "critique", "revise")
FLIPS = 50


class Asked(NamedTuple):
    """A question that was answered, and what is left of it."""

    asker: AgentProcess
    finished: Finished
    transcript: Path
    events: list[Json]  # of the room, as a client of plain HTTP reads them

    @property
    def answer(self) -> Json:
        (answer,) = self.finished.of("answer")
        return answer

    @property
    def messages(self) -> list[Message]:
        return about(self.answer["task"], messages_of(self.transcript))

    @property
    def request(self) -> task.Request:
        (body,) = [message.body for message in self.messages if isinstance(message.body, task.Request)]
        return body

    @property
    def close(self) -> task.Close:
        (body,) = [message.body for message in self.messages if isinstance(message.body, task.Close)]
        return body


@pytest.fixture(scope="module")
def asked(mesh: Mesh, homeserver: Homeserver, new_agent_of_module: NewAgent) -> Asked:
    async def ask() -> Asked:
        asker = await new_agent_of_module("asker", mesh.room, *NO_MODEL, "--kind", "human")
        asker.start("--record", "transcript.jsonl")
        await asker.ready()
        await asker.sees(*(agent.name for agent in mesh.agents))
        finished = await asker.clawbot("ask", QUESTION, "--stages", ",".join(STAGES), "--json")
        assert await asker.stop() == 0, asker.log
        async with plain_client(homeserver, "witness") as witness:
            await witness.join(mesh.room_id)
            events = await witness.messages(mesh.room_id)
        return Asked(asker, finished, asker.home / "transcript.jsonl", events)

    return run(ask())


def test_three_agents_answer(asked: Asked, mesh: Mesh) -> None:
    assert asked.finished.status == 0, asked.finished
    answer = asked.answer
    assert [stage["stage"] for stage in answer["stages"]] == list(STAGES)
    assert {stage["name"] for stage in answer["stages"]} == {agent.name for agent in mesh.agents}
    assert answer["text"].strip()
    assert answer["text"] == answer["stages"][-1]["text"]
    assert asked.close.outcome == "completed"
    assert asked.close.executions == len(STAGES)


def test_the_text_streams_in(asked: Asked) -> None:
    for stage in asked.answer["stages"]:
        pieces = [event for event in asked.finished.of("text") if event["stage"] == stage["stage"]]
        assert len(pieces) > 1
        assert "".join(piece["text"] for piece in pieces) == stage["text"]


def test_each_stage_reads_what_was_accepted(asked: Asked) -> None:
    accepted = {item.name: item.digest for item in asked.request.inputs}
    accepted |= {item.stage: item.output_digest for item in asked.close.accepted}
    assert accepted.keys() == {"question", *STAGES}
    for message in results(asked.answer["task"], asked.messages):
        given = {item.source: item.digest for item in message.body.inputs}
        stage = asked.request.stage(message.body.stage)
        assert stage is not None
        assert given == {source: accepted[source] for source in stage.sources}
        assert message.body.output_digest == digest(message.body.text.encode()) == accepted[stage.id]


async def test_each_text_is_the_bare_engines(asked: Asked, model_path: Path) -> None:
    texts = {item.name: str(item.text) for item in asked.request.inputs}
    texts |= {message.body.stage: message.body.text for message in results(asked.answer["task"], asked.messages)}
    engine = LlamaCppEngine(model_path)
    await engine.start()
    try:
        (model,) = await engine.models()
        for stage in asked.request.stages:
            assert stage.parameters.temperature_milli == 0
            sampling = Sampling(max_tokens=stage.parameters.max_tokens, stop=stage.parameters.stop)
            prompt = render(stage, texts)
            _, bare = await completed(engine.generate(model.name, prompt, sampling, timeout_s=TIMEOUT_S))
            assert texts[stage.id] == bare.text
    finally:
        await engine.close()


def test_a_question_costs_its_asker_three_room_events(asked: Asked) -> None:
    task_id, mine = asked.answer["task"], asked.asker.account.user_id
    events = [event for event in asked.events if event["sender"] == mine and event["type"] == "m.room.message"]
    about_it = [[message.type for message in about(task_id, carried(event))] for event in events]
    assert [types for types in about_it if types] == [["task.request"], ["task.award"] * 3, ["task.close"]]


def test_anyone_reads_along(asked: Asked) -> None:
    """A client that knows nothing of carriers sees who does what, in words and in one thread."""
    task_id = asked.answer["task"]
    events = [event for event in asked.events if event["type"] == "m.room.message"]
    ours = [event for event in events if about(task_id, carried(event))]
    first, *rest = ours
    assert all(event["content"]["m.relates_to"]["event_id"] == first["event_id"] for event in rest)
    assert all(event["content"]["m.relates_to"]["rel_type"] == "m.thread" for event in rest)
    body = "\n".join(event["content"]["body"] for event in ours)
    assert QUESTION in body
    for stage in asked.answer["stages"]:
        assert f"awards {stage['stage']} to {stage['name']}" in body
        assert stage["text"].strip() in body


# --- the transcript ---


async def test_the_transcript_is_intact(asked: Asked) -> None:
    verified = await asked.asker.clawbot("verify", asked.transcript.name, "--json")
    assert verified.status == 0, verified
    # Whoever has not the asker's keys cannot read what was for the asker alone.
    assert {finding["verdict"] for finding in verified.json} == {"bound", "unopened"}
    own = ("--name", asked.asker.name)
    verified = await asked.asker.clawbot("verify", asked.transcript.name, "--json", *own)
    assert {finding["verdict"] for finding in verified.json} == {"bound"}
    told = await asked.asker.clawbot("verify", asked.transcript.name, "--quiet", *own)
    assert (told.status, told.out.count("\n")) == (0, 1)


@pytest.mark.parametrize("seed", range(FLIPS))
def test_a_flipped_character_is_found(
    asked: Asked, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    whole = asked.transcript.read_bytes()
    place = random.Random(seed).randrange(len(whole))
    flipped = tmp_path / "flipped.jsonl"
    flipped.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    number = whole[:place].count(b"\n") + 1
    assert cli.main(["verify", str(flipped), "--quiet"]) == 1
    named = [line for line in capsys.readouterr().out.splitlines() if line.startswith("line ")]
    assert named
    assert named[0].startswith((f"line {number}:", f"line {number + 1}:"))


async def test_a_lost_line_is_found(asked: Asked, tmp_path: Path) -> None:
    lines = asked.transcript.read_bytes().splitlines(keepends=True)
    lost = tmp_path / "lost.jsonl"
    lost.write_bytes(b"".join(lines[:5] + lines[6:]))
    verified = await asked.asker.clawbot("verify", str(lost), "--quiet")
    assert verified.status == 1
    assert verified.out.startswith("line 6: damaged")
    assert "NOT intact" in verified.out
