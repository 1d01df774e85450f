"""What a transport is to the agent: one small interface, one module (or package) a transport.

A transport moves *raw events* in and *parcels* out. It knows nothing of signatures, tasks or
behaviours: it hands over what arrived together with the one thing it can vouch for, the address
that sent it. Raw events are committed to the inbox together with the position they bring the
transport to, before anybody looks at them (spec/bindings).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import msgspec

Plane = Literal["room", "direct"]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One raw event as it arrived, and what the transport vouches for."""

    transport: str  # the transport's name, e.g. "matrix"
    plane: Plane
    room: str  # room URI, e.g. "matrix:roomid/abc"; "" on the direct plane
    sender: str  # address URI the transport vouches for, e.g. "matrix:u/alice:example.org"
    event_id: str  # the transport's opaque id of the event; "" on the direct plane
    event: str  # the raw event, as JSON text
    received_ms: int  # local wall clock, Unix milliseconds
    live: bool  # False: context from before our first join, never work


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """One event about to be sent: its transaction id is committed before the first try."""

    txn: str  # the same for every retry, so that a retry is never a second event
    plane: Plane
    room: str = ""  # room URI, on the room plane
    address: str = ""  # recipient's address URI, on the direct plane
    device: str = ""  # recipient's device, on the direct plane
    carriers: tuple[str, ...] = ()  # 0 to 16 carriers, each as JSON text; none: a plain notice
    body: str = ""  # what people read
    thread_root: str = ""  # event id of the thread's root, "" for none
    mention: str = ""  # address URI of a person to notify, "" for none


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a transport knows of a room it is in."""

    uri: str
    name: str  # alias or display name for people
    public: bool  # strangers can read along
    encrypted: bool
    members: int


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """Why we take part in a room no more. All texts in it are strangers'."""

    room: str  # URI
    name: str  # alias or display name for people
    code: Literal["room.left", "room.kicked", "room.banned", "room.replaced"]
    by: str = ""  # address URI of who did it, "" if that is not known
    reason: str = ""  # in the words of who did it
    successor: str = ""  # URI of the room that took its place


class EncryptionHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How reading and writing in encrypted rooms goes; counted in this run where nothing else is said."""

    on: bool = False  # whether we have an encrypted room, or ever had one
    fingerprint: str = ""  # our device's signing key, which people can compare
    unreadable: int = 0  # events that wait for their key now, also of earlier runs
    given_up: int = 0  # events that nothing can make readable, or that there was no room to keep
    history: int = 0  # events of before our time that are not for us
    recovered: int = 0  # events that were read late
    plain: int = 0  # unencrypted messages in encrypted rooms: nobody of the room need have sent them
    changed: tuple[str, ...] = ()  # devices that came back with other keys, as "@user:server DEVICE"
    lost: bool = False  # the server knows our device by keys that we do not have


class Undelivered(msgspec.Struct, frozen=True, kw_only=True):
    """What a transport that brings it to each server itself has yet to bring to one of them."""

    server: str  # its URL
    waiting: int  # deliveries
    oldest_s: float  # for how long the oldest has waited
    fault: str = ""  # what came of the last try for that one, "" if it was not tried in this run; strangers' words


class PersonText(msgspec.Struct, frozen=True, kw_only=True):
    """Plain words of a person in a room, as the transport read them from a raw event."""

    body: str  # exactly as it stands in the event
    text: str  # without the mention or the command prefix's markup
    mentions_us: bool
    thread_root: str  # the root of the thread it stands in, else its own event id
    edited: bool  # a replacement of an earlier event: never acted upon
    sent_ms: int = 0  # when it was sent, by the word of a server anywhere; 0: not told


class Inbox(Protocol):
    """Where a transport commits what arrived: deliveries and position in one transaction.

    Who has several positions names each after itself.
    """

    def commit(self, transport: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        """Commit. Without ``durable`` a power failure may take it back until a durable commit follows."""

    def position(self, transport: str) -> str | None:
        """The last committed position, or None before the first commit."""

    def had(self, transport: str, events: Collection[str]) -> Collection[str]:
        """Those of these events, by id, that were committed before; very old ones may be forgotten."""


class Transport(Protocol):
    """One way in and out. ``run`` must be going for ``Delivery`` objects to arrive."""

    name: str

    @property
    def address(self) -> str:
        """Our own address URI; known after ``connect``."""

    @property
    def device(self) -> str:
        """Our own device for direct messages; known after ``connect``."""

    @property
    def online(self) -> bool:
        """Whether the other side answered last time, and what it sent is committed."""

    @property
    def encryption(self) -> EncryptionHealth:
        """How reading and writing in encrypted rooms goes."""

    async def connect(self) -> None:
        """Log in or take up the kept session. Raises Fatal, or RetryLater if it cannot be reached."""

    async def join(self, room: str) -> Room:
        """Join a room by URI, alias or id (idempotent). Raises Refused, RetryLater or Fatal."""

    def rooms(self) -> Sequence[Room]:
        """The rooms we are in."""

    def is_member(self, room: str, address: str) -> bool:
        """Whether this address is joined to this room of ours now, as far as we know; both are URIs.

        Nobody is before the first sync since the start, and everybody who was joined at that moment is once
        ``online`` was true.
        """

    def reaches(self, address: str) -> bool:
        """Whether direct messages to this address URI go by this transport. Says nothing of who is there."""

    async def run(self) -> None:
        """Receive until ``close``; reconnects by itself. Raises Fatal when it cannot go on."""

    async def send(self, parcel: Parcel) -> str:
        """Send one parcel, return its event id ("" on the direct plane). Raises RetryLater, Refused, Fatal."""

    async def store_chunk(self, data: bytes) -> str:
        """Store a chunk of an artifact where the room's members can fetch it, and return its URI.

        Raises RetryLater, Fatal, or Refused; ``<transport>.no_store`` if this transport has nowhere to store.
        """

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        """Fetch a chunk through our own server, never reading more than ``most`` bytes and one.

        Unverified: a stranger named the URI. Raises RetryLater, Refused (also for a URI of another kind), Fatal.
        """

    async def close(self) -> None:
        """Stop ``run`` and release everything; idempotent."""

    def direct_event(self, carrier: str) -> str:
        """The raw event, as JSON text, that a direct message of ours with this carrier arrives as elsewhere."""

    def carriers(self, delivery: Delivery) -> list[object]:
        """The carriers a raw event holds, unverified, as parsed JSON; [] if it holds none. Never raises."""

    def person_text(self, delivery: Delivery) -> PersonText | None:
        """What a person wrote in this raw event, or None if it is no plain message. Never raises."""

    def thread_root(self, delivery: Delivery) -> str:
        """The event id an answer to this event must be threaded under; "" on the direct plane."""
