"""Half of twelve agents are killed by SIGKILL while sixty tasks are in flight, and some come back.

Who, when and for how long is the seed's choice. What became of the tasks is read from the room alone, by somebody who
was not there. The first seed alone unless ``CLAWNET_TEST_SEEDS`` asks for more.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from bots.control import call, socket_path
from bots.events import TaskEnded, TaskOpened
from bots.requests import AnyAnswer, Ask
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from tests.agent.judging import assert_ended_once, assert_nothing_twice, endings, takeovers, takeovers_told
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.conftest import NewAgent
from tests.end_to_end.reading import carried
from tests.engines.ollama_server import OllamaServer
from tests.matrix_client import MatrixClient

SEEDS = range(int(os.environ.get("CLAWNET_TEST_SEEDS", "1")))
AGENTS = 12
REQUESTERS = 4  # the first of them; one is killed for good, one comes back, two live on
TASKS = 60
STAGES = ("draft", "critique")
SETTINGS = {
    "CLAWNET_REQUESTS_LEASE_MS": "6000",
    "CLAWNET_REQUESTS_ATTEMPTS": "20",  # a machine with a dozen other things to do lets leases lapse, too
    "CLAWNET_LIMITS_WAITING": "64",
    "CLAWNET_LIMITS_TASKS_PER_MINUTE_ADDRESS": "1000",
    "CLAWNET_LIMITS_TASKS_PER_MINUTE_HOMESERVER": "1000",
    "CLAWNET_LIMITS_TASKS_PER_MINUTE_STRANGERS": "1000",
    "CLAWNET_LIMITS_TOKENS_PER_MINUTE": "1000000",
}
DISTURBED_S = 8.0  # within which all deaths happen
AWAY_S = 6.0
ENDED_S = 240.0


class SlowServer(OllamaServer):
    """Writes about a second for each stage: long enough to die in the middle of it."""

    async def _write(self, *args: object) -> None:
        await asyncio.sleep(0.1)
        await super()._write(*args)  # type: ignore[arg-type]


@pytest.fixture
async def model() -> AsyncIterator[OllamaServer]:
    async with SlowServer() as server:
        yield server


class Asked(msgspec.Struct, kw_only=True):
    """One question, and what its requester said about it as long as it lived."""

    requester: AgentProcess
    told: list[AnyAnswer] = []
    opened: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        return next(event.task for event in self.told if isinstance(event, TaskOpened))

    @property
    def ends(self) -> list[TaskEnded]:
        return [event for event in self.told if isinstance(event, TaskEnded)]

    async def ask(self, question: str) -> None:
        request = Ask(question=question, stages=STAGES, max_tokens=16)
        try:
            async for event in call(socket_path(self.requester.state), request):
                self.told.append(event)
                if isinstance(event, TaskOpened):
                    self.opened.set()
        except ConnectionError:
            pass  # it was killed


class Death(msgspec.Struct, frozen=True):
    """Who is killed when, and after how long it is started again; None: never."""

    victim: AgentProcess
    at_s: float
    back_s: float | None

    async def happen(self) -> None:
        await asyncio.sleep(self.at_s)
        self.victim.kill()
        if self.back_s is not None:
            await asyncio.sleep(self.back_s)
            self.victim.start()


async def start_gently(agents: Sequence[AgentProcess]) -> None:
    """All at the same time; but each is asked how far it is only when those before it are ready."""
    for agent in agents:
        agent.start()
    for agent in agents:
        await agent.ready()
    for agent in agents:
        await agent.sees(*(other.name for other in agents))


def deaths(chance: random.Random, agents: Sequence[AgentProcess]) -> list[Death]:
    """Half of all: two requesters and some others; every second of them comes back."""
    others = chance.sample(agents[REQUESTERS:], AGENTS // 2 - 2)
    return [
        Death(victim, chance.uniform(0.0, DISTURBED_S), chance.uniform(0.0, AWAY_S) if number % 2 else None)
        for number, victim in enumerate([*agents[:2], *others])
    ]


async def all_ended(agents: Sequence[AgentProcess]) -> None:
    """Once none of these has a task that is open, nor anything left to say."""
    async with asyncio.timeout(ENDED_S):
        for agent in agents:
            await agent.ready()
            while (status := await agent.status()) is None or status.tasks_open or status.queued:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def history(client: MatrixClient, room_id: str) -> tuple[Mesh, list[Message]]:
    """Everything signed in the room, and a fresh fold of it."""
    mesh, said = Mesh(f"matrix:roomid/{room_id.removeprefix('!')}"), []
    for event in await client.messages(room_id):
        for message in carried(event) if event["type"] == "m.room.message" else ():
            mesh.add(message, f"matrix:u/{event['sender'].removeprefix('@')}")
            said.append(message)
    return mesh, said


@pytest.mark.timeout(600)  # a minute on two cores with nothing else to do
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_task_ends_once(
    seed: int, new_client: NewClient, new_room: NewRoom, new_agent: NewAgent, model: OllamaServer
) -> None:
    chance = random.Random(seed)
    room_id = await new_room(await new_client("founder"))
    making = (
        new_agent(f"agent{number}-", room_id, "--engine", "ollama", engine_ollama_host=model.url)
        for number in range(AGENTS)
    )
    agents = await asyncio.gather(*making)
    for agent in agents:
        agent.settings.update(SETTINGS)
    await start_gently(agents)

    asked = [Asked(requester=agents[number % REQUESTERS]) for number in range(TASKS)]
    asking = [asyncio.ensure_future(one.ask(f"What is {chance.random()}?")) for one in asked]
    await asyncio.gather(*(one.opened.wait() for one in asked))
    plan = deaths(chance, agents)
    await asyncio.gather(*(death.happen() for death in plan))
    gone = {death.victim for death in plan if death.back_s is None}
    await all_ended([agent for agent in agents[:REQUESTERS] if agent not in gone])
    await asyncio.gather(*asking)

    witness = await new_client("witness")
    await witness.join(room_id)
    mesh, said = await history(witness, room_id)
    survivors = {agent for agent in agents if agent not in {death.victim for death in plan}}
    taken_over, outcomes = 0, Counter[str]()
    for one in asked:
        view = mesh.task(one.id)
        if view is not None:
            assert_nothing_twice(view, said)
            taken_over += len(takeovers(view))
        if one.requester in gone and not (view and view.finished):
            # Nobody else may end it, and nobody does.
            assert not endings(one.id, said)
        else:
            assert view is not None
            assert_ended_once(view, said)
            outcomes[view.state] += 1
        if one.requester in survivors:
            assert view is not None and view.close is not None
            assert [end.outcome for end in one.ends] == [view.close.body.outcome]
            assert takeovers_told(one.id, one.told) == takeovers(view)
    assert taken_over
    assert outcomes["completed"] > outcomes["failed"]
