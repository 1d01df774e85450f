"""One module a message family: what this agent does when such a message arrives, and as time passes.

Behaviours are synchronous and do no I/O of their own: they read the fold, post messages through their
``Context`` and spawn what takes time. ``on_message`` runs inside the store's transaction that marks the
message handled, so that a message and everything posted because of it are committed together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, Protocol

import msgspec

from bots.artifacts import Artifacts
from bots.config import Config
from bots.engines import Engine, Model
from bots.events import AnyEvent
from bots.identity import Identity
from bots.store import Store
from bots.transports import PersonText, Room
from clawnet_proto.families.presence import Address
from clawnet_proto.mesh import Binding, Mesh, Peer
from clawnet_proto.message import Message
from clawnet_proto.wire import Record, present


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A verified message that may be acted upon: addressed to us or to all, in time, not acted upon before.

    What ``spec/types.json`` defers until its sender is bound is bound.
    """

    message: Message
    plane: Literal["room", "direct"]
    address: str  # who the transport vouches for
    event_id: str
    binding: Binding

    @property
    def subject(self) -> dict[str, str]:
        """What log lines about it name."""
        message = self.message
        task = message.id if message.type == "task.request" else str(present(message.envelope.thread, ""))
        return {"message_id": message.id, "type": message.type, "task": task, "peer": message.sender}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A person's plain words in a room."""

    room: str
    address: str
    event_id: str
    words: PersonText
    received_ms: int

    @property
    def subject(self) -> dict[str, str]:
        """What log lines about it name."""
        return {"event_id": self.event_id, "address": self.address}


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """How a message of ours travels, where that differs from the usual."""

    to: Address | None = None  # direct: an address that the fold does not (yet) hold
    line: str = ""  # what people read instead of the usual line
    root: str = ""  # event id of the thread's root
    mention: str = ""  # address of a person to notify
    priority: int = 1  # 0 overtakes, 2 waits


USUAL = Posting()


class Context(Protocol):
    """What a behaviour may see and do."""

    artifacts: Artifacts
    config: Config
    engine: Engine | None
    store: Store

    @property
    def identity(self) -> Identity:
        """Who we are; the key in use may change."""

    @property
    def rotation(self) -> Record | None:
        """What must go ahead of every announce of ours, None while our key is the first (ID-22)."""

    @property
    def models(self) -> Sequence[Model]: ...

    def addresses(self, room: str) -> tuple[Address, ...]:
        """Where we are in a room."""

    def address_towards(self, address: Address) -> Address:
        """What we say to this address comes from there."""

    def direct_address(self, room: str, did: str) -> Address | None:
        """Where a peer takes direct messages that we can reach, None if there is no such address (PRE-4)."""

    @property
    def clock_fault(self) -> str:
        """What is wrong with our wall clock, in words for people; "" if nothing is known to be."""

    def now_ms(self) -> int:
        """The wall clock: for what is signed, kept or told."""

    def monotonic_ms(self) -> int:
        """The clock that nobody sets: for all waiting within this run."""

    def mesh(self, room: str) -> Mesh: ...

    def live_peers(self, room: str) -> Sequence[Peer]:
        """Whom a room can count upon, by did: bound, live, and joined to it (spec/06-presence.md)."""

    def hearing(self, room: str, address: str) -> Sequence[Peer]:
        """Those of the live peers that hear what is said at this address."""

    def has_left(self, room: str, did: str) -> bool:
        """Whether a peer that took part in a room of ours is not joined to it any more."""

    def acted_upon(self, message: Message) -> bool:
        """Whether we took this message up, in this run or an earlier one."""

    def rooms(self) -> Sequence[Room]: ...

    def post(
        self,
        room: str,
        body: Record,
        *,
        lifetime_ms: int,
        recipients: Sequence[str] = (),
        thread: str = "",
        answers: str = "",
        posting: Posting = USUAL,
    ) -> Message:
        """Sign, fold and enqueue a message. Raises LocalProtocolError for one that others would refuse."""

    def post_again(self, message: Message, to: Address) -> None:
        """Send a message of the key in use once more, directly; an announce with its rotation ahead of it."""

    def say(self, room: str, text: str, *, root: str = "", conversation: str = "", mention: str = "") -> None:
        """Plain words for people, in the thread of a root event or of a conversation."""

    def notify(self, event: AnyEvent) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that goes on; it is ended with the agent."""

    def wake(self) -> None:
        """Call everybody's ``advance`` soon."""


class Behaviour(Protocol):
    """One family's behaviour."""

    def on_message(self, received: Received) -> None:
        """A message of this family that may be acted upon."""

    def advance(self, monotonic_ms: int) -> None:
        """Do what is due: called after every batch of messages and a few times a second."""
