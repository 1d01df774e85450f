"""An agent opened for one command: if it dies, the command ends and says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bots.agent import Agent
from bots.api import Clawnet
from bots.errors import ClawbotError, Fatal
from bots.lifetime import taking_part
from bots.requests import Ask
from bots.service import Service
from tests.agent.simulated import Room
from tests.agent.virtual_time import in_virtual_time
from tests.proto.authoring import ROOM

GONE = "The homeserver no longer accepts the session."


def doomed(agent: Agent, after_s: float = 10.0) -> Agent:
    """Its transport cannot go on after a while."""
    (way,) = agent.transport.ways
    running = way.run

    async def run() -> None:
        going = asyncio.ensure_future(running())
        await asyncio.wait([going], timeout=after_s)
        going.cancel()
        raise Fatal("matrix.logged_out", GONE)

    way.run = run  # type: ignore[method-assign]
    return agent


async def ask(agent: Agent) -> None:
    async with taking_part(agent):
        async for _ in Service(agent).answer(Ask(question="x", timeout_s=600)):
            pass


@in_virtual_time
async def test_a_command_that_waits_is_told(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        agent = doomed(room.member("ada").open())
        async with asyncio.timeout(60):
            with pytest.raises(Fatal, match=GONE):
                await ask(agent)
        task = asyncio.current_task()
        assert task is not None and task.cancelling() == 0


@in_virtual_time
async def test_a_program_that_waits_is_told(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        agent = doomed(room.member("ada").open())
        with pytest.raises(Fatal, match=GONE):
            async with asyncio.timeout(60), taking_part(agent):
                await Clawnet(agent, ROOM).execute(question="x")


@in_virtual_time
async def test_an_agent_that_is_stopped_leaves_nobody_waiting(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        agent = room.member("ada").open()
        asyncio.get_running_loop().call_later(10, agent.stop)
        with pytest.raises(ClawbotError, match="The agent was stopped"):
            await ask(agent)


@in_virtual_time
async def test_whoever_cancels_the_command_is_obeyed(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        agent = doomed(room.member("ada").open())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await ask(agent)
        asking = asyncio.ensure_future(ask(doomed(room.member("bert").open())))
        await asyncio.sleep(5)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@in_virtual_time
async def test_a_body_that_is_done_is_not_disturbed(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        async with taking_part(room.member("ada").open()):
            pass
        await asyncio.sleep(1)
