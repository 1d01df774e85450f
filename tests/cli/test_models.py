"""Models that come late, go away and come back: what is announced is what can be run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bots.engines import EngineHealth, Model
from bots.errors import EngineError
from bots.events import Notice
from tests.agent.scripted_engine import MODEL, ScriptedEngine
from tests.agent.simulated import Member, Room
from tests.agent.virtual_time import in_virtual_time, until


class Server(ScriptedEngine):
    """An engine whose server is up or down."""

    def __init__(self, *, up: bool) -> None:
        super().__init__(["done"])
        self.up = up
        self.tries = 0
        self.health = EngineHealth(state="ready" if up else "stopped")

    async def start(self) -> None:
        self.tries += 1
        if not self.up:
            raise EngineError("engine.unreachable", "No server answers.", "Start it.")
        self.health = EngineHealth(state="ready")

    async def models(self) -> Sequence[Model]:
        return [MODEL] if self.up else []

    def fail(self) -> None:
        self.up = False
        self.health = EngineHealth(state="failed", detail="The server is gone.")


def announced(member: Member) -> list[str]:
    """The models that it announced last."""
    body = member.mesh.peers[member.did].body
    assert body is not None
    return [model.name for model in body.models]


@in_virtual_time
async def test_an_engine_that_comes_up_late_is_picked_up(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        engine = Server(up=False)
        bert = await room.join("bert", engine)
        assert announced(bert) == []
        await asyncio.sleep(300)
        # Patient, and not one sentence a minute about it.
        assert 5 <= engine.tries <= 7
        assert len([notice for notice in bert.told(Notice) if "No server answers" in notice.text]) == 1
        engine.up = True
        await until(lambda: announced(bert) == ["scripted"], 70)


@in_virtual_time
async def test_models_that_went_away_come_back(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        engine = Server(up=True)
        bert = await room.join("bert", engine)
        await until(lambda: announced(bert) == ["scripted"])
        for _ in range(2):
            engine.fail()
            await until(lambda: announced(bert) == [])
            await asyncio.sleep(10)
            engine.up = True
            await until(lambda: announced(bert) == ["scripted"], 70)


@in_virtual_time
async def test_an_engine_that_recovers_by_itself_is_noticed_at_once(tmp_path: Path) -> None:
    async with Room(tmp_path) as room:
        engine = Server(up=True)
        bert = await room.join("bert", engine)
        await until(lambda: announced(bert) == ["scripted"])
        engine.fail()
        await until(lambda: announced(bert) == [])
        engine.up, engine.health = True, EngineHealth(state="ready")
        await until(lambda: announced(bert) == ["scripted"], 3)
