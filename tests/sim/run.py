"""One scenario from its first agent to its last task."""

from __future__ import annotations

import asyncio
import random
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from bots.agent import Agent
from bots.config import AgentSection, Config
from bots.events import AnyEvent, TaskEnded
from bots.recorder import Recorder
from clawnet_proto.mesh import Mesh
from tests.agent.scripted_engine import Script, ScriptedEngine
from tests.agent.simulated import Member, generate, order
from tests.agent.virtual_time import VirtualTimeLoop
from tests.sim import Figures, Scenario
from tests.sim.hall import Hall, Traffic
from tests.sim.light import LightAgent

JOINING_S = 30.0  # within which all agents start
ASKING_S = 60.0  # when the first task is asked for
_BURST_S = 10.0  # within which tasks are asked for that are to be disturbed
_AFTER_S = 960.0  # the longest a task may take, and some more


class WholeMember(Member):
    """An agent as it is, in the same process; the processor time it uses is counted."""

    reading_s = 0.0  # handling what arrived
    idling_s = 0.0  # looking, a few times a second, whether anything is due

    def open(self, recorder: Recorder | None = None) -> Agent:
        agent = super().open(recorder)
        handle, advance = agent.handling.handle, agent.handling.advance

        def counted_handle(batch: Sequence[Any]) -> None:
            began, before_s = time.process_time(), self.idling_s
            handle(batch)
            self.reading_s += time.process_time() - began
            self.idling_s = before_s  # what became due by it counts as reading

        def counted_advance() -> None:
            began = time.process_time()
            advance()
            self.idling_s += time.process_time() - began

        agent.handling.handle = counted_handle  # type: ignore[method-assign]
        agent.handling.advance = counted_advance  # type: ignore[method-assign]
        return agent


class _Asked(msgspec.Struct, kw_only=True):
    hall: Hall
    agent: LightAgent
    id: str
    at_ms: int
    stages: int


class Simulation:
    """Everybody in all rooms, and what they were asked to do."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario = scenario
        self._folder = folder
        self._chance = random.Random(scenario.seed)
        self._loop = asyncio.get_running_loop()
        self.traffic = Traffic()
        self.halls = [Hall(self.traffic) for _ in range(scenario.rooms)]
        self.lights: list[tuple[Hall, LightAgent]] = []
        self.whole: list[WholeMember] = []
        self.asked: list[_Asked] = []
        self.ended: dict[str, TaskEnded] = {}
        self.killed: set[str] = set()  # dids

    async def run(self) -> Figures:
        began = time.process_time()
        scenario = self._scenario
        joining = [asyncio.ensure_future(self._join(number)) for number in range(scenario.agents)]
        await asyncio.gather(*joining)
        await asyncio.sleep(ASKING_S - self._loop.time())
        last_s = ASKING_S + _BURST_S if scenario.killed else scenario.seconds - 60.0
        moments = sorted(self._chance.uniform(ASKING_S, last_s) for _ in range(scenario.tasks))
        for moment in moments:
            await asyncio.sleep(max(0.0, moment - self._loop.time()))
            self._ask()
        if scenario.killed:
            self._kill()
        await asyncio.sleep(max(0.0, scenario.seconds - self._loop.time()))
        until_s = self._loop.time() + _AFTER_S
        while self._open() and self._loop.time() < until_s:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(1.0)
        figures = self._figures(time.process_time() - began)
        for _, agent in self.lights:
            agent.kill()
        for member in self.whole:
            await member.crash()
        return figures

    async def _join(self, number: int) -> None:
        scenario, hall = self._scenario, self.halls[number % self._scenario.rooms]
        name = f"agent-{number}"
        engine = ScriptedEngine(_work)
        at_s = self._chance.uniform(0.0, JOINING_S)
        await asyncio.sleep(at_s)
        if number % scenario.rooms == 0 and len(self.whole) < scenario.whole:
            config = Config(agent=AgentSection(name=name))
            member = WholeMember(hall, self._folder / name, name, engine, config)
            self.whole.append(member)
            await member.start()
            return
        agent = LightAgent(hall, name, engine, scenario.seed)
        agent.observe(self._heard)
        self.lights.append((hall, agent))
        await agent.begin()

    def _heard(self, event: AnyEvent) -> None:
        if isinstance(event, TaskEnded):
            assert event.task not in self.ended, "a task ended twice"
            self.ended[event.task] = event

    def _ask(self) -> None:
        hall, agent = self._chance.choice(self.lights)
        count = self._chance.choice((1, 1, 2, 3))
        names = ("draft", "critique", "revise")[:count]
        stages = [generate(name, source) for name, source in zip(names, ("question", *names), strict=False)]
        question = f"What is {self._chance.getrandbits(64):x}? {'Say it in a few words. ' * 8}"
        task_id = agent.requester.request(order(*stages, question=question))
        self.asked.append(_Asked(hall=hall, agent=agent, id=task_id, at_ms=hall.now_ms(), stages=count))

    def _kill(self) -> None:
        """Agents end where they stand; whole ones watch."""
        count = round(len(self.lights) * self._scenario.killed)
        for _, agent in self._chance.sample(self.lights, count):
            agent.kill()
            self.killed.add(agent.identity.did)

    def _open(self) -> list[_Asked]:
        return [asked for asked in self.asked if asked.agent.alive and asked.id not in self.ended]

    def _figures(self, cpu_s: float) -> Figures:
        scenario, traffic = self._scenario, self.traffic
        ours = [asked for asked in self.asked if asked.agent.alive]
        ended = [self.ended[asked.id] for asked in ours if asked.id in self.ended]
        views = [view for asked in ours if (view := asked.hall.fold.task(asked.id)) is not None]
        times = sorted(end.elapsed_ms / 1000 for end in ended) or [0.0]
        hours = self._loop.time() / 3600
        tasks = max(1, len(self.asked))

        def messages(plane: str, family: str = "") -> int:
            found = traffic.messages.items()
            return sum(count for (where, kind), count in found if where == plane and kind.startswith(family))

        offers = [traffic.offers[asked.id] for asked in self.asked] or [0]
        read = sum(map(len, (member._network.account(member.address).log for member in self.whole)))
        reading_s = sum(member.reading_s for member in self.whole)
        idling_s = sum(member.idling_s for member in self.whole)
        return Figures(
            agents=scenario.agents,
            rooms=scenario.rooms,
            killed=len(self.killed),
            killed_share=scenario.killed,
            virtual_s=round(self._loop.time()),
            history=traffic.history,
            tasks=len(ours),
            orphaned=len(self.asked) - len(ours),
            completed=sum(end.outcome == "completed" for end in ended),
            failed=sum(end.outcome == "failed" for end in ended),
            lost=len(ours) - len(ended),
            stages=sum(len(view.stages) for view in views),
            executions=sum(stage.executions for view in views for stage in view.stages.values()),
            taken_over=sum(len(stage.attempts) > 1 for view in views for stage in view.stages.values()),
            median_s=statistics.median(times),
            slowest_s=times[-1],
            offers_per_stage=traffic.offered / sum(asked.stages for asked in self.asked),
            offers_most=max(offers),
            room_messages_per_task=messages("room", "task") / tasks,
            direct_messages_per_task=messages("direct", "task") / tasks,
            room_events_per_task=traffic.events[("room", "task")] / tasks,
            bytes_per_task=(traffic.bytes[("room", "task")] + traffic.bytes[("direct", "task")]) / tasks,
            announces_per_agent_hour=traffic.messages[("room", "presence.announce")] / scenario.agents / hours,
            room_messages_per_agent_hour=messages("room") / scenario.agents / hours,
            room_messages_read_per_hour=messages("room") / scenario.rooms / hours,
            direct_messages_per_agent_hour=messages("direct") / scenario.agents / hours,
            busiest_minute=max(traffic.minutes.values()),
            whole_agrees=all(_state(member.mesh) == _state(self.halls[0].fold) for member in self.whole),
            whole_ms_per_event=1000 * reading_s / max(1, read),
            whole_idle_share=idling_s / len(self.whole) / self._loop.time(),
            cpu_s=cpu_s,
            memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


def _work(prompt: str) -> Script:
    """Two to nine seconds of work, in pieces of a second."""
    return ["forty characters of an answer, no more. ", 1.0] * (2 + sum(prompt.encode()) % 8)


def _state(mesh: Mesh) -> tuple[Any, ...]:
    """What everybody in the room should agree upon."""
    announces = {did: peer.announce.id for did, peer in mesh.peers.items() if peer.announce is not None}
    tasks = {view.id: (view.finished, *map(_outcome, view.stages.values())) for view in mesh.tasks()}
    return announces, tasks


def _outcome(stage: Any) -> tuple[Any, ...]:
    accepted: Any = stage.accepted
    return stage.spec.id, len(stage.attempts), stage.executions, accepted and accepted.id


def simulate(scenario: Scenario) -> Figures:
    """Run a scenario in virtual time."""
    with TemporaryDirectory() as folder, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:

        async def run() -> Figures:
            return await Simulation(scenario, Path(folder)).run()

        return runner.run(run())
