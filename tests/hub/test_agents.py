"""Real agents that have nothing in common but a hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bots import identity as identities
from bots.agent import Agent
from bots.behaviours.requester import Order
from bots.config import AgentSection, Config
from bots.engines import Engine
from bots.errors import ClawbotError, TransportError
from bots.events import AnyEvent, TaskEnded
from bots.opening import announce_anew
from bots.store import Store
from bots.transports import Parcel
from bots.transports.http import transport
from bots.transports.http.config import HttpConfig
from bots.transports.http.transport import HttpTransport
from clawnet_proto.families.task_state import TaskView
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import generate, order
from tests.agent.virtual_time import until

if TYPE_CHECKING:
    from tests.hub.conftest import NewHub, Running

PATIENCE_S = 30.0


class Resident:
    """An agent at a hub, and what it takes to end it and to start it again."""

    def __init__(self, hub: Running, folder: Path, name: str, engine: Engine | None) -> None:
        self._hub = hub
        self._folder = folder / name
        self._engine = engine
        self._name = name
        self._running: asyncio.Future[None] | None = None
        self.events: list[AnyEvent] = []
        self.room = hub.room()

    async def start(self) -> None:
        keys = self._folder / "keys"
        own = identities.load(keys) if identities.complete(keys) else identities.create(keys)
        store = Store.open(self._folder / "store.sqlite")
        settings = HttpConfig(hub=self._hub.base, rooms=("clawnet",))
        self.agent = Agent(
            Config(agent=AgentSection(name=self._name)),
            own,
            store,
            self._engine,
            lambda agent: [
                HttpTransport(
                    settings,
                    lambda: agent.identity,
                    store,
                    agent.now_ms,
                    on_joined=lambda _: agent.wake(),
                    on_online=lambda online: agent.outbox.nudge("http") if online else None,
                    on_missing=lambda: announce_anew(agent),
                )
            ],
            clock=self._hub.clock,
        )
        self.agent.observe(self.events.append)
        self._running = asyncio.ensure_future(self.agent.run())
        await until(self.agent.synced.is_set, PATIENCE_S)

    async def crash(self) -> None:
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError, ClawbotError):
                await self._running
            self.agent.store.close()
            self._running = None

    async def stop(self) -> None:
        assert self._running is not None
        self.agent.stop()
        await self._running
        self.agent.store.close()
        self._running = None

    @property
    def did(self) -> str:
        return self.agent.identity.did

    def knows(self, *others: Resident) -> bool:
        live = {peer.did for peer in self.agent.live_peers(self.room)}
        return live >= {other.did for other in others}

    def write_to(self, other: Resident) -> None:
        """Queue a direct message."""
        announce = self.agent.presence.current(self.room)
        to = self.agent.direct_address(self.room, other.did)
        assert announce is not None
        assert to is not None
        self.agent.post_again(announce, to)

    async def emptied(self) -> None:
        """Wait until everything queued was taken, and see that nothing was set aside."""
        await until(lambda: not self.agent.outbox.health().queued, PATIENCE_S)
        assert self.agent.outbox.health().refused == 0

    def ask(self, given: Order) -> str:
        return self.agent.requester.request(given)

    def task(self, task_id: str) -> TaskView:
        view = self.agent.mesh(self.room).task(task_id)
        assert view is not None
        return view

    async def outcome(self, task_id: str) -> TaskEnded:
        def ended() -> list[TaskEnded]:
            return [event for event in self.events if isinstance(event, TaskEnded) and event.task == task_id]

        await until(ended, PATIENCE_S)
        return ended()[0]


class Sending:
    """What becomes of what a resident sends; ``first`` is the plane that is tried before the other one."""

    def __init__(self, resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
        self.faults: list[str] = []
        self.first = ""
        self.waits_for: Callable[[], object] = lambda: True
        self._tried = False
        (way,) = resident.agent.transport.ways
        self._send = way.send
        monkeypatch.setattr(way, "send", self._watched)

    async def _watched(self, parcel: Parcel) -> str:
        if self.first and parcel.plane != self.first:
            await until(lambda: self._tried, PATIENCE_S)
        await until(self.waits_for, PATIENCE_S)
        try:
            return await self._send(parcel)
        except TransportError as error:
            self.faults.append(error.code)
            raise
        finally:
            self._tried = self._tried or parcel.plane == self.first


NewResident = Callable[..., Awaitable[Resident]]


@pytest.fixture
async def hub(new_hub: NewHub) -> Running:
    return await new_hub(real_time=True)


@pytest.fixture
async def new_resident(hub: Running, tmp_path: Path) -> AsyncIterator[NewResident]:
    residents: list[Resident] = []

    async def new(name: str, engine: Engine | None = None) -> Resident:
        residents.append(Resident(hub, tmp_path, name, engine))
        await residents[-1].start()
        return residents[-1]

    yield new
    for resident in residents:
        await resident.crash()


async def acquainted(*residents: Resident) -> None:
    await until(lambda: all(one.knows(*residents) for one in residents), PATIENCE_S)


def answering() -> ScriptedEngine:
    return ScriptedEngine(["Many ", "small ", "machines."])


async def test_a_task_of_two_stages(new_resident: NewResident) -> None:
    ada, bert, cleo = [
        await new_resident("ada"),
        await new_resident("bert", answering()),
        await new_resident("cleo", answering()),
    ]
    await acquainted(ada, bert, cleo)
    task = ada.ask(order(generate("draft"), generate("critique", "draft"), room=ada.room))
    ended = await ada.outcome(task)
    assert (ended.outcome, ended.text) == ("completed", "Many small machines.")
    executors = {stage.current.executor for stage in ada.task(task).stages.values() if stage.current}
    assert executors == {bert.did, cleo.did}
    await until(lambda: cleo.task(task).finished, PATIENCE_S)  # everybody folds the same


async def test_who_was_killed_goes_on_where_it_was(new_resident: NewResident) -> None:
    engine = ScriptedEngine(["Slowly", 0.3, " but surely."])
    ada, bert = await new_resident("ada"), await new_resident("bert", engine)
    await acquainted(ada, bert)
    task = ada.ask(order(generate(), room=ada.room))
    await until(lambda: engine.prompts, PATIENCE_S)
    await bert.crash()
    await ada.crash()
    await asyncio.gather(ada.start(), bert.start())
    ended = await ada.outcome(task)
    assert (ended.outcome, ended.text) == ("completed", "Slowly but surely.")
    assert not list(ada.agent.requester.open_tasks())


async def test_a_hub_that_goes_away_and_comes_back(hub: Running, new_resident: NewResident) -> None:
    ada, bert = await new_resident("ada"), await new_resident("bert", answering())
    await acquainted(ada, bert)
    await hub.stop()
    await until(lambda: not ada.agent.transport.online and not bert.agent.transport.online, PATIENCE_S)
    task = ada.ask(order(generate(), room=ada.room))
    await hub.start()
    assert (await ada.outcome(task)).outcome == "completed"


async def test_a_key_is_changed_in_the_middle(new_resident: NewResident) -> None:
    ada, bert = await new_resident("ada"), await new_resident("bert", answering())
    await acquainted(ada, bert)
    for resident in (ada, bert):
        resident.agent.keys.rotate()
    task = ada.ask(order(generate(), room=ada.room))
    assert (await ada.outcome(task)).outcome == "completed"


async def test_what_is_sent_directly_before_the_hub_knows_the_new_key(
    new_resident: NewResident, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bert = await new_resident("ada"), await new_resident("bert")
    await acquainted(ada, bert)
    await ada.emptied()
    sending = Sending(ada, monkeypatch)
    sending.first = "direct"
    ada.agent.keys.rotate()
    ada.write_to(bert)
    await ada.emptied()
    assert sending.faults == ["http.not_member"]


async def test_a_hub_that_has_lost_everything(
    hub: Running, new_resident: NewResident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_MISSING_S", 0.1)
    monkeypatch.setattr(transport, "_BACKOFF_S", (0.1, 0.2))
    ada, bert = await new_resident("ada"), await new_resident("bert", answering())
    await acquainted(ada, bert)
    await ada.emptied()
    await bert.emptied()
    of_ada, of_bert = Sending(ada, monkeypatch), Sending(bert, monkeypatch)
    of_bert.waits_for = lambda: "http.no_peer" in of_ada.faults
    await hub.stop()
    for file in tmp_path.glob("hub.sqlite*"):
        file.unlink()
    ada.write_to(bert)
    await hub.start()
    await ada.emptied()
    for one in (ada, bert):
        for other in (ada, bert):
            assert one.agent.transport.is_member(ada.room, other.agent.transport.address)
    task = ada.ask(order(generate(), room=ada.room))
    assert (await ada.outcome(task)).outcome == "completed"


async def test_who_comes_late_knows_what_was_and_does_none_of_it(new_resident: NewResident) -> None:
    ada, bert = await new_resident("ada"), await new_resident("bert", answering())
    await acquainted(ada, bert)
    task = ada.ask(order(generate(), room=ada.room))
    await ada.outcome(task)
    late = answering()
    cleo = await new_resident("cleo", late)
    await acquainted(ada, bert, cleo)
    assert cleo.task(task).finished
    assert late.prompts == []


@pytest.mark.parametrize("private", [False, True])
async def test_an_output_too_long_for_a_message(new_resident: NewResident, private: bool) -> None:
    """It goes whole, by way of the hub."""
    words = [f"{number} leagues under the sea, and more besides. " for number in range(600)]
    long = "".join(words)
    ada, bert = await new_resident("ada"), await new_resident("bert", ScriptedEngine(words))
    await acquainted(ada, bert)
    task = ada.ask(order(generate(max_tokens=100), room=ada.room, private=private))
    ended = await ada.outcome(task)
    assert (ended.outcome, ended.text) == ("completed", long)
    (accepted,) = [stage.accepted for stage in ada.task(task).stages.values()]
    assert accepted is not None
    assert accepted.body.artifact.bytes > 16_000


async def test_who_leaves_is_no_longer_counted_upon(new_resident: NewResident) -> None:
    ada, bert = await new_resident("ada"), await new_resident("bert")
    await acquainted(ada, bert)
    await bert.stop()
    await until(lambda: [peer.did for peer in ada.agent.live_peers(ada.room)] == [ada.did], PATIENCE_S)
