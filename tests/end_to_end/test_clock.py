"""The clock of one agent is an hour wrong: what others see, what its owner is told, and what mends it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bots.requests import Tasks, TaskSeen
from tests.end_to_end import wrong_clock
from tests.end_to_end.agent_process import READY_S, AgentProcess
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent
from tests.end_to_end.reading import Json

HOUR_MS = 3_600_000
ASK = ("ask", "What is a clock?", "--stages", "draft,critique", "--max-tokens", "8", "--json")
_POLL_S = 0.1


async def wrong(new_agent: NewAgent, mesh: Mesh, ahead_ms: int) -> AgentProcess:
    """An agent that takes part as well as it can while its clock is so far ahead."""
    agent = await new_agent("cora", mesh.room, *NO_MODEL, requests_give_up_seconds="5")
    command = (sys.executable, str(Path(wrong_clock.__file__)), str(ahead_ms), "run")
    agent.start("--health", "0", command=command)
    await agent.ready()
    return agent


async def page(agent: AgentProcess, name: str) -> str:
    """What the agent tells monitors."""
    status = await agent.status()
    assert status is not None
    url = status.health_url.removesuffix("/health")
    async with aiohttp.ClientSession() as session, session.get(f"{url}/{name}") as answer:
        assert answer.status == 200
        return await answer.text()


async def warned(agent: AgentProcess) -> dict[str, str]:
    """What it warns of, by code, once it has heard enough of its homeserver to judge its clock."""
    async with asyncio.timeout(READY_S):
        while True:
            told = json.loads(await page(agent, "health"))
            if told["state"].get("clock_ahead_s") is not None:
                return {warning["code"]: warning["text"] for warning in told["warnings"]}
            await asyncio.sleep(_POLL_S)


async def asks(agent: AgentProcess, mesh: Mesh) -> str:
    """Its question is answered by agents of the mesh, each stage by the first that was asked; gives the task."""
    finished = await agent.clawbot(*ASK)
    assert finished.status == 0, finished
    (answer,) = finished.of("answer")
    assert {stage["name"] for stage in answer["stages"]} <= {member.name for member in mesh.agents}
    assert [stage["attempt"] for stage in answer["stages"]] == [1, 1]
    assert answer["executions"] == 2
    return str(answer["task"])


async def agree(agents: tuple[AgentProcess, ...], *tasks: str) -> None:
    """Once their folds hold the same of these tasks."""
    async with asyncio.timeout(READY_S):
        while not _same(found := [await _seen(agent, tasks) for agent in agents]):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
    assert found[0].keys() == set(tasks)
    assert {state for state, _ in found[0].values()} == {"completed"}


async def _seen(agent: AgentProcess, tasks: tuple[str, ...]) -> dict[str, Any]:
    seen = [answer for answer in await agent.ask_socket(Tasks()) if isinstance(answer, TaskSeen)]
    return {task.task: (task.state, task.stages) for task in seen if task.task in tasks}


def _same(found: list[dict[str, Any]]) -> bool:
    return bool(found[0]) and all(other == found[0] for other in found)


async def told_everywhere(agent: AgentProcess, words: str, ahead_ms: int) -> None:
    """Its owner is told once on the terminal, and by ``status``; monitors are told, too."""
    assert words in (await warned(agent))["clock.off"]
    assert len(re.findall(f"The clock of this machine is {words} the homeserver's", agent.log)) == 1
    status = await agent.clawbot("status")
    assert status.status == 0
    assert re.search(rf"^warning .*{words} .* \(clock\.off\)$", status.out, re.MULTILINE)
    gauge = re.search(r"^clawnet_clock_ahead_seconds (\S+)$", await page(agent, "metrics"), re.MULTILINE)
    assert gauge is not None
    assert float(gauge[1]) == pytest.approx(ahead_ms / 1000, abs=3)


async def full_member(agent: AgentProcess, mesh: Mesh) -> str:
    """Once everybody counts upon it, it can ask like everybody; gives its task."""
    everybody = (*mesh.agents, agent)
    await asyncio.gather(*(each.sees(*(other.name for other in everybody)) for each in everybody))
    assert "clock.off" not in await warned(agent)
    return await asks(agent, mesh)


async def test_an_hour_ahead_and_put_right_while_it_runs(mesh: Mesh, new_agent: NewAgent) -> None:
    cora = await wrong(new_agent, mesh, HOUR_MS)
    first = await asks(mesh.agents[0], mesh)
    # What it says of itself lies in the future for the others.
    listed = await mesh.agents[0].clawbot("peers", "--all", "--json")
    (seen,) = [peer for peer in listed.of("peer") if peer["name"] == cora.name]
    assert (seen["live"], seen["early"]) == (False, True)
    await told_everywhere(cora, "60 minutes ahead of", HOUR_MS)

    finished = await cora.clawbot(*ASK)
    assert finished.status == 1
    notices: list[Json] = finished.of("notice")
    assert "60 minutes ahead of" in notices[0]["text"]
    (answer,) = finished.of("answer")
    assert (answer["outcome"], answer["code"]) == ("failed", "clock.off")
    assert answer["elapsed_ms"] < 20_000

    cora.signal(signal.SIGUSR1)
    second = await full_member(cora, mesh)
    await agree((*mesh.agents, cora), first, second)
    assert await cora.stop() == 0


async def test_an_hour_behind_and_put_right_between_two_runs(mesh: Mesh, new_agent: NewAgent) -> None:
    cora = await wrong(new_agent, mesh, -HOUR_MS)
    first = await asks(mesh.agents[1], mesh)
    await told_everywhere(cora, "60 minutes behind", -HOUR_MS)
    cora.kill()
    cora.start("--health", "0")
    await cora.ready()
    second = await full_member(cora, mesh)
    await agree((*mesh.agents, cora), first, second)
    assert await cora.stop() == 0
