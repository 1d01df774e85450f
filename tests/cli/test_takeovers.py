"""Who took a stage over from whom, as people and programs are told."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest

from bots.behaviours.requester import Order
from bots.cli.look import _row
from bots.cli.printing import Printer
from bots.events import StageChanged
from bots.requests import AttemptSeen, StageSeen, Tasks, TaskSeen
from bots.service import Service
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Room, generate, order
from tests.agent.virtual_time import in_virtual_time, until


def printed(**fields: str) -> str:
    stream = io.StringIO()
    event = StageChanged(at_ms=0, task="t", stage="draft", attempt=2, state="awarded", executor="did:cora", name="cora")
    Printer(stream, trace=False).show(msgspec.structs.replace(event, **fields))
    return stream.getvalue().partition("s   ")[2].rstrip("\n")


@pytest.mark.parametrize(
    "state, words",
    [
        ("lapsed", "lease lapsed"),
        ("failed", "failed"),
        ("rejected", "declined"),
        ("completed", "its output cannot be had"),
    ],
)
def test_a_person_reads_from_whom_and_why(state: str, words: str) -> None:
    said = printed(before="did:bert", before_name="bert", before_state=state)
    assert said == f"draft goes to cora, who takes over from bert ({words}), attempt 2"


def test_the_same_agent_once_more() -> None:
    said = printed(before="did:cora", before_name="cora", before_state="lapsed")
    assert said == "draft goes to cora once more (lease lapsed), attempt 2"


def test_it_is_said_once_and_not_with_every_state() -> None:
    said = printed(state="working", before="did:bert", before_name="bert", before_state="lapsed")
    assert said == "draft is being written by cora, attempt 2"


def test_names_are_harmless() -> None:
    said = printed(before="did:bert", before_name="\x1b[2J\u202e", before_state="\x1b[2J")
    assert said.isprintable()


def test_the_list_of_tasks_names_the_last_ones() -> None:
    tried = [AttemptSeen(attempt=n, state="lapsed", executor=f"did:{n}", name=f"peer-{n}") for n in range(1, 6)]
    stage = StageSeen(stage="draft", state="completed", attempt=6, executor="did:6", name="cora", before=tuple(tried))
    seen = TaskSeen(
        at_ms=0, task="t", room="r", title="T", state="completed", requester="ada", ours=True, stages=(stage,)
    )
    assert _row(seen)[3] == (
        "draft completed (cora, after peer-3: lease lapsed, peer-4: lease lapsed, peer-5: lease lapsed)"
    )


@in_virtual_time
async def test_a_real_takeover_is_told_to_whoever_watches_and_is_in_the_list(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        others = await room.crowd("bert", "cora", engine=lambda: ScriptedEngine(["slow", 3.0, " work"]))
        asked: Order = order(generate())
        task_id = ada.ask(asked)
        await until(lambda: ada.told(StageChanged))
        first = next(member for member in others if member.did == ada.told(StageChanged)[0].executor)
        (second,) = (member for member in others if member is not first)
        await first.crash()
        await ada.outcome(task_id)
        states = [(event.state, event.name, event.before_name, event.before_state) for event in ada.told(StageChanged)]
        assert ("awarded", second.name, first.name, "lapsed") in states
        assert states[-1] == ("completed", second.name, first.name, "lapsed")
        assert all(not before for _, name, before, _ in states if name == first.name)
        eve = room.stranger("eve")
        eve.write(f"!claw task {task_id[:8]}")
        line = f"answer: completed by {second.name}, after {first.name} (lease lapsed)"
        await until(lambda: any(line in body for body in room.network.bodies(by=ada.address)))
        (seen,) = [answer async for answer in Service(ada.agent).answer(Tasks())]
        (stage,) = json.loads(msgspec.json.encode(seen))["stages"]
        assert (stage["attempt"], stage["name"]) == (2, second.name)
        assert stage["before"] == [{"attempt": 1, "state": "lapsed", "executor": first.did, "name": first.name}]
