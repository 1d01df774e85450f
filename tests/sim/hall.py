"""A room of many: verifies every message once, folds it once, and hands it to those whose behaviour it concerns.

Who acts upon a message that is for everybody follows from the ranking that everybody computes: the hall computes it
once, with the agents' own functions, and leaves out those who would find that it is not their turn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from bots.behaviours.handshake import WELCOMERS
from bots.behaviours.offering import RANKS
from bots.ranking import capable, ranked, score, stage_key
from bots.roster import Roster
from bots.transports import Delivery, Parcel, Plane
from bots.transports.matrix import writing
from clawnet_proto.bindings import matrix as binding
from clawnet_proto.families import task
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from clawnet_proto.wire import present
from tests.agent.network import LATENCY_S, NAME, Network, messages_of
from tests.proto.authoring import ROOM

if TYPE_CHECKING:
    from tests.sim.light import LightAgent


class Traffic:
    """What was sent in all rooms."""

    def __init__(self) -> None:
        self.messages: Counter[tuple[Plane, str]] = Counter()  # by plane and type
        self.events: Counter[tuple[Plane, str]] = Counter()  # by plane and family
        self.bytes: Counter[tuple[Plane, str]] = Counter()  # by plane and family
        self.offers: Counter[str] = Counter()  # by task: messages, each for one stage or more
        self.offered = 0  # stages that were offered for
        self.minutes: Counter[tuple[str, int]] = Counter()  # room events, by sender and minute
        self._history = sha256()

    def note(self, plane: Plane, sender: str, to: str, at_ms: int, messages: Sequence[Message], size: int) -> None:
        """One event of ``size`` bytes."""
        if not messages:
            return
        family = TYPES[messages[0].type].family
        self.events[(plane, family)] += 1
        self.bytes[(plane, family)] += size
        if plane == "room":
            self.minutes[(sender, at_ms // 60_000)] += 1
        for message in messages:
            self.messages[(plane, message.type)] += 1
            if message.type == "task.offer":
                self.offers[str(message.envelope.thread)] += 1
                self.offered += len(message.body.stages)
            self._history.update(f"{at_ms} {plane} {sender} {to} {message.type} {message.id}\n".encode())

    @property
    def history(self) -> str:
        """The digest of all that was sent, in order."""
        return self._history.hexdigest()


class Hall(Network):
    """One room with its light agents; whole ones have accounts in it as in any ``Network``."""

    online, address = True, ""  # as a transport of nobody

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self.traffic = traffic
        self.fold = Mesh(ROOM)
        self.roster = Roster(self, lambda room: self.fold, self.now_ms)  # type: ignore[arg-type]
        self._lights: dict[str, LightAgent] = {}  # by did
        self._addresses: dict[str, LightAgent] = {}

    def admit(self, agent: LightAgent) -> None:
        self._lights[agent.identity.did] = agent
        self._addresses[agent.transport.address] = agent

    def joined(self, address: str) -> bool:
        return address in self._addresses or super().joined(address)

    def is_member(self, room: str, address: str) -> bool:
        return self.joined(address)

    def carry(self, sender: str, parcel: Parcel, messages: Sequence[Message]) -> str:
        """Take an event of a light agent and return its id."""
        if parcel.plane == "room":
            return self.post(sender, writing.room_content(parcel))
        if parcel.address in self.accounts:
            self.take(sender, parcel)
        else:
            self._deliver(sender, parcel.address, messages, sum(map(len, parcel.carriers)))
        return ""

    def take(self, sender: str, parcel: Parcel) -> str:
        if parcel.plane == "room":
            return self.post(sender, writing.room_content(parcel))
        for content in writing.direct_messages(parcel).values():
            self.send(sender, parcel.address, *content.values())
        return ""

    def post(self, sender: str, content: dict[str, Any], *, event_id: str = "", **fields: Any) -> str:
        event_id = event_id or self.fresh_id()
        event = self._event(sender, binding.MESSAGE, content) | {"event_id": event_id} | fields
        messages = messages_of(event)
        self.traffic.note("room", sender, "", self.now_ms(), messages, _size(content))
        for message in messages:
            self.fold.add(message, sender)
        for address in self.accounts:
            self._carry(self._passage("room", event, address))
        self._loop.call_later(LATENCY_S, self._spread, self._handed("room", sender, event_id), messages)
        return event_id

    def send(self, sender: str, to: str, content: dict[str, Any]) -> None:
        event = self._event(sender, binding.DIRECT, content)
        if to in self.accounts:
            self.traffic.note("direct", sender, to, self.now_ms(), messages_of(event), _size(content))
            self._carry(self._passage("direct", event, to))
        else:
            self._deliver(sender, to, messages_of(event), _size(content))

    def _deliver(self, sender: str, to: str, messages: Sequence[Message], size: int) -> None:
        self.traffic.note("direct", sender, to, self.now_ms(), messages, size)
        for message in messages:
            self.fold.add(message, sender)
        self._loop.call_later(LATENCY_S, self._hand, self._addresses[to], self._handed("direct", sender, ""), messages)

    def _handed(self, plane: Plane, sender: str, event_id: str) -> Delivery:
        room = ROOM if plane == "room" else ""
        return Delivery(
            transport=NAME, plane=plane, room=room, sender=sender, event_id=event_id, event="",
            received_ms=self.now_ms(), live=True,
        )  # fmt: skip

    @staticmethod
    def _hand(agent: LightAgent, delivery: Delivery, messages: Sequence[Message]) -> None:
        for message in messages:
            agent.receive(delivery, message)

    def _spread(self, delivery: Delivery, messages: Sequence[Message]) -> None:
        for message in messages:
            for did in self._concerned(message):
                if did in self._lights:
                    self._lights[did].receive(delivery, message)

    def _concerned(self, message: Message) -> Iterable[str]:
        """Whose behaviour does anything about a message of the room, in a certain order."""
        if message.type == "presence.announce":
            others = [peer.did for peer in self.roster.live_peers(ROOM) if peer.did != message.sender]
            others.sort(key=lambda did: -score(message.sender, did, 1.0))
            return others[:WELCOMERS]
        if TYPES[message.type].family != "task":
            return ()
        if message.type == "task.request" and message.envelope.recipients is UNSET:
            return self._offering(message)
        view = self.fold.task(str(message.envelope.thread))
        working = [stage.current.executor for stage in view.stages.values() if stage.current] if view else []
        asking = [view.requester] if view else []
        return dict.fromkeys([*present(message.envelope.recipients, ()), *asking, *working])

    def _offering(self, message: Message) -> Iterable[str]:
        request: task.Request = message.body
        peers = [peer for peer in self.roster.live_peers(ROOM) if peer.did != message.sender]
        best: dict[str, None] = {}
        for stage in request.stages:
            able = [peer for peer in peers if peer.body is not None and capable(peer.body, stage)]
            best |= dict.fromkeys(ranked(stage_key(message.id, stage.id), able)[:RANKS])
        return best


def _size(content: dict[str, Any]) -> int:
    return len(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode())
