"""A light agent: ``bots.agent.Agent`` with all its behaviours, over a fold that the whole room shares."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, cast

import msgspec

from bots.agent import Agent
from bots.config import AgentSection, Config
from bots.engines import Engine
from bots.envelopes import Envelopes
from bots.outbox import Entry
from bots.parcels import Parcels
from bots.store import Store
from bots.transports import Delivery, EncryptionHealth, Parcel, Room, Transport
from clawnet_proto import PROTOCOL_VERSION, base64url
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import SealedCarrier
from clawnet_proto.specification import LIMITS
from clawnet_proto.wire import present
from tests.agent.network import NAME, lend_key
from tests.agent.simulated import identity_of
from tests.proto.authoring import ROOM
from tests.sim.hall import Hall
from tests.sim.memory_store import MemoryStore

_TICK_S = 0.25  # as the agent's own, while it has anything to do
_IDLE_S = 20.0
_KEY_AND_TAG = 48  # bytes that sealing adds (HPKE with X25519 and an AEAD of 16)


class _NotedParcels(Parcels):
    """Remembers which message an entry holds, so that nobody has to open it again."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.messages: dict[str, Message] = {}

    def entry(self, message: Message, *args: Any) -> Entry:
        entry = super().entry(message, *args)
        self.messages[entry.carrier] = message
        return entry


class _SpareEnvelopes(Envelopes):
    """What is for a light agent, which nobody opens, gets the size of a sealed carrier; the rest is sealed."""

    def __init__(self, hall: Hall, *args: Any) -> None:
        super().__init__(*args)
        self._hall = hall

    def seal(self, message: Message, carrier: bytes) -> bytes:
        peer = self._hall.fold.peers.get(next(iter(present(message.envelope.recipients, ())), ""))
        if peer is None or peer.body is None or not self._hall.accounts.keys().isdisjoint(peer.addresses):
            return super().seal(message, carrier)
        key_and_tag = bytes(_KEY_AND_TAG)
        return msgspec.json.encode(
            SealedCarrier(PROTOCOL_VERSION, peer.body.seal_key, base64url.encode(key_and_tag + carrier))
        )


class _Outbox:
    """What was said at one moment travels together, as the real outbox has it; the server takes everything."""

    def __init__(self, hall: Hall, agent: LightAgent, parcels: _NotedParcels) -> None:
        self._hall = hall
        self._agent = agent
        self._parcels = parcels
        self._waiting: list[Entry] = []

    def add(self, *entries: Entry) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.extend(entries)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        batches: dict[tuple[str, ...], list[Entry]] = {}
        for entry in waiting:
            apart = entry.carrier if entry.alone else ""
            batch = batches.setdefault((entry.plane, entry.address, entry.conversation, apart), [])
            batch.append(entry)
            if len(batch) == LIMITS.carriers_per_event:
                self._send(batches.pop((entry.plane, entry.address, entry.conversation, apart)))
        for batch in batches.values():
            self._send(batch)
        self._parcels.messages.clear()

    def _send(self, batch: Sequence[Entry]) -> None:
        first, store = batch[0], self._agent.store
        root = first.root or (store.thread_root(NAME, first.conversation) if first.plane == "room" else "") or ""
        parcel = Parcel(
            txn="", plane=first.plane, room=first.room, address=first.address, device=first.device, thread_root=root,
            carriers=tuple(entry.carrier for entry in batch if entry.carrier),
            body="\n".join(entry.line for entry in batch if entry.line),
        )  # fmt: skip
        messages = [self._parcels.messages[entry.carrier] for entry in batch if entry.carrier]
        event_id = self._hall.carry(self._agent.transport.address, parcel, messages)
        if event_id and first.conversation and store.thread_root(NAME, first.conversation) is None:
            store.set_thread_root(NAME, first.conversation, root or event_id)


class _Account:
    """The transport, as far as behaviours see it."""

    name = NAME
    device = "DEVICE"
    online = True
    encryption = EncryptionHealth()

    def __init__(self, hall: Hall, address: str) -> None:
        self._room = Room(uri=ROOM, name="#mesh", public=True, encrypted=False, members=0)
        self.address = address
        self.is_member = hall.is_member

    def rooms(self) -> Sequence[Room]:
        return (self._room,)

    def reaches(self, address: str) -> bool:
        return True

    def thread_root(self, delivery: Delivery) -> str:
        return delivery.event_id


class LightAgent(Agent):
    """Acts when its hall hands it a message, and as time passes; ``kill`` ends it without a word."""

    def __init__(self, hall: Hall, name: str, engine: Engine, seed: int) -> None:
        self._hall = hall
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.Handle | None = None
        self.alive = True
        own = identity_of(name)
        account = _Account(hall, f"matrix:u/{name}:example.org")
        super().__init__(
            Config(agent=AgentSection(name=name)),
            own,
            cast(Store, MemoryStore()),
            engine,
            lambda agent: [cast(Transport, account)],
            clock=hall,
            entropy=random.Random(f"{seed} {name}").randbytes,
        )
        self.roster = hall.roster
        self._envelopes = _SpareEnvelopes(hall, self.store, self.mesh)
        self._parcels = parcels = _NotedParcels(name, self.mesh)
        self.outbox = cast(Any, _Outbox(hall, self, parcels))
        lend_key(own.seal, own.did)
        hall.admit(self)

    def mesh(self, room: str) -> Mesh:
        return self._hall.fold

    async def begin(self) -> None:
        """Take part from now on."""
        await self._watch.start()
        self.handling.become_ready()
        self.wake()

    def kill(self) -> None:
        """Nothing more is said or done; what was said before is under way."""
        self.alive = False
        for work in list(self._work):
            work.cancel()
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()

    def receive(self, delivery: Delivery, message: Message) -> None:
        """A message that the shared fold already holds."""
        if not self.alive:
            return
        for item in [*self.intake._released(), (delivery, message)]:
            actionable = self.intake._actionable(*item)
            if actionable is not None:
                self.handling.act(actionable)
        self.wake()

    def wake(self) -> None:
        if self.alive and self.ready and self._soon is None:
            self._soon = self._loop.call_soon(self._beat)

    def _beat(self) -> None:
        self._soon = None
        if self._timer is not None:
            self._timer.cancel()
        self.handling.advance()
        self._timer = self._loop.call_later(_TICK_S if self._busy else _IDLE_S, self.wake)

    @property
    def _busy(self) -> bool:
        offering, shaking = self.executor._offering, self.handshakes
        return bool(
            self.executor.jobs
            or self.requester._errands
            or offering._open
            or offering._early
            or shaking._sessions
            or shaking._welcome
        )
