"""Several transports as one: what an agent is on at the same time (spec/02-messages.md, "Planes").

A room may be carried by several of them, and a peer be reached by several. What is said in a room goes by all that
carry it; the fold counts a message once whichever way it came.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from bots.backoff import delay_s
from bots.errors import Fatal, Refused, RetryLater, TransportError
from bots.transports import Delivery, EncryptionHealth, PersonText, Room, Transport
from clawnet_proto.bindings import CARRIERS

log = logging.getLogger(__name__)

T = TypeVar("T")

_PLACES: Mapping[str, str] = {
    "matrix": "The homeserver",
    "http": "The hub",
    "activitypub": "This agent's own address",
    "lan": "The local network",
}

_BACKOFF_S = (1.0, 60.0)


class Together:
    """``given`` are the transports, the preferred one first; there is at least one, and each has a name of its own.

    ``ways`` are those of them that can go on; ``failures`` tells, by name, what ended the others.
    """

    def __init__(self, given: Sequence[Transport]) -> None:
        self.given = self.ways = tuple(given)
        self.failures: dict[str, Fatal] = {}
        self._by_name: Mapping[str, Transport] = {way.name: way for way in given}
        self._connected: set[str] = set()
        self._closing = asyncio.Event()
        self._plain: set[tuple[str, str]] = set()  # told: rooms, and transports that would make them readable

    # -- who and where we are --------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The one address to name us by, where there is space for one only."""
        return self.ways[0].address

    @property
    def online(self) -> bool:
        """Whether any of them is."""
        return any(way.online for way in self.ways)

    @property
    def all_online(self) -> bool:
        """Whether all are that can go on."""
        return all(way.online for way in self.ways)

    @property
    def place(self) -> str:
        """What people know as the other side of the first transport, at the beginning of a sentence."""
        return _PLACES[self.given[0].name]

    @property
    def encryption(self) -> EncryptionHealth:
        """Of the transport that has encrypted rooms."""
        told = [way.encryption for way in self.ways]
        return next((health for health in told if health.on or health.fingerprint), told[0])

    def rooms(self) -> Sequence[Room]:
        """Every room we are in, once, as the first transport that carries it knows it."""
        known: dict[str, Room] = {}
        for way in self.ways:
            for room in way.rooms():
                known.setdefault(room.uri, room)
        return tuple(known.values())

    def is_member(self, room: str, address: str) -> bool:
        """Whether any transport knows this address as a member of this room."""
        return any(way.is_member(room, address) for way in self.ways)

    def carrying(self, room: str) -> Sequence[Transport]:
        """The transports by which we speak in a room; the first of all where none carries it just now.

        Where one of them encrypts the room, the others would make it readable to all (MX-27).
        """
        known = {way: next((one for one in way.rooms() if one.uri == room), None) for way in self.ways}
        carriers = {way: one for way, one in known.items() if one is not None}
        encrypting = [way for way, one in carriers.items() if one.encrypted]
        for way in carriers.keys() - encrypting if encrypting else ():
            if (room, way.name) not in self._plain:
                self._plain.add((room, way.name))
                log.warning("%s is encrypted: nothing is said in it by %s", room, way.name)
        return encrypting or list(carriers) or self.ways[:1]

    def towards(self, address: str) -> Transport | None:
        """The transport by which an address is reached, None if we have none for it."""
        return next((way for way in self.ways if way.reaches(address)), None)

    def named(self, name: str) -> Transport | None:
        return self._by_name.get(name)

    # -- life ------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect all. Raises Fatal if one never can, or RetryLater if none can now: the others are tried on."""
        tried = await asyncio.gather(*(way.connect() for way in self.given), return_exceptions=True)
        errors = [error for error in tried if isinstance(error, BaseException)]
        for error in errors:
            if not isinstance(error, RetryLater) or len(errors) == len(self.given):
                raise error
            log.warning("%s Going on without it until it answers.", error.message)
        self._connected |= {
            way.name for way, error in zip(self.given, tried, strict=True) if not isinstance(error, BaseException)
        }

    async def run(self) -> None:
        """Receive by all until ``close``. Raises Fatal when none can go on."""
        try:
            async with asyncio.TaskGroup() as group:
                for way in self.given:
                    group.create_task(self._run(way), name=f"run {way.name}")
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _run(self, way: Transport) -> None:
        try:
            if len(self.given) > 1:
                await self._reached(way)
            if not self._closing.is_set():
                await way.run()
        except Fatal as error:
            self.give_up(way.name, error)

    def give_up(self, name: str, error: Fatal) -> None:
        """A transport cannot go on. Raises ``error`` if no other one can."""
        self.failures[name] = error
        if len(self.failures) == len(self.given):
            raise error
        self.ways = tuple(way for way in self.given if way.name not in self.failures)
        log.error("%s is given up until the next start: %s", name, error)

    async def _reached(self, way: Transport) -> None:
        """Connect what could not be reached at the start."""
        tries = 0
        while way.name not in self._connected and not self._closing.is_set():
            try:
                await way.connect()
                self._connected.add(way.name)
            except RetryLater as error:
                try:
                    async with asyncio.timeout(error.after_s or delay_s(tries, _BACKOFF_S, random.random)):
                        await self._closing.wait()
                except TimeoutError:
                    tries += 1

    async def close(self) -> None:
        """Close all; idempotent."""
        self._closing.set()
        closed = await asyncio.gather(*(way.close() for way in self.given), return_exceptions=True)
        for error in closed:
            if isinstance(error, BaseException):
                raise error

    # -- chunks ----------------------------------------------------------------------------------------------

    async def store_chunk(self, room: str, address: str, data: bytes) -> str:
        """Store a chunk where somebody in a room can fetch it, by the address; "" for anybody there.

        Raises RetryLater, Refused, Fatal.
        """
        near = self.towards(address) if address else None
        others = [way for way in self.carrying(room) if way is not near]
        return await self._first([near, *others] if near else others, lambda way: way.store_chunk(data))

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        """Fetch a chunk by whichever transport knows such a URI. Raises RetryLater, Refused, Fatal."""
        return await self._first(self.ways, lambda way: way.fetch_chunk(uri, most))

    @staticmethod
    async def _first(ways: Sequence[Transport], attempt: Callable[[Transport], Awaitable[T]]) -> T:
        """What the first transport gives that can. Raises what the first of them said if none can."""
        errors: list[TransportError] = []
        for way in ways:
            try:
                return await attempt(way)
            except (Refused, RetryLater) as error:
                errors.append(error)
        raise next((error for error in errors if isinstance(error, RetryLater)), errors[0])

    # -- what events hold ------------------------------------------------------------------------------------

    def carriers(self, delivery: Delivery) -> list[object]:
        """As ``Transport.carriers``, also of what came by a transport that we are not on any more."""
        way = self.named(delivery.transport)
        if way is not None:
            return way.carriers(delivery)
        read = CARRIERS.get(delivery.transport)
        return [] if read is None else read(delivery.event, delivery.plane)

    def person_text(self, delivery: Delivery) -> PersonText | None:
        """As ``Transport.person_text``."""
        way = self.named(delivery.transport)
        return None if way is None else way.person_text(delivery)

    def thread_root(self, delivery: Delivery) -> str:
        """As ``Transport.thread_root``."""
        way = self.named(delivery.transport)
        return "" if way is None else way.thread_root(delivery)
