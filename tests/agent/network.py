"""A homeserver in memory: rooms, direct messages, and every accident that can befall them on their way."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from bots.clock import Clock
from bots.errors import Refused, RetryLater
from bots.transports import Delivery, EncryptionHealth, Inbox, Parcel, PersonText, Plane, Room
from bots.transports.matrix import addresses, reading, writing
from clawnet_proto.bindings import matrix as binding
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import open_carrier
from clawnet_proto.sealing import SealKey
from tests.proto.authoring import NOW_MS, ROOM

LATENCY_S = 0.01
NAME = "matrix"


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one account."""

    plane: Plane
    sender: str  # address the homeserver vouches for
    to: str
    event_id: str
    event: dict[str, Any]
    delay_s: float = LATENCY_S

    @property
    def messages(self) -> list[Message]:
        """What it carries that verifies."""
        return messages_of(self.event)

    def holds(self, *types: str) -> bool:
        return any(message.type in types for message in self.messages)

    def by(self, address: str, event_id: str) -> Passage:
        """The same words, delivered by another account in an event of its own."""
        event = self.event | {"sender": addresses.user_id(address), "event_id": event_id}
        return msgspec.structs.replace(self, sender=address, event_id=event_id, event=event)


# What becomes of a passage: none (it is lost), one, or several (it arrives again).
Rule = Callable[[Passage], Iterable[Passage]]


class Held:
    """A rule that keeps back what ``chosen`` says, until it is released at one moment."""

    def __init__(self, network: Network, chosen: Callable[[Passage], bool]) -> None:
        self._network = network
        self._chosen = chosen
        self.passages: list[Passage] = []
        network.rules.append(self)

    def __call__(self, passage: Passage) -> list[Passage]:
        if not self._chosen(passage):
            return [passage]
        self.passages.append(passage)
        return []

    def release(self) -> None:
        self._network.rules.remove(self)
        for passage in self.passages:
            self._network.deliver(passage)


class Account:
    """What the homeserver keeps for one user with one device; it goes on while the user is away."""

    def __init__(self, address: str, context: Sequence[Delivery]) -> None:
        self.address = address
        self.log: list[Delivery] = list(context)
        self.arrived = asyncio.Event()
        self.reachable = True

    def receive(self, delivery: Delivery) -> None:
        self.log.append(delivery)
        self.arrived.set()


class Network:
    """One room, its timeline, and the accounts in it. ``rules`` decide how each event reaches each account."""

    def __init__(self, *, public: bool = True) -> None:
        self.accounts: dict[str, Account] = {}
        self.timeline: list[dict[str, Any]] = []
        self.direct: list[tuple[str, str, dict[str, Any]]] = []  # sender, recipient, event
        self.rules: list[Rule] = []
        self.public = public
        self.encrypted = False
        self.chunks: dict[str, bytes] = {}  # by URI
        self.fetched: list[tuple[str, str]] = []  # who fetched which
        self.chunk_fault: Callable[[], None] = lambda: None  # may raise what a chunk store raises
        self.outside: set[str] = set()  # accounts that have not joined, have left, or were banned
        self._taken: dict[str, str] = {}
        self._arrivals: dict[float, list[Passage]] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> int:
        return NOW_MS + round(self._loop.time() * 1000)

    def monotonic_ms(self) -> int:
        return round(self._loop.time() * 1000)

    def account(self, address: str) -> Account:
        """The account with this address, made with the room's history as context if it is new."""
        if address not in self.accounts:
            context = [self._delivery(self._passage("room", event, address), live=False) for event in self.timeline]
            self.accounts[address] = Account(address, context)
        return self.accounts[address]

    def joined(self, address: str) -> bool:
        return address in self.accounts and address not in self.outside

    def post(self, sender: str, content: dict[str, Any], *, event_id: str = "", **fields: Any) -> str:
        """Put an event into the room and return its id; ``fields`` replace or join those of the event."""
        event_id = event_id or self.fresh_id()
        event = self._event(sender, binding.MESSAGE, content) | {"event_id": event_id} | fields
        self.timeline.append(event)
        for address in [address for address in self.accounts if address not in self.outside]:
            self._carry(self._passage("room", event, address))
        return event_id

    def send(self, sender: str, to: str, content: dict[str, Any]) -> None:
        """Send an event to one account."""
        event = self._event(sender, binding.DIRECT, content)
        self.direct.append((sender, to, event))
        if to in self.accounts:
            self._carry(self._passage("direct", event, to))

    def take(self, sender: str, parcel: Parcel) -> str:
        """What a homeserver does with a parcel: the same transaction id twice is one event."""
        if parcel.txn not in self._taken:
            if parcel.plane == "room":
                self._taken[parcel.txn] = self.post(sender, writing.room_content(parcel))
            else:
                self._taken[parcel.txn] = ""
                for content in writing.direct_messages(parcel).values():
                    self.send(sender, parcel.address, *content.values())
        return self._taken[parcel.txn]

    def fresh_id(self) -> str:
        return f"$event-{next(self._numbers)}"

    def posted(self, *types: str, by: str = "") -> list[Message]:
        """The messages of the room's timeline, in order, of these types, from this address."""
        sender = addresses.user_id(by) if by else ""
        events = [event for event in self.timeline if sender in ("", event["sender"])]
        return [message for event in events for message in messages_of(event) if not types or message.type in types]

    def sent(self, *types: str, by: str = "") -> list[Message]:
        """The direct messages, in order, of these types, from this address."""
        events = [event for sender, _, event in self.direct if by in ("", sender)]
        return [message for event in events for message in messages_of(event) if not types or message.type in types]

    def bodies(self, by: str = "") -> list[str]:
        """What a person in the room reads."""
        sender = addresses.user_id(by) if by else ""
        return [event["content"]["body"] for event in self.timeline if sender in ("", event["sender"])]

    def _event(self, sender: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        return {"type": kind, "sender": addresses.user_id(sender), "content": content}

    def _passage(self, plane: Plane, event: dict[str, Any], to: str) -> Passage:
        sender = addresses.user_uri(event["sender"])
        return Passage(plane=plane, sender=sender, to=to, event_id=event.get("event_id", ""), event=event)

    def _carry(self, passage: Passage) -> None:
        passages = [passage]
        for rule in self.rules:
            passages = [kept for one in passages for kept in rule(one)]
        for one in passages:
            self.deliver(one)

    def deliver(self, passage: Passage) -> None:
        """Let an event arrive when its delay is over, past all rules; what arrives at one moment keeps its order."""
        moment = round(self._loop.time() + passage.delay_s, 6)
        if moment not in self._arrivals:
            self._loop.call_at(moment, self._arrive, moment)
        self._arrivals.setdefault(moment, []).append(passage)

    def _arrive(self, moment: float) -> None:
        for passage in self._arrivals.pop(moment):
            self.accounts[passage.to].receive(self._delivery(passage, live=True))

    def _delivery(self, passage: Passage, *, live: bool) -> Delivery:
        return Delivery(
            transport=NAME,
            plane=passage.plane,
            room=ROOM if passage.plane == "room" else "",
            sender=passage.sender,
            event_id=passage.event_id,
            event=json.dumps(passage.event),
            received_ms=self.now_ms(),
            live=live,
        )


class ShiftedClock:
    """The clocks of one machine; its wall clock is ``ahead_ms`` ahead of the true time, and can be set."""

    def __init__(self, truth: Clock) -> None:
        self._truth = truth
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return self._truth.now_ms() + self.ahead_ms

    def monotonic_ms(self) -> int:
        return self._truth.monotonic_ms()


class SimulatedTransport:
    """An account of a ``Network`` as the agent's transport; it reads and writes events as Matrix does."""

    name = NAME

    def __init__(self, network: Network, address: str, display_name: str, inbox: Inbox) -> None:
        self._network = network
        self._account = network.account(address)
        self._display_name = display_name
        self._inbox = inbox
        self.address = address
        self.device = "DEVICE"
        self.online = False

    async def connect(self) -> None:
        if not self._account.reachable:
            raise RetryLater("matrix.unreachable", "The homeserver does not answer.", 1.0)

    async def join(self, room: str) -> Room:
        return self.rooms()[0]

    def rooms(self) -> Sequence[Room]:
        if not self._network.joined(self.address):
            return []
        members = sum(map(self._network.joined, self._network.accounts))
        network = self._network
        return [Room(uri=ROOM, name="#mesh", public=network.public, encrypted=network.encrypted, members=members)]

    @property
    def encryption(self) -> EncryptionHealth:
        return EncryptionHealth()

    def is_member(self, room: str, address: str) -> bool:
        return self.online and room == ROOM and self._network.joined(address)

    def reaches(self, address: str) -> bool:
        return addresses.is_user(address)

    async def run(self) -> None:
        while True:
            self._account.arrived.clear()
            if self._account.reachable:
                position = int(self._inbox.position(NAME) or 0)
                log = self._account.log
                if position < len(log) or not self.online:
                    self._inbox.commit(NAME, log[position:], str(len(log)))
                self.online = True
            await self._account.arrived.wait()

    async def send(self, parcel: Parcel) -> str:
        await asyncio.sleep(LATENCY_S)
        if not self._account.reachable:
            raise RetryLater("matrix.unreachable", "The homeserver does not answer.", 1.0)
        if parcel.plane == "room" and not self._network.joined(self.address):
            raise Refused("matrix.forbidden", "You are not in the room.")
        return self._network.take(self.address, parcel)

    async def store_chunk(self, data: bytes) -> str:
        await asyncio.sleep(LATENCY_S)
        self._network.chunk_fault()
        uri = f"mxc://example.org/{len(self._network.chunks)}"
        self._network.chunks[uri] = data
        return uri

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        await asyncio.sleep(LATENCY_S)
        self._network.chunk_fault()
        if uri not in self._network.chunks:
            raise Refused("matrix.not_found", "There is nothing at that address.")
        self._network.fetched.append((self.address, uri))
        return self._network.chunks[uri][: most + 1]

    async def close(self) -> None:
        self.online = False

    def direct_event(self, carrier: str) -> str:
        return writing.direct_event(addresses.user_id(self.address), carrier)

    def carriers(self, delivery: Delivery) -> list[object]:
        return reading.carriers(delivery)

    def person_text(self, delivery: Delivery) -> PersonText | None:
        return reading.person_text(delivery, addresses.user_id(self.address), self._display_name)

    def thread_root(self, delivery: Delivery) -> str:
        return reading.thread_root(delivery)


def no_store() -> None:
    """The ``chunk_fault`` of a homeserver without a media repository."""
    raise Refused("matrix.unrecognized", "There is no media repository.")


# Who can open what: a test reads every direct message as the one it is for.
_SEAL_KEYS: dict[str, tuple[SealKey, str]] = {}


def lend_key(seal: SealKey, did: str) -> None:
    """Let tests read what is sealed to this key of this identity."""
    _SEAL_KEYS[seal.public] = (seal, did)


def messages_of(event: dict[str, Any]) -> list[Message]:
    """The messages an event carries that verify, those sealed to a key of the test's own opened."""
    found = []
    for carrier in event["content"].get(binding.CARRIERS, ()):
        try:
            found.append(verify(_opened(event, carrier)))
        except (RemoteProtocolError, UnicodeEncodeError):
            continue
    return found


def _opened(event: dict[str, Any], carrier: Any) -> bytes:
    text = json.dumps(carrier, ensure_ascii=False, separators=(",", ":")).encode()
    if event["type"] != binding.DIRECT or not isinstance(carrier, dict) or carrier.get("seal_key") not in _SEAL_KEYS:
        return text
    seal, did = _SEAL_KEYS[carrier["seal_key"]]
    return open_carrier(text, (seal,), did)
