"""Agents on hosts of a network that leads nowhere: no server, no account, no way out (docs/lan.md)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.agent_process import CLAWBOT, AgentProcess
from tests.end_to_end.conftest import MODEL, NO_MODEL, run
from tests.end_to_end.hosts import Host, hosts, why_not
from tests.matrix_client import Account


@pytest.fixture(scope="module")
def network() -> Iterator[list[Host]]:
    if reason := why_not():
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    with hosts(3) as made:
        yield made


def _agent(name: str, home: Path, cache: Path, *options: str) -> AgentProcess:
    home.mkdir()
    agent = AgentProcess(Account("", name, "", ""), home, cache, {})
    finished = run(agent.clawbot("init", "--name", name, "--lan", *options))
    assert finished.status == 0, finished
    return agent


@pytest.fixture(scope="module")
def agents(network: list[Host], cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[AgentProcess]]:
    """Ada, who has no model, and bert, who has one, each on a host of its own."""
    folder = tmp_path_factory.mktemp("lan")
    made = [_agent("ada", folder / "ada", cache, *NO_MODEL), _agent("bert", folder / "bert", cache, *MODEL)]
    try:
        for agent, host in zip(made, network, strict=False):
            agent.start(command=host.command(*CLAWBOT, "run"))
        run(_all_ready(made))
        yield made
    finally:
        for agent in made:
            agent.close()


async def _all_ready(agents: list[AgentProcess]) -> None:
    for agent in agents:
        await agent.ready()
    for agent in agents:
        await agent.sees(*(other.name for other in agents))


async def _asks(agent: AgentProcess, question: str) -> None:
    """It is answered, by somebody who has a model."""
    finished = await agent.clawbot("ask", question, "--json", "--name", agent.name)
    (answer,) = finished.of("answer")
    assert (finished.status, answer["outcome"]) == (0, "completed"), finished


async def test_one_works_for_the_other_with_no_way_out(network: list[Host], agents: list[AgentProcess]) -> None:
    ada, _ = agents
    routes = subprocess.run(network[0].command("ip", "route"), check=True, capture_output=True, text=True).stdout
    assert "default" not in routes
    await _asks(ada, "Why is the sky blue?")


async def test_who_looks_around_sees_both(network: list[Host], agents: list[AgentProcess], tmp_path: Path) -> None:
    command = network[2].command(*CLAWBOT, "discover", "--json")
    environment = agents[0].environment | {"HOME": str(tmp_path)}
    looked = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
    out, _ = await looked.communicate()
    found = {fact["announce"]["name"]: fact for fact in map(json.loads, out.splitlines())}
    assert looked.returncode == 0
    for agent, host in zip(agents, network, strict=False):
        fact = found[agent.name]
        assert fact["proven"]
        assert fact["at"].startswith(f"{host.address}:")
        assert fact["rooms"] == ["lan:clawnet"]


async def test_what_a_cable_broke_heals_when_it_is_back(network: list[Host], agents: list[AgentProcess]) -> None:
    ada, bert = agents
    network[1].plug(out=True)
    async with asyncio.timeout(20):
        while (status := await bert.status()) is not None and status.online:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    network[1].plug()
    await bert.online()
    await _asks(ada, "What is rain?")


async def test_who_gets_another_address_is_found_there(network: list[Host], agents: list[AgentProcess]) -> None:
    ada, bert = agents
    network[1].readdress("10.77.0.77")
    await bert.logs("On the local network at 10.77.0.77:")
    await ada.logs("is at 10.77.0.77:")
    await _asks(ada, "What is snow?")
