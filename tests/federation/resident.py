"""A reference agent in this process: the real transport, store and behaviours, and an engine of the test's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bots import identity as identities
from bots.agent import Agent
from bots.behaviours.requester import Order
from bots.config import AgentSection, Config, LimitsSection, MatrixSection, RequestsSection
from bots.engines import Engine
from bots.events import AnyEvent, TaskEnded
from bots.lifetime import taking_part
from bots.paths import make_private
from bots.store import Store
from bots.transports import Transport
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.transport import MatrixTransport
from clawnet_proto.families import task
from clawnet_proto.mesh import Mesh
from tests.matrix_client import Account

PATIENCE_S = 30.0
_POLL_S = 0.02

E = TypeVar("E", bound=AnyEvent)


class Resident:
    """An agent with an account on one homeserver, in one room. ``async with`` runs it."""

    def __init__(
        self, account: Account, folder: Path, room: str, engine: Engine | None, requests: Mapping[str, Any]
    ) -> None:
        self.account = account
        self.events: list[AnyEvent] = []
        self._config = Config(
            agent=AgentSection(name=account.name),
            matrix=MatrixSection(homeserver=account.homeserver, user=account.user_id, rooms=(room,)),
            limits=LimitsSection(concurrency=4),
            requests=RequestsSection(**requests),
        )
        self._folder = folder
        self._engine = engine
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        make_private(self._folder)
        self._store = Store.open(self._folder / "store.sqlite")
        self.agent = Agent(
            self._config, identities.create(self._folder / "keys"), self._store, self._engine, self._open_transports
        )
        self.agent.observe(self.events.append)
        await self._stack.enter_async_context(taking_part(self.agent, join_s=PATIENCE_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _open_transports(self, agent: Agent) -> Sequence[Transport]:
        matrix = MatrixTransport(
            MatrixConfig(
                homeserver=self.account.homeserver, user=self.account.user_id, rooms=self._config.matrix.rooms
            ),
            self._folder,
            lambda: self.account.password,
            self._store,
            agent.now_ms,
            on_joined=lambda room: agent.wake(),
            on_online=lambda online: agent.outbox.nudge("matrix") if online else None,
            on_refused=agent.shut_out,
        )
        return [matrix]

    @property
    def did(self) -> str:
        return self.agent.identity.did

    @property
    def room(self) -> str:
        (room,) = self.agent.rooms()
        return room.uri

    @property
    def mesh(self) -> Mesh:
        return self.agent.mesh(self.room)

    def sees(self) -> set[str]:
        """The dids of all it counts upon, itself among them."""
        return {peer.did for peer in self.agent.live_peers(self.room)}

    def greeted(self, other: Resident) -> bool:
        """Whether they have shaken hands, by its own account."""
        return self.agent.handshakes.confirmed(self.room, other.did) is not None

    def told(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def ask(self, *stages: task.Stage, question: str, **changes: Any) -> str:
        """Post a request for these stages, and give its id."""
        return self.agent.requester.request(
            Order(room=self.room, title=question, inputs={"question": question}, stages=stages, **changes)
        )

    async def ended(self, task_id: str) -> TaskEnded:
        """How a task of its own ended, once it has."""

        def found() -> list[TaskEnded]:
            return [event for event in self.told(TaskEnded) if event.task == task_id]

        await until(lambda: bool(found()))
        return found()[0]


async def until(so: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Return once something is so."""
    async with asyncio.timeout(timeout_s):
        while not so():  # noqa: ASYNC110 - it becomes so by what other processes do
            await asyncio.sleep(_POLL_S)


async def acquainted(residents: Sequence[Resident], among: Collection[str] = ()) -> None:
    """Return once each of them counts upon all of them, and upon ``among``."""
    dids = {resident.did for resident in residents} | set(among)
    await until(lambda: all(resident.sees() >= dids for resident in residents))
