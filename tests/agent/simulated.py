"""A room full of real agents (real stores, real folds, real behaviours) on a simulated network, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from msgspec import UNSET

from bots import identity as identities
from bots.agent import Agent
from bots.behaviours.requester import Order
from bots.config import AgentSection, Config, LimitsSection, MatrixSection, PeopleSection, RequestsSection
from bots.engines import Engine
from bots.errors import ClawbotError
from bots.events import AnyEvent, TaskEnded
from bots.identity import Identity
from bots.ranking import ranked, stage_key
from bots.recorder import Recorder
from bots.store import Store
from clawnet_proto.families import presence, task
from clawnet_proto.families.task_state import TaskView
from clawnet_proto.keys import SigningKey, write_key_file
from clawnet_proto.mesh import Mesh
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import digest
from tests.agent.network import Network, ShiftedClock, SimulatedTransport, lend_key
from tests.agent.stranger import Stranger
from tests.agent.virtual_time import until
from tests.proto.authoring import ROOM, Author

E = TypeVar("E")

QUESTION = "What is a mesh?"


def echo(name: str = "answer", *sources: str, max_tokens: int = 16) -> task.Stage:
    """A stage whose output is its prompt: the sources, joined by bars."""
    parts: list[task.TextPart | task.DataPart] = []
    for source in sources or ("question",):
        parts += [task.TextPart(text="|"), task.DataPart(source=source, form="line")]
    return _stage(name, "echo", parts, max_tokens)


def generate(name: str = "answer", *sources: str, max_tokens: int = 16, needs: task.Needs | None = None) -> task.Stage:
    """A stage for a model."""
    parts = [task.DataPart(source=source, form="line") for source in sources or ("question",)]
    return msgspec.structs.replace(_stage(name, "generate", parts, max_tokens), needs=needs or UNSET)


def _stage(
    name: str, kind: presence.StageKind, parts: Sequence[task.TextPart | task.DataPart], max_tokens: int
) -> task.Stage:
    parameters = task.Parameters(max_tokens=max_tokens, temperature_milli=0, top_p_milli=1000, seed=0, stop=())
    return task.Stage(id=name, kind=kind, prompt=tuple(parts), parameters=parameters)


def order(*stages: task.Stage, question: str = QUESTION, **changes: Any) -> Order:
    """An order for the room; one echo stage unless others are given."""
    fields = {"room": ROOM, "title": "A question", "inputs": {"question": question}, "stages": stages or (echo(),)}
    return Order(**(fields | changes))


def request(*stages: task.Stage, question: str = QUESTION, **changes: Any) -> task.Request:
    """The same as a message body, for whoever is no agent."""
    fields: dict[str, Any] = {"title": "T", "stages": stages, "privacy": "public", "lease_ms": 15_000, "hops": 0}
    text = task.Input(name="question", digest=digest(question.encode()), text=question)
    return task.Request(**({"inputs": (text,)} | fields | changes))


class Member:
    """An agent, and what it takes to stop it, to kill it and to start it again."""

    def __init__(self, network: Network, folder: Path, name: str, engine: Engine | None, config: Config) -> None:
        self.name = name
        self.address = f"matrix:u/{name}:example.org"
        self.engine = engine
        self.config = config
        self.clock = ShiftedClock(network)
        self.folder = folder
        self.events: list[AnyEvent] = []
        self.starts = 0
        self._network = network
        self._running: asyncio.Future[None] | None = None
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        assert self._agent is not None
        return self._agent

    @property
    def did(self) -> str:
        return identity_of(self.name).did

    @property
    def mesh(self) -> Mesh:
        return self.agent.mesh(ROOM)

    def open(self, recorder: Recorder | None = None) -> Agent:
        """The agent, not yet running, on its own store."""
        self.starts += 1
        store = _unsynced(Store.open(self.folder / "store.sqlite"))
        agent = Agent(
            self.config,
            keys_of(self.name, self.folder / "keys"),
            store,
            self.engine,
            lambda agent: [SimulatedTransport(self._network, self.address, self.name, store)],
            recorder=recorder,
            clock=self.clock,
            entropy=random.Random(f"{self.name} {self.starts}").randbytes,
        )
        agent.observe(self.events.append)
        self._agent = agent
        return agent

    async def start(self) -> Agent:
        """Run the agent until it takes part."""
        agent = self.open()
        self._running = asyncio.ensure_future(agent.run())
        synced = asyncio.ensure_future(agent.synced.wait())
        await asyncio.wait([self._running, synced], return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            synced.cancel()
            self._running.result()
        return agent

    @property
    def alive(self) -> bool:
        return self._running is not None and not self._running.done()

    async def ended(self) -> BaseException | None:
        """Wait until the agent has ended by itself, and say why."""
        assert self._running is not None
        await asyncio.wait([self._running])
        return self._running.exception()

    async def stop(self) -> None:
        """Let it leave politely."""
        if self._running is not None:
            self.agent.stop()
            await self._running
            self._close()

    async def crash(self) -> None:
        """End it as if its process were gone: nothing more is sent, only what is committed is left."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError, ClawbotError):
                await self._running
            self._close()

    def _close(self) -> None:
        self.agent.store.close()
        self._running = None

    # -- what a test asks and looks at -------------------------------------------------------------------------

    def ask(self, given: Order) -> str:
        return self.agent.requester.request(given)

    def task(self, task_id: str) -> TaskView:
        view = self.mesh.task(task_id)
        assert view is not None
        return view

    def told(self, kind: type[E]) -> list[E]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def outcome(self, task_id: str, within_s: float = 120.0) -> TaskEnded:
        """How a task ends."""
        await until(lambda: any(event.task == task_id for event in self.told(TaskEnded)), within_s)
        return next(event for event in self.told(TaskEnded) if event.task == task_id)


class Room:
    """The room with everybody in it. ``async with Room(folder) as room`` ends all that was started."""

    def __init__(self, folder: Path, *, public: bool = True) -> None:
        self._folder = folder
        self._public = public
        self.members: dict[str, Member] = {}

    async def __aenter__(self) -> Self:
        self.network = Network(public=self._public)
        return self

    async def __aexit__(self, *_: object) -> None:
        for member in self.members.values():
            await member.crash()

    def member(
        self,
        name: str,
        engine: Engine | None = None,
        *,
        agent: AgentSection | None = None,
        limits: LimitsSection | None = None,
        people: PeopleSection | None = None,
        requests: RequestsSection | None = None,
        matrix: MatrixSection | None = None,
    ) -> Member:
        """An agent that does not run yet."""
        folder = self._folder / name
        config = Config(
            agent=agent or AgentSection(name=name),
            matrix=matrix or MatrixSection(),
            limits=limits or LimitsSection(),
            people=people or PeopleSection(),
            requests=requests or RequestsSection(),
        )
        self.members[name] = Member(self.network, folder, name, engine, config)
        return self.members[name]

    async def join(self, name: str, engine: Engine | None = None, **sections: Any) -> Member:
        """A running agent that knows, and is known to, everybody here."""
        member = self.member(name, engine, **sections)
        await member.start()
        await self.acquainted()
        return member

    async def crowd(self, *names: str, engine: Callable[[], Engine | None] = lambda: None) -> list[Member]:
        """Several running agents that know each other."""
        members = [self.member(name, engine()) for name in names]
        await asyncio.gather(*(member.start() for member in members))
        await self.acquainted()
        return members

    async def acquainted(self) -> None:
        """Wait until every running agent knows every other."""
        alive = [member for member in self.members.values() if member.alive]
        dids = {member.did for member in alive}
        await until(lambda: all(dids <= live(member) for member in alive))

    def stranger(self, name: str) -> Stranger:
        return Stranger(self.network, name)


def _unsynced(store: Store) -> Store:
    """The power never fails here: to wait for the disk would only cost time."""
    database = store._database
    database.execute("PRAGMA synchronous = OFF")

    def note(durable: bool) -> None:
        database._durable = durable

    database._sync_commits = note  # type: ignore[method-assign]
    return store


def results(room: Room) -> list[tuple[str, int]]:
    """Stage and attempt of every result that was posted."""
    return [(message.body.stage, message.body.attempt) for message in room.network.posted("task.result")]


def live(member: Member) -> set[str]:
    """The dids of those whom an agent counts upon."""
    return {peer.did for peer in member.agent.live_peers(ROOM)}


def rank(asking: Member, task_id: str, members: list[Member], stage: str = "answer") -> list[Member]:
    """The members in the order in which everybody ranks them for a stage."""
    by_did = {member.did: member for member in members}
    peers = [asking.mesh.peers[did] for did in by_did]
    return [by_did[did] for did in ranked(stage_key(task_id, stage), peers)]


def identity_of(name: str) -> Identity:
    """The keys that the agent with this name began with."""
    first, seal, following = _secrets(name).values()
    key = SigningKey(first)
    return Identity(key.did, key, SealKey(seal), digest(SigningKey(following).public))


def keys_of(name: str, folder: Path) -> Identity:
    """The keys of the agent with this name, as its folder has them: made there if it has none yet."""
    if not identities.complete(folder):
        folder.mkdir(parents=True)
        for purpose, secret in _secrets(name).items():
            write_key_file(folder / f"{purpose}.key", secret, purpose)
    own = identities.load(folder)
    lend_key(own.seal, own.did)
    return own


def _secrets(name: str) -> dict[str, bytes]:
    made = {purpose: sha256(f"{purpose} of {name}".encode()).digest() for purpose in ("seal", "next")}
    return {"identity": Author(name).key.seed, **made}
