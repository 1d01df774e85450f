"""Half of a mesh is killed at random moments while it works, and some come back: every task ends once.

In virtual time. The first seeds alone unless ``CLAWNET_TEST_SEEDS`` asks for more.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bots.config import LimitsSection, RequestsSection
from bots.events import TaskEnded
from clawnet_proto.mesh import Mesh
from tests.agent.judging import assert_ended_once, assert_nothing_twice, endings, takeovers, takeovers_told
from tests.agent.network import messages_of
from tests.agent.scripted_engine import Script, ScriptedEngine
from tests.agent.simulated import Member, Room, generate, order
from tests.agent.virtual_time import in_virtual_time, until
from tests.proto.authoring import ROOM

SEEDS = range(int(os.environ.get("CLAWNET_TEST_SEEDS", "4")))
AGENTS = 8
REQUESTERS = 3  # the first to come; one is killed for good, one comes back, one lives on
TASKS = 15
LEASE_MS = 5_000
TIMEOUT_MS = 120_000
DISTURBED_S = 12.0  # within which all deaths happen
STAGES = (generate("draft"), generate("revise", "question", "draft"))


def work(prompt: str) -> Script:
    """One to four seconds, the same for the same prompt."""
    return ["word ", 0.5] * (2 + sum(prompt.encode()) % 7)


class Death(msgspec.Struct, frozen=True):
    """Who is killed when, and after how long it is started again; None: never."""

    at_s: float
    victim: Member
    back_s: float | None


def deaths(chance: random.Random, members: Sequence[Member]) -> list[Death]:
    """Half of all: two requesters and some others, every second of them comes back."""
    others = chance.sample(members[REQUESTERS:], AGENTS // 2 - 2)
    return [
        Death(chance.uniform(0.0, DISTURBED_S), victim, chance.uniform(0.0, 10.0) if number % 2 else None)
        for number, victim in enumerate([*members[:2], *others])
    ]


async def suffer(death: Death) -> None:
    await asyncio.sleep(death.at_s)
    await death.victim.crash()
    if death.back_s is not None:
        await asyncio.sleep(death.back_s)
        await death.victim.start()


def open_tasks(member: Member) -> tuple[str, ...]:
    """What it has asked for and not ended, if it runs."""
    return tuple(member.agent.requester.open_tasks()) if member.alive else ()


def reread(room: Room) -> Mesh:
    """The room as somebody sees it who was not there: a fresh fold of its history."""
    mesh = Mesh(ROOM)
    for event in room.network.timeline:
        sender = next(item for item in room.members.values() if item.address.endswith(event["sender"][1:]))
        for message in messages_of(event):
            mesh.add(message, sender.address)
    return mesh


@in_virtual_time
@pytest.mark.parametrize("seed", SEEDS)
async def test_every_task_ends_once_and_its_requester_saw_who_took_over(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with Room(tmp_path) as room:
        members = [
            room.member(
                f"agent-{number}",
                ScriptedEngine(work),
                requests=RequestsSection(lease_ms=LEASE_MS),
                limits=LimitsSection(concurrency=2, waiting=16),
            )
            for number in range(AGENTS)
        ]
        await asyncio.gather(*(member.start() for member in members))
        await room.acquainted()
        asked: dict[str, Member] = {}
        plan = deaths(chance, members)
        suffering = [asyncio.ensure_future(suffer(death)) for death in plan]
        for number in range(TASKS):
            requester = chance.choice([member for member in members[:REQUESTERS] if member.alive])
            given = order(*STAGES, question=f"Question {number}: {chance.random()}?", timeout_ms=TIMEOUT_MS)
            asked[requester.ask(given)] = requester
            await asyncio.sleep(chance.uniform(0.0, 0.5))
        await asyncio.gather(*suffering)
        gone = {death.victim.name for death in plan if death.back_s is None}
        await until(lambda: not any(open_tasks(member) for member in members), TIMEOUT_MS / 1000)
        await asyncio.sleep(TIMEOUT_MS / 1000)  # what nobody ends is over by now

        mesh, said = reread(room), room.network.posted()
        for task_id, requester in asked.items():
            view = mesh.task(task_id)
            if view is not None:
                assert_nothing_twice(view, said)
            if requester.name in gone and not (view and view.finished):
                # Nobody else may end it. It is left as it was, and nobody works on it any more.
                assert not endings(task_id, said)
            else:
                assert view is not None
                assert_ended_once(view, said)
                assert takeovers_told(task_id, requester.events) == takeovers(view)
                ends = [event for event in requester.told(TaskEnded) if event.task == task_id]
                assert 1 <= len(ends) <= requester.starts
        for member in members:
            if member.alive:
                assert (member.agent.executor.jobs, open_tasks(member)) == (0, ())
                states = {view.id: view.state for view in member.mesh.tasks()}
                assert states == {view.id: view.state for view in mesh.tasks()}

        # A requester that comes back when it is too late ends what it began, too.
        (late,) = [member for member in members[:REQUESTERS] if member.name in gone]
        await late.start()
        left = [task_id for task_id, requester in asked.items() if requester is late]
        await until(lambda: not open_tasks(late))
        await asyncio.sleep(1)
        mesh, said = reread(room), room.network.posted()
        for task_id in left:
            view = mesh.task(task_id)
            assert view is not None and view.close is not None
            assert_ended_once(view, said)
            assert view.close.body.outcome == "completed" or view.close.body.code == "deadline"
