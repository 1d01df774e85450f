"""The link between two homeservers is cut and healed: two meshes, then one again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

import pytest

from bots.engines import Completion, Engine, Sampling
from clawnet_proto.families import task
from clawnet_proto.families.task_state import TaskView
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import generate
from tests.end_to_end.person import Person, on_behalf
from tests.federation.agreement import State, agreed
from tests.federation.conftest import Islands, NewPerson, NewResident
from tests.federation.resident import Resident, acquainted, until

STAGES = (generate("draft"), generate("critique", "draft"), generate("revise", "draft", "critique"))


class HeldEngine(ScriptedEngine):
    """Generates nothing until it is let go."""

    def __init__(self, text: str) -> None:
        super().__init__([text])
        self.held = asyncio.Event()
        self.go = asyncio.Event()

    async def generate(
        self, model: str, prompt: str, sampling: Sampling, *, timeout_s: float
    ) -> AsyncGenerator[str | Completion, None]:
        self.held.set()
        await self.go.wait()
        async for item in super().generate(model, prompt, sampling, timeout_s=timeout_s):
            yield item


class Place(NamedTuple):
    """A room on both servers, made on the first, and a person on each."""

    alias: str
    ann: Person
    ben: Person


@pytest.fixture
async def place(islands: Islands, new_person: NewPerson) -> Place:
    ann, ben = await new_person(islands.a, "ann"), await new_person(islands.b, "ben")
    room = await ann.create_room(preset="public_chat", room_alias_name=ann.account.name)
    alias = f"#{ann.account.name}:{islands.a.server_name}"
    await ben.join(alias)
    return Place(alias, Person(ann, room), Person(ben, room))


class Population(NamedTuple):
    """Agents with models, on each of the islands."""

    on_a: list[Resident]
    on_b: list[Resident]

    @property
    def everybody(self) -> list[Resident]:
        return [*self.on_a, *self.on_b]


@pytest.fixture
async def population(islands: Islands, place: Place, new_resident: NewResident) -> Population:
    def model(name: str) -> Engine:
        return ScriptedEngine([f"The words of {name}."])

    on_a = [await new_resident(islands.a, name, place.alias, model(name)) for name in ("ada", "amy")]
    on_b = [await new_resident(islands.b, name, place.alias, model(name)) for name in ("bert", "bea")]
    await acquainted([*on_a, *on_b])
    return Population(on_a, on_b)


def executions(state: State, task_id: str) -> dict[str, int]:
    """How often each stage of a completed task was executed; each has one result that counts."""
    told = state["tasks"][task_id]
    assert told["state"] == "completed"
    assert all(stage["state"] == "completed" and stage["accepted"] for stage in told["stages"].values())
    return {name: stage["executions"] for name, stage in told["stages"].items()}


def executors(state: State, task_id: str) -> set[str]:
    """Who was awarded any of its stages."""
    stages = state["tasks"][task_id]["stages"].values()
    return {executor for stage in stages for executor, _ in stage["attempts"].values()}


async def test_both_islands_go_on_and_are_one_mesh_when_the_link_is_healed(
    islands: Islands, place: Place, population: Population, new_resident: NewResident
) -> None:
    on_a, on_b = population
    islands.cut()
    # Discovery goes on, each island its own: the room is entered by way of one's own server.
    for islanders, homeserver, name in ((on_a, islands.a, "abe"), (on_b, islands.b, "bob")):
        islanders.append(await new_resident(homeserver, name, place.ann.room_id, ScriptedEngine([name])))
        await acquainted(islanders)
    abe, bob = on_a[-1], on_b[-1]
    assert bob.did not in on_a[0].mesh.peers
    assert abe.did not in on_b[0].mesh.peers

    asked = await _all_ask(on_a) | await _all_ask(on_b)
    assert not [task_id for task_id in asked if on_a[0].mesh.has_task(task_id) and on_b[0].mesh.has_task(task_id)]

    islands.heal()
    await acquainted(population.everybody)
    state = await agreed(*population.everybody)
    assert state["tasks"].keys() == asked.keys()
    for task_id, able in asked.items():
        assert set(executions(state, task_id).values()) == {1}
        assert executors(state, task_id) <= {one.did for one in able}

    across = abe.ask(*STAGES, question="Are you there?", to=bob.did)
    assert (await abe.ended(across)).outcome == "completed"
    assert executors(await agreed(*population.everybody), across) == {bob.did}


async def _all_ask(islanders: Sequence[Resident]) -> dict[str, Sequence[Resident]]:
    """Each has a task done by the others: the tasks, and who may have worked at them."""
    asked = {one.ask(*STAGES, question=f"What does {one.account.name} ask?"): one for one in islanders}
    endings = [await one.ended(task_id) for task_id, one in asked.items()]
    assert {ended.outcome for ended in endings} == {"completed"}
    return dict.fromkeys(asked, islanders)


@pytest.mark.parametrize(
    "second, executed",
    [
        ("the same", {"draft": 2, "critique": 2}),
        # What was worked out from another draft is no result of the stage: its inputs are not the accepted ones.
        ("other words", {"draft": 2, "critique": 1}),
    ],
)
async def test_work_that_is_cut_off_is_done_anew_and_accepted_once(
    islands: Islands, place: Place, new_resident: NewResident, second: str, executed: dict[str, int]
) -> None:
    held = HeldEngine("the same")
    ada = await new_resident(islands.a, "ada", place.alias, lease_ms=1000)
    bert = await new_resident(islands.b, "bert", place.alias, held)
    bea = await new_resident(islands.b, "bea", place.alias)
    await acquainted([ada, bert, bea])
    task_id = ada.ask(*STAGES[:2], question="Who goes on?")
    await held.held.wait()

    islands.cut()
    amy = await new_resident(islands.a, "amy", place.alias, ScriptedEngine([second]))
    ended = await ada.ended(task_id)
    assert [stage.executor for stage in ended.stages] == [amy.did] * 2
    # On the other island nobody knows of that, and who was awarded it does it all.
    held.go.set()
    await until(lambda: _state(bea, task_id) == "completed")

    islands.heal()
    state = await agreed(ada, amy, bert, bea)
    assert executions(state, task_id) == executed
    accepted = {result.result for result in _close(bert, task_id).accepted}
    assert accepted == {stage["accepted"] for stage in state["tasks"][task_id]["stages"].values()}
    assert {result.executor for result in _close(bert, task_id).accepted} == {amy.did}
    unfitting = [code for code in _view(bea, task_id).errors.values() if code == "task.input_mismatch"]
    assert sum(executed.values()) + len(unfitting) == 4
    assert [one.agent.executor.jobs for one in (ada, amy, bert, bea)] == [0, 0, 0, 0]


async def test_servers_that_were_started_anew_meanwhile_miss_nothing_either(
    islands: Islands, place: Place, population: Population
) -> None:
    """They tell each other only the newest they have, and fetch the rest when they are asked for it."""
    islands.cut()
    asked: dict[str, Sequence[Resident]] = {}
    for _ in range(2):
        for several in await asyncio.gather(_all_ask(population.on_a), _all_ask(population.on_b)):
            asked |= several
    await asyncio.gather(islands.a.restart(), islands.b.restart())
    await until(lambda: all(one.agent.transport.online for one in population.everybody))

    islands.heal()
    # Of two events that were written at the same moment, a server tells one; what comes next leads to the other.
    for person in (place.ann, place.ben):
        await person.say("There you are again!")
    state = await agreed(*population.everybody)
    assert state["tasks"].keys() == asked.keys()
    for task_id, able in asked.items():
        assert set(executions(state, task_id).values()) == {1}
        assert executors(state, task_id) <= {one.did for one in able}


async def test_peoples_questions_are_answered_once_each_on_its_own_island(
    islands: Islands, place: Place, population: Population
) -> None:
    islands.cut()
    asks = [(person, await person.say(f"!claw ask Why {number}?")) for person in place[1:] for number in range(2)]
    for person, ask in asks:
        await person.closed(ask)

    islands.heal()
    await until(lambda: all(len(list(one.mesh.tasks())) == len(asks) for one in population.everybody))
    # Nobody is left who might still answer what came from the other island.
    await until(lambda: not any(one.agent.people.waiting for one in population.everybody))
    state = await agreed(*population.everybody)
    requests = [view.request for view in population.on_a[0].mesh.tasks()]
    assert sorted(on_behalf(request).event for request in requests) == sorted(ask for _, ask in asks)
    for request in requests:
        assert set(executions(state, request.id).values()) == {1}
        asker = place.ann if on_behalf(request).address == place.ann.address else place.ben
        islanders = population.on_a if asker is place.ann else population.on_b
        assert request.sender in {one.did for one in islanders}
        assert executors(state, request.id) <= {one.did for one in islanders}


def _view(resident: Resident, task_id: str) -> TaskView:
    view = resident.mesh.task(task_id)
    assert view is not None
    return view


def _state(resident: Resident, task_id: str) -> str:
    return _view(resident, task_id).state


def _close(resident: Resident, task_id: str) -> task.Close:
    close = _view(resident, task_id).close
    assert close is not None and isinstance(close.body, task.Close)
    return close.body
