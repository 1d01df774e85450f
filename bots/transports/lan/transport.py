"""The local network as one of the agent's transports (spec/bindings/lan.md)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from bots.complaints import Complaints
from bots.errors import ConfigError, Refused, RetryLater
from bots.identity import Identity
from bots.serving.limits import Allowance, Meters
from bots.transports import Delivery, EncryptionHealth, Inbox, Parcel, PersonText, Room
from bots.transports.http.backlog import Backlog
from bots.transports.http.feed import Piece, Said, direct_event, raw_event
from bots.transports.http.position import Place
from bots.transports.http.wire import BODY_MOST, body_of
from bots.transports.lan.candidates import Node
from bots.transports.lan.config import LanConfig
from bots.transports.lan.discovery import Discovery
from bots.transports.lan.interfaces import Interface, Interfaces
from bots.transports.lan.neighbours import Neighbours
from bots.transports.lan.own import OwnNode
from bots.transports.lan.position import Position
from clawnet_proto.bindings import lan

log = logging.getLogger(__name__)

NAME = "lan"

_LOOK_S: Final = 2.0  # between two looks at the machine's networks
_BROWSE_S: Final = 1.5  # how long to hear who is here, before we are: an answer may come a second late
_SETTLE_S: Final = 5.0  # what is left of those that were heard of
_NO_NETWORK: Final = "This machine is in no local network now."
_PACE: Final = Allowance(4000, 10)  # of what nodes at one address say, in pieces of 4 KiB: 600 a minute
_PIECE: Final = 4096
_BACKLOG_MOST: Final = 8 << 20  # bytes that were read of all nodes together, and are not committed yet


class LanTransport:
    """One identity on the local network as a ``bots.transports.Transport``. ``clock`` gives Unix milliseconds.

    ``node`` serves what we say, ``interfaces`` tells the networks that we are in now. ``on_joined`` is called for
    every room, ``on_online`` when we are on the network and know who else is, and when we are no longer.
    """

    name = NAME
    device = "inbox"
    encryption = EncryptionHealth()

    def __init__(
        self,
        config: LanConfig,
        own: Callable[[], Identity],
        inbox: Inbox,
        clock: Callable[[], int],
        node: OwnNode,
        interfaces: Interfaces,
        *,
        on_joined: Callable[[Room], None] | None = None,
        on_online: Callable[[bool], None] | None = None,
        chance: Callable[[], float] = random.random,
        look_s: float = _LOOK_S,
        browse_s: float = _BROWSE_S,
    ) -> None:
        config.check()
        self._config = config
        self.own = own
        self.clock = clock
        self.chance = chance
        self._inbox = inbox
        self._node = node
        self._interfaces = interfaces
        self._on_joined = on_joined
        self._on_online = on_online
        self._look_s = look_s
        self._browse_s = browse_s
        self._did = own().did
        self.address = lan.address(self._did)
        self.position = Position.read(NAME, inbox.position)
        self._rooms: list[str] = []
        self._own_words: dict[str, asyncio.Task[None]] = {}  # by room
        self._neighbours = Neighbours(self, node, self._spawn)
        self._discovery = Discovery(self._did, self._neighbours.found)
        self._pace = Meters(_PACE)
        self.backlog = Backlog(_BACKLOG_MOST)
        self.complaints = Complaints(log, lambda: time.monotonic_ns() // 1_000_000)
        self._near: tuple[Interface, ...] | None = None  # where we are, None before the first look
        self._told = ""  # what is wrong with the network
        self._changed = asyncio.Event()  # what is said of us must be said anew
        self._online = False
        self._failed: asyncio.Future[None] | None = None
        self._closing = False
        self._ended = asyncio.Event()

    @property
    def online(self) -> bool:
        return self._online

    def rooms(self) -> Sequence[Room]:
        return [self._room(uri) for uri in self._rooms] if self._failed is not None else []

    def rooms_now(self) -> Sequence[str]:
        return tuple(self._rooms)

    def _room(self, uri: str) -> Room:
        members = sum(self._is_here(lan.identity(address)) for address in self._node.members(uri))
        return Room(uri=uri, name=uri.removeprefix("lan:"), public=True, encrypted=False, members=members)

    def is_member(self, room: str, address: str) -> bool:
        return room in self._rooms and self._is_here(lan.identity(address)) and self._node.is_member(room, address)

    def _is_here(self, did: str) -> bool:
        return did == self._did or self._neighbours.is_here(did)

    def reaches(self, address: str) -> bool:
        return bool(lan.identity(address))

    async def connect(self) -> None:
        """See that there is a network; nobody has to be there before us. Raises RetryLater."""
        if not self._interfaces():
            raise RetryLater("lan.unreachable", _NO_NETWORK, 0.0)

    async def join(self, room: str) -> Room:
        uri = self._config.room(room)
        if uri not in self._rooms and not self._closing:
            if len(self._rooms) >= lan.ROOMS_MOST:
                raise Refused("lan.rooms", f"A node is in no more than {lan.ROOMS_MOST} rooms.")
            self._rooms.append(uri)
            if uri not in self.position.joined_ms:
                self.position.joined_ms[uri] = self.clock()
                self._inbox.commit(NAME, (), self.position.rooms())
            if self._failed is not None:
                self._enter(uri)
                self._changed.set()
        return self._room(uri)

    # -- life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        if self._closing:
            return
        self._failed = asyncio.get_running_loop().create_future()
        networks: asyncio.Task[None] | None = None
        try:
            await self._node.open(self.rooms_now, partial(self._neighbours.contact, called=True))
            for name in self._config.rooms:
                await self.join(name)
            for uri in self._rooms:
                self._enter(uri)
            networks = self._spawn(self._watch, "watch networks")
            await self._failed
        finally:
            try:
                await self._leave(networks)
            finally:
                self._ended.set()

    async def _leave(self, networks: asyncio.Task[None] | None) -> None:
        """Let others have what we said, then vanish."""
        tasks = [*filter(None, [networks]), *self._own_words.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._neighbours.close()
        await asyncio.gather(self._node.close(), self._discovery.close())

    def _spawn(self, part: Callable[[], Coroutine[Any, Any, None]], name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._guarded(part), name=name)

    async def _guarded(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What ends one part of the run ends all of it."""
        try:
            await part()
        except Exception as error:
            if self._failed is None or self._failed.done():
                raise
            self._failed.set_exception(error)

    async def close(self) -> None:
        self._closing = True
        if self._failed is None:
            await self._node.close()
            return
        if not self._failed.done():
            self._failed.set_result(None)
        await self._ended.wait()

    # -- networks --------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Be on every network that comes, and on none that is gone."""
        while True:
            near = tuple(self._interfaces())
            if near != self._near or self._changed.is_set():
                self._changed.clear()
                await self._move(near)
            if self._near and not self._online:
                await self._settle()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._changed.wait()

    async def _move(self, near: tuple[Interface, ...]) -> None:
        """Be on these networks from now on."""
        broken = not set(self._near or ()) <= set(near)
        self._near = near
        try:
            await self._node.listen([one.address for one in near])
            await (self._discovery.open(near, self._node.port, self._rooms) if near else self._discovery.close())
        except (ConfigError, OSError) as error:
            await self._discovery.close()
            self._near = None  # to be tried again
            self._go_offline(f"The local network cannot be used: {error}")
            return
        self._neighbours.moved(near, broken=broken)
        if near:
            log.info("On the local network at %s", ", ".join(f"{one.address}:{self._node.port}" for one in near))
        else:
            self._go_offline(_NO_NETWORK)

    async def _settle(self) -> None:
        """Hear who is here, and what they said."""
        for did, read in list(self.position.nodes.items()):
            address, _, port = read.at.rpartition(":")
            if port.isdecimal():
                self._neighbours.contact(did, address, int(port))
        await asyncio.sleep(self._browse_s)
        await self._neighbours.settled(_SETTLE_S)
        self._online, self._told = True, ""
        if self._on_online is not None:
            self._on_online(True)

    def _go_offline(self, why: str) -> None:
        if why != self._told:
            self._told = why
            log.warning("%s Trying again until it is there.", why)
        if self._online:
            self._online = False
            if self._on_online is not None:
                self._on_online(False)

    # -- receiving -------------------------------------------------------------------------------------------

    def _enter(self, room: str) -> None:
        """Read what we say there ourselves, and tell that we are in it."""
        if room in self._own_words:
            return
        self._own_words[room] = self._spawn(partial(self._read_own, room), f"own words in {room}")
        if self._on_joined is not None:
            self._on_joined(self._room(room))

    async def _read_own(self, room: str) -> None:
        async for piece in self._node.own_words(room, self.position.place(self._did, room).after):
            self._commit(self._did, room, piece, lambda _: True)

    async def pace(self, address: str, bytes_: int, events: int) -> None:
        pieces = events + bytes_ / _PIECE
        while wait_s := self._pace.wait_s(address, pieces, asyncio.get_running_loop().time()):  # noqa: ASYNC110
            await asyncio.sleep(wait_s)

    async def take(self, node: Node, room: str, piece: Piece, ahead_ms: int) -> None:
        known = self.position.place(node.did, room)
        # What it said before we were ever in this room is context; that it was found late is nobody's fault.
        since_ms = self.position.joined_ms.get(room, 0) + ahead_ms  # by its clock
        network = node.endpoints[0].address
        if room:
            for _, said in piece.said:
                self._node.heard(room, node.did, _parsed(said.carriers), network)
        self._commit(node.did, room, piece, lambda said: not room or known.past or said.received_ms >= since_ms)

    def begin_anew(self, node: Node, room: str) -> None:
        self.position.put(node.did, room, Place("", self.position.place(node.did, room).past))

    def _commit(self, did: str, room: str, piece: Piece, live: Callable[[Said], bool]) -> None:
        deliveries = [
            Delivery(
                transport=NAME,
                plane="room" if room else "direct",
                room=room,
                sender=said.sender,
                event_id=f"{did}/{event.id}" if room else "",
                event=raw_event(event.id, said),
                received_ms=self.clock(),
                live=live(said),
            )
            for event, said in piece.said
        ]
        past = self.position.place(did, room).past or piece.caught_up
        self.position.put(did, room, Place(piece.position, past))
        # A node forgets what it has for us once it knows that we have read it.
        part, text = self.position.part(NAME, did)
        self._inbox.commit(part, deliveries, text, durable=not deliveries or not room)

    # -- sending ---------------------------------------------------------------------------------------------

    async def send(self, parcel: Parcel) -> str:
        if not parcel.carriers:
            return ""  # words alone are for people, and here are none
        direct, did = parcel.plane == "direct", lan.identity(parcel.address)
        if direct and not did:
            raise Refused("lan.no_address", "That is no address on the local network.")
        body = body_of(parcel.carriers)
        if len(body) > BODY_MOST:
            raise Refused("lan.too_large", f"A node takes no more than {BODY_MOST} bytes at once.")
        if not self._near:
            raise RetryLater("lan.unreachable", _NO_NETWORK, 0.0)
        if direct:
            self._node.whisper(did, body)
            return ""
        if parcel.room not in self._rooms:
            raise Refused("lan.no_room", "We are in no such room on the local network.")
        return f"{self._did}/{self._node.say(parcel.room, body)}"

    async def store_chunk(self, data: bytes) -> str:
        return lan.chunk_uri(self._did, self._node.keep(data))

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        did, name = lan.chunk(uri)
        if not did:
            raise Refused("lan.bad_address", "That is no chunk on the local network.")
        if did != self._did:
            return await self._neighbours.fetch(did, f"chunks/{name}", most)
        data = self._node.kept(name)
        if data is None:
            raise Refused("lan.no_chunk", "That chunk is not here any more.")
        return data[: most + 1]

    # -- what events hold ------------------------------------------------------------------------------------

    def direct_event(self, carrier: str) -> str:
        return direct_event(self.address, carrier, self.clock())

    def carriers(self, delivery: Delivery) -> list[object]:
        return lan.carriers(delivery.event, delivery.plane)

    def person_text(self, delivery: Delivery) -> PersonText | None:
        return None

    def thread_root(self, delivery: Delivery) -> str:
        return ""


def _parsed(carriers: msgspec.Raw) -> list[object]:
    return lan.carriers(f'{{"carriers":{bytes(carriers).decode()}}}', "room")
