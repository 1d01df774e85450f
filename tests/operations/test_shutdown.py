"""An agent that is told to stop: what runs is finished or handed back, and nothing new is begun."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bots.config import LimitsSection
from clawnet_proto.mesh import Peer
from tests.agent.scripted_engine import Script, ScriptedEngine
from tests.agent.simulated import Room, generate, order
from tests.agent.virtual_time import in_virtual_time, until

HANGING: Script = ["once", 3600.0]


@in_virtual_time
async def test_what_ends_within_the_grace_is_finished(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        bert = await room.join("bert", ScriptedEngine(["once ", 8.0, "more"]))
        task_id = ada.ask(order(generate()))
        await until(lambda: bert.agent.executor.jobs == 1)
        await bert.stop()
        end = await ada.outcome(task_id)
        assert (end.outcome, end.text) == ("completed", "once more")
        assert (end.stages[0].attempt, end.stages[0].name) == (1, "bert")
        assert room.network.posted("task.fail") == []
        last = room.network.posted("task.result", "presence.leave")
        assert [message.type for message in last] == ["task.result", "presence.leave"]


@in_virtual_time
async def test_what_does_not_is_handed_back_and_done_by_somebody_else(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        bert = await room.join("bert", ScriptedEngine(HANGING), limits=LimitsSection(grace_seconds=5))
        task_id = ada.ask(order(generate()))
        await until(lambda: bert.agent.executor.jobs == 1)
        await room.join("cora", ScriptedEngine(["done"]))
        began = asyncio.get_running_loop().time()
        await bert.stop()
        assert 5 <= asyncio.get_running_loop().time() - began < 7
        (fail,) = room.network.posted("task.fail")
        assert (fail.body.code, fail.body.retryable) == ("stopping", True)
        end = await ada.outcome(task_id)
        assert (end.outcome, end.stages[0].name, end.stages[0].attempt) == ("completed", "cora", 2)


@in_virtual_time
async def test_an_agent_with_nothing_to_do_stops_at_once(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        bert = await room.join("bert", ScriptedEngine(["x"]))
        began = asyncio.get_running_loop().time()
        await bert.stop()
        assert asyncio.get_running_loop().time() - began < 1
        assert len(room.network.posted("presence.announce")) == 1
        assert len(room.network.posted("presence.leave")) == 1


@in_virtual_time
async def test_nothing_new_is_begun_meanwhile_and_nothing_is_lost(tmp_path: Path) -> None:
    """What is asked of it while it finishes goes to others; what was awarded already waits for its next start."""
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        engine = ScriptedEngine(lambda prompt: ["long", 10.0] if "long" in prompt else ["short"])
        bert = await room.join("bert", engine)
        first = ada.ask(order(generate(), question="a long one"))
        await until(lambda: bool(engine.running))
        stopping = asyncio.ensure_future(bert.stop())
        await until(lambda: all(_open_to(peer) == "nobody" for peer in _named(room, "bert")))
        cora = await room.member("cora", ScriptedEngine(["short"])).start()
        await until(lambda: len(ada.agent.live_peers(next(iter(ada.agent.rooms())).uri)) == 3)
        second = ada.ask(order(generate(), question="another"))
        end = await ada.outcome(second)
        assert (end.outcome, end.stages[0].name) == ("completed", cora.config.agent.name)
        await stopping
        assert (await ada.outcome(first)).stages[0].name == "bert"
        assert len(engine.prompts) == 1


@in_virtual_time
async def test_an_agent_that_finishes_goes_on_telling_how_far_it_is(tmp_path: Path) -> None:
    """Or its lease would lapse, and somebody would do it once more."""
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        bert = await room.join("bert", ScriptedEngine(["once ", 40.0, "more"]), limits=LimitsSection(grace_seconds=60))
        task_id = ada.ask(order(generate()))
        await until(lambda: bert.agent.executor.jobs == 1)
        await bert.stop()
        end = await ada.outcome(task_id)
        assert (end.outcome, end.stages[0].attempt, end.executions) == ("completed", 1, 1)


@in_virtual_time
async def test_after_a_restart_it_is_open_again(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        ada = await room.join("ada")
        bert = await room.join("bert", ScriptedEngine(["once", 3.0]))
        task_id = ada.ask(order(generate()))
        await until(lambda: bert.agent.executor.jobs == 1)
        await bert.stop()
        await ada.outcome(task_id)
        await bert.start()
        await until(lambda: any(_open_to(peer) == "room" for peer in _named(room, "bert")))
        assert (await ada.outcome(ada.ask(order(generate())))).stages[0].name == "bert"


def _open_to(peer: Peer) -> str:
    assert peer.body is not None
    return peer.body.limits.open_to


def _named(room: Room, name: str) -> list[Peer]:
    """The peer of this name as ada sees it, if it is live."""
    ada = room.members["ada"].agent
    return [peer for peer in ada.live_peers(ada.rooms()[0].uri) if peer.name == name]
