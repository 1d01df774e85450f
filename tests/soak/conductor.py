"""Makes happen what the plan says, and gathers what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import msgspec

from bots.errors import ClawbotError
from bots.requests import AgentStatus, Cancel
from clawnet_proto.message import Message
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.person import in_thread
from tests.end_to_end.reading import Json, room_messages
from tests.matrix_client import MatrixClient, MatrixError
from tests.soak import Scenario
from tests.soak.asker import ENDED, Command, Done, Ended, Greet, Place, tell
from tests.soak.fold_cost import kb_per_task
from tests.soak.orders import order, outcome
from tests.soak.plan import Fault, Step, Task, plan
from tests.soak.sampling import Watch
from tests.soak.scene import Scene
from tests.soak.summary import StoreSize, Summary, machine, size_kb
from tests.soak.verdict import judge

_AGAIN_S = 0.5
_PATIENCE_S = 60.0  # until somebody who was killed takes orders again
_ANSWER_S = 90.0  # until a person asks the next question
_DRAIN_S = 120.0  # until all that was asked for has ended
_LOOK_EVERY_S = 1.0
_SAY_EVERY_S = 10.0
_JUDGED_SHARE = 0.5  # of the soak: who lived shorter is not judged by growth
_HELD_BACK = "limits how fast we may go"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledged task."""

    what: str
    work: str
    outcome: str  # the digest of what it must give


class Soak:
    """One run at one scene. ``say`` is told every ten seconds how it goes."""

    def __init__(self, scenario: Scenario, scene: Scene, say: Callable[[str], None]) -> None:
        self._scenario = scenario
        self._scene = scene
        self._say = say
        self._asked: dict[str, Asked] = {}
        self._questions: list[str] = []
        self._greetings = 0
        self._refused: list[str] = []
        self._troubles = Counter[str]()
        self._faults: list[str] = []
        self._watch = Watch()
        self._dids: list[str] = []
        self._one_trouble = asyncio.Lock()
        self._one_question = asyncio.Lock()
        self._began_s = 0.0

    async def run(self) -> Summary:
        """All of it, from the first task to the verdict."""
        began_s = time.monotonic()
        self._dids = [(await agent.ready()).did for agent in self._scene.workers]
        before = self._sizes()
        self._began_s = time.monotonic()
        watching = [asyncio.create_task(self._look()), asyncio.create_task(self._tell())]
        try:
            async with asyncio.TaskGroup() as group:
                for step in plan(self._scenario):
                    await asyncio.sleep(step.at_s - self._elapsed_s())
                    group.create_task(self._do(step))
            await self._drained()
        finally:
            for task in watching:
                task.cancel()
            ends = await asyncio.gather(*watching, return_exceptions=True)
        self._faults += [f"Watching ended early: {end!r}" for end in ends if isinstance(end, Exception)]
        history = await self._history()
        acknowledged = {task: asked.what for task, asked in self._asked.items()}
        verdict = judge(history, acknowledged, self._questions)
        ended = self._ended()
        self._check_outputs(ended)
        await self._leave()
        after = self._sizes()
        growths = self._watch.growths(_JUDGED_SHARE * self._scenario.seconds)
        servers = [growth.name for growth in growths if growth.name.startswith("homeserver")]
        self._faults += [fault for growth in growths if growth.name not in servers for fault in growth.faults]
        times = sorted(item.elapsed_ms / 1000 for item in ended.values()) or [0.0]
        return Summary(
            date=datetime.now(UTC).date().isoformat(),
            machine=machine(),
            scenario=self._scenario,
            elapsed_s=time.monotonic() - began_s,
            asked=dict(Counter(asked.work for asked in self._asked.values()))
            | {"greeting": self._greetings, "question": len(self._questions)},
            troubles=dict(self._troubles),
            held_back=sum(agent.log.count(_HELD_BACK) for agent in self._scene.everybody),
            verdict=verdict,
            median_s=statistics.median(times),
            p95_s=times[int(0.95 * (len(times) - 1))],
            fold_kb_per_task=kb_per_task(history),
            growths=growths,
            lives=len(self._watch.lives),
            stores=[
                StoreSize(name=agent.name, before_kb=before[agent.name], after_kb=after[agent.name])
                for agent in self._scene.everybody
            ],
            faults=[*verdict.lost, *verdict.twice, *verdict.wrong, *self._refused, *self._faults],
        )

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s

    async def _do(self, step: Step) -> None:
        """Whatever goes wrong with one step is a fault of its own: the soak goes on."""
        try:
            if isinstance(step, Fault):
                await self._suffer(step)
            else:
                await self._ask(step)
        except Exception as error:
            self._faults.append(f"{step}: {type(error).__name__}: {error}")

    # --- load ---

    async def _ask(self, step: Task) -> None:
        if step.work == "question":
            await self._ask_as_a_person(step)
            return
        asker = self._scene.askers[step.asker]
        if step.work == "greeting":
            self._greetings += await self._told(asker, Greet(did=self._dids[step.agent])) is not None
            return
        wanted = order(step, self._dids[step.agent])
        done = await self._told(asker, Place(order=wanted))
        if done is None:
            return
        self._asked[done.task] = Asked(what=wanted.title, work=step.work, outcome=outcome(wanted))
        if step.work == "canceled":
            await asyncio.sleep(step.after_s)
            # It may have ended by itself, or its asker may be away.
            with contextlib.suppress(ClawbotError, ConnectionError):
                await asker.ask_socket(Cancel(task=done.task))

    async def _told(self, asker: AgentProcess, command: Command) -> Done | None:
        """Have it acknowledged, however often that takes; None if it is refused."""
        until_s = time.monotonic() + _PATIENCE_S
        reason = "nobody took it"
        while time.monotonic() < until_s:
            try:
                done = await tell(asker.state, command)
                if not done.refused:
                    return done
                reason = done.refused
            except ConnectionError:
                pass
            await asyncio.sleep(_AGAIN_S)
        self._refused.append(f"{asker.name} would not {type(command).__name__.lower()}: {reason}")
        return None

    async def _ask_as_a_person(self, step: Task) -> None:
        """One question after the other, however slow the model is on this machine."""
        async with self._one_question:
            person = self._scene.people[step.number % len(self._scene.people)]
            words = f"!claw ask Why is the number {step.number} of interest?"
            question = await _said(person, self._scene.room_id, words, f"question-{step.number}")
            self._questions.append(question)
            with contextlib.suppress(TimeoutError):
                await _closed(person, question)

    # --- trouble ---

    async def _suffer(self, fault: Fault) -> None:
        async with self._one_trouble:
            self._troubles[fault.trouble] += 1
            match fault.trouble:
                case "kill" | "restart":
                    await self._start_anew(fault)
                case "limits":
                    self._say(f"  {self._elapsed_s():.0f} s: one message a second for {fault.lasts_s:.0f} s")
                    await self._scene.hold_back(True)
                    await asyncio.sleep(fault.lasts_s)
                    await self._scene.hold_back(False)
                case "homeserver":
                    homeserver = self._scene.homeservers[fault.whom % len(self._scene.homeservers)]
                    self._say(f"  {self._elapsed_s():.0f} s: the homeserver is away for {fault.lasts_s:.1f} s")
                    await homeserver.stop()
                    await asyncio.sleep(fault.lasts_s)
                    await homeserver.start()

    async def _start_anew(self, fault: Fault) -> None:
        agent = self._scene.troubled[fault.whom % len(self._scene.troubled)]
        self._say(f"  {self._elapsed_s():.0f} s: {fault.trouble} {agent.name}")
        if fault.trouble == "kill":
            agent.kill()
        elif status := await agent.stop():
            self._faults.append(f"{agent.name} left with status {status}")
        await asyncio.sleep(fault.lasts_s)
        self._scene.start(agent)
        await agent.listening()

    # --- watching ---

    async def _look(self) -> None:
        while True:
            self._watch.look(self._scene.pids(), self._elapsed_s())
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_SAY_EVERY_S)
            ended, asked = len(self._ended()), len(self._asked)
            self._say(f"  {self._elapsed_s():.0f} s: {asked} tasks asked, {ended} ended")

    def _ended(self) -> dict[str, Ended]:
        """What the askers have written down, by task."""
        found: dict[str, Ended] = {}
        for asker in self._scene.askers:
            path = asker.state / ENDED
            for line in path.read_bytes().splitlines() if path.exists() else ():
                ended = msgspec.json.decode(line, type=Ended)
                found[ended.task] = ended
        return found

    def _sizes(self) -> dict[str, float]:
        return {agent.name: size_kb(agent.state) for agent in self._scene.everybody}

    # --- the end ---

    async def _drained(self) -> None:
        """Until nobody has anything left to do, or for so long."""
        self._say(f"  {self._elapsed_s():.0f} s: nothing new is asked any more")
        until_s = time.monotonic() + _DRAIN_S
        while busy := [agent.name for agent in self._scene.everybody if _is_busy(await agent.status())]:
            if time.monotonic() > until_s:
                self._faults.append(f"{', '.join(busy)} still had something to do after {_DRAIN_S:.0f} s")
                return
            await asyncio.sleep(_AGAIN_S)
        # What was written on two servers at the same moment is told by the next event.
        for person in self._scene.people:
            await person.send_text(self._scene.room_id, "That was all.")

    async def _history(self) -> list[Message]:
        """Every message of the room, the same on all homeservers."""
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            histories = [await room_messages(person, self._scene.room_id) for person in self._scene.people]
            if len({frozenset(message.id for message in history) for history in histories}) == 1:
                return histories[0]
            if time.monotonic() > until_s:
                self._faults.append("the homeservers tell different histories")
                return histories[0]
            await asyncio.sleep(_AGAIN_S)

    def _check_outputs(self, ended: dict[str, Ended]) -> None:
        """What askers got is what their stages must give; of a task that ended before a crash nothing is known."""
        for task, asked in self._asked.items():
            item = ended.get(task)
            if item is not None and item.outcome == "completed" and item.text_digest != asked.outcome:
                self._faults.append(f"{asked.what} gave something else than it must")

    async def _leave(self) -> None:
        for agent in self._scene.everybody:
            if status := await agent.stop():
                self._faults.append(f"{agent.name} left with status {status}")
            if "Traceback" in agent.log:
                self._faults.append(f"{agent.name} met an error that nobody expected: see its log")


def _is_busy(status: AgentStatus | None) -> bool:
    if status is None or not status.online:
        return True
    return any((status.queued, status.jobs, status.tasks_open, status.inbox_waiting, status.stages_running))


async def _closed(person: MatrixClient, question: str) -> None:
    """Wait until some agent has said in the question's thread how it ended. Raises TimeoutError."""
    async with asyncio.timeout(_ANSWER_S):
        while True:
            try:
                await person.wait_for(lambda event: _closes(event, question), _ANSWER_S)
                return
            except (MatrixError, aiohttp.ClientError):
                await asyncio.sleep(_AGAIN_S)


def _closes(event: Json, question: str) -> bool:
    carriers = event["content"].get("net.clawnet.carriers", ()) if in_thread(event, question) else ()
    return any(json.loads(carrier["env"])["type"] == "task.close" for carrier in carriers)


async def _said(person: MatrixClient, room_id: str, text: str, txn: str) -> str:
    """Say it once, however often that takes."""
    content = {"msgtype": "m.text", "body": text}
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                return await person.send(room_id, "m.room.message", content, txn)
            except (MatrixError, aiohttp.ClientError):
                await asyncio.sleep(_AGAIN_S)
