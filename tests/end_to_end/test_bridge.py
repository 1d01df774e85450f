"""Everything as a process: a homeserver, a hub, a bridge between them, and an agent on either side."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from bots.homeserver import Homeserver
from bots.requests import Peers, PeerSeen
from clawnet_proto.families.presence import Address
from tests.bridge.crossing import Crossing, now_ms
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import AgentProcess, Json, Running
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent
from tests.hub import conftest as hubs
from tests.matrix_client import Account
from tests.proto.samples import request

TASK = ("task.request", "task.award", "task.result", "task.close")
PATIENCE_S = 60.0


class Bridged(NamedTuple):
    """A Matrix room that a bridge carries to a hub."""

    crossing: Crossing
    bridge: Running
    ready: Json  # what the bridge said of itself
    command: tuple[str, ...]  # that has started it


@pytest.fixture
async def owner(homeserver: Homeserver, cache: Path, tmp_path: Path) -> AgentProcess:
    """Somebody with a home and a Matrix account, who runs the bridge."""
    password = "the password of the bridge"
    user = await homeserver.register("bridge-of-tests", password)
    home = tmp_path / "owner"
    home.mkdir()
    return AgentProcess(Account(homeserver.url, "bridge-of-tests", user, password), home, cache, {})


@pytest.fixture
async def bridged(
    owner: AgentProcess, new_client: NewClient, new_room: NewRoom, tmp_path: Path
) -> AsyncIterator[Bridged]:
    founder, account = await new_client("founder"), owner.account
    room_id = await new_room(founder)
    hub = hubs.Running(tmp_path / "hub.sqlite", hubs.RealClock(now_ms() - round(time.monotonic() * 1000)))
    await hub.start()
    where = ("--homeserver", account.homeserver, "--user", account.user_id, "--room", room_id, "--hub", hub.base)
    command = ("bridge", *where, "--json", "--health", "0")
    async with aiohttp.ClientSession() as session, owner.running(*command) as bridge:
        ready = await bridge.until(lambda line: line["event"] == "ready")
        yield Bridged(Crossing(founder, room_id, hub, session), bridge, ready, command)
    await hub.stop()


@pytest.fixture
async def cleo(bridged: Bridged, cache: Path, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent that is on the hub alone, and writes down what it hears."""
    home = tmp_path / "cleo"
    home.mkdir()
    agent = AgentProcess(Account("", "cleo", "", ""), home, cache, {})
    where = ("--hub", bridged.crossing.hub.base, "--room", bridged.crossing.room)
    finished = await agent.clawbot("init", "--name", "cleo", *where, *NO_MODEL)
    assert finished.status == 0, finished
    agent.start("--record", str(home / "heard.jsonl"))
    yield agent
    agent.close()
    assert "Traceback" not in agent.log


async def shown(agent: AgentProcess, name: str) -> None:
    """Once an agent shows somebody to its owner, as one whose address it cannot vouch for."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            peers = [peer for peer in await agent.ask_socket(Peers(everyone=True)) if isinstance(peer, PeerSeen)]
            if (name, False) in {(peer.name, peer.bound) for peer in peers}:
                return
            await asyncio.sleep(0.1)


async def page(url: str) -> str:
    """What a bridge that does well tells monitors."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_a_room_that_is_carried_is_seen_and_verified_on_the_other_side(
    bridged: Bridged, owner: AgentProcess, cleo: AgentProcess, new_agent: NewAgent
) -> None:
    crossing = bridged.crossing
    by = bridged.ready["addresses"]["http"]
    ada = await new_agent("ada", crossing.room_id, *MODEL)
    ada.start()
    await asyncio.gather(ada.ready(), cleo.ready())
    await asyncio.gather(shown(ada, "cleo"), shown(cleo, ada.name))
    asked = await ada.clawbot("ask", "Why is the sky blue?", "--max-tokens", "16", "--json")
    assert asked.status == 0, asked

    # Somebody who is on both sides says something on one of them alone.
    here, there = crossing.on_matrix("dora"), crossing.on_hub("dora")
    both = here.sign(here.announced(addresses=tuple(Address(uri=one.address) for one in (here, there))))
    await here.post(both)
    await there.post(both)
    of_dora = await here.tell(request())
    await crossing.arrived(of_dora, "http")

    async with asyncio.timeout(PATIENCE_S):
        while "completed" not in {task["state"] for task in (await cleo.clawbot("tasks", "--json")).json}:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert await cleo.stop() == 0
    verified = await cleo.clawbot("verify", str(cleo.home / "heard.jsonl"), "--json", "--strict")
    assert verified.status == 0, verified
    of_ada = [finding for finding in verified.json if finding["name"] == ada.name]
    assert {finding["type"] for finding in of_ada} >= {"presence.announce", *TASK}
    # What came from nowhere that she has proven herself to be says who brought it.
    assert {(finding["verdict"], finding["by"]) for finding in of_ada} == {("unbound", by)}
    (relayed,) = [finding for finding in verified.json if finding["id"] == of_dora.id]
    assert (relayed["verdict"], relayed["by"]) == ("relayed", by)
    bridge = [finding for finding in verified.json if finding["sender"] == bridged.ready["identity"]]
    assert {finding["verdict"] for finding in bridge} == {"bound"}

    (told,) = [line["url"] for line in bridged.bridge.lines if line["event"] == "health"]
    assert bridged.bridge.lines[0] == {"event": "health", "url": told}
    health, metrics = await page(told), await page(told.replace("/health", "/metrics"))
    assert json.loads(health)["status"] == "ok"
    assert re.search(r'^clawnet_bridge_carried_total\{side="http"\} [1-9]', metrics, re.MULTILINE)

    # A crash loses nothing, and doubles nothing.
    bridged.bridge.process.kill()
    await bridged.bridge.process.wait()
    while_away = await here.tell(request())
    async with owner.running(*bridged.command) as again:
        await crossing.arrived(while_away, "http")
        again.process.terminate()
        assert await again.ended() == 0
        assert again.lines[-1]["sides"]["http"]["carried"] >= 1
    for side in ("matrix", "http"):
        assert set((await crossing.counted(side)).values()) == {1}
