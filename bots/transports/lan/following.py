"""Reading one node without end, wherever it is now (spec/bindings/lan.md, LAN-9 to LAN-12)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final, Protocol
from urllib.parse import quote

import aiohttp

from bots.backoff import delay_s
from bots.complaints import Complaints
from bots.errors import Refused, RetryLater
from bots.identity import Identity
from bots.parts import until_one_ends
from bots.transports.http.backlog import Backlog
from bots.transports.http.feed import Feed, Piece
from bots.transports.http.members import Told
from bots.transports.http.wire import BODY_MOST, Wire
from bots.transports.lan.candidates import Endpoint, Node
from bots.transports.lan.position import Position
from bots.transports.lan.proving import base
from clawnet_proto.bindings import lan
from clawnet_proto.bindings.lan import Proof

log = logging.getLogger(__name__)

_BACKOFF_S = (0.5, 30.0)
_UNPROVEN_S = (2.0, 60.0)
_LEAST_S: Final = 0.2  # between two tries, whoever wants one
_LASTED_S: Final = 5.0  # what ends sooner and brought nothing was in vain
_EVENT_MOST: Final = BODY_MOST + 4096  # bytes (LAN-9)
_BUFFER: Final = 1 << 16  # bytes of a connection
_ASK_AGAIN_S = 60.0  # whether a node has come into more of our rooms
_CALL_S = (5.0, 600.0)  # between two times that a node is told where we are


class Reader(Protocol):
    """Who follows nodes."""

    own: Callable[[], Identity]
    clock: Callable[[], int]
    chance: Callable[[], float]
    position: Position
    backlog: Backlog  # of all nodes
    complaints: Complaints

    def rooms_now(self) -> Sequence[str]:
        """URIs of the rooms that we are in."""

    async def pace(self, address: str, bytes_: int, events: int) -> None:
        """So much was read at this address: returns once more may be."""

    async def take(self, node: Node, room: str, piece: Piece, ahead_ms: int) -> None:
        """Commit what was read of a node whose clock is that much ahead of ours."""

    def begin_anew(self, node: Node, room: str) -> None:
        """What lies behind our position is not there any more."""


class Following:
    """One node, which must ``prove`` itself. ``settled`` is set once it is caught up with, or was tried in vain."""

    def __init__(self, node: Node, reader: Reader, prove: Callable[[Node, Endpoint], Awaitable[Proof | None]]) -> None:
        self.node = node
        self.settled = asyncio.Event()
        self._reader = reader
        self._prove = prove
        self._nudged = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[Proof | None] | None = None
        self._at: Endpoint | None = None  # that is tried now

    def nudge(self, *, called: bool = False) -> None:
        """There is something new to try; ``called``: where it asked us from, which is tried before any record."""
        self._nudged.set()
        if called and self._trying is not None and self._at not in self.node.callers.values():
            self._trying.cancel()

    def restart(self) -> None:
        """The connections that it is read by may be broken: prove and read anew."""
        if self._reading is not None and not self._reading.cancelling():
            self._reading.cancel()
        self.nudge()

    async def run(self) -> None:
        """Raises StoreError."""
        tries = 0
        while True:
            self._nudged.clear()
            tries = 0 if await self._try() else tries + 1
            self.node.tried = True
            self.settled.set()
            await asyncio.sleep(_LEAST_S)
            within_s = _UNPROVEN_S if self.node.proven is None else _BACKOFF_S
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s(tries, within_s, self._reader.chance)):
                    await self._nudged.wait()

    async def _try(self) -> bool:
        """Read it where it first proves itself, until that ends; False if that was nowhere, or for nothing."""
        for endpoint in self.node.places():
            asked_ms = self._reader.clock()
            proof = await self._ask(endpoint)
            if proof is not None:
                ahead_ms = clock_ahead_ms(proof.now_ms, asked_ms, self._reader.clock())
                now = asyncio.get_running_loop().time
                call = partial(self._prove, self.node, endpoint)
                reading = _Reading(self.node, self._reader, endpoint, proof, ahead_ms, self.settled, call)
                began_s = now()
                await self._read_while_it_lasts(endpoint, reading)
                return reading.brought or now() - began_s >= _LASTED_S
        return False

    async def _ask(self, endpoint: Endpoint) -> Proof | None:
        """What it proves there; None also if that must wait for who calls."""
        self._at, self._trying = endpoint, asyncio.ensure_future(self._prove(self.node, endpoint))
        try:
            await asyncio.wait([self._trying])
            return None if self._trying.cancelled() else self._trying.result()
        finally:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
            self._trying = None

    async def _read_while_it_lasts(self, endpoint: Endpoint, reading: _Reading) -> None:
        log.info("%s is at %s", self.node.did, endpoint)
        self.node.here = True
        self._reading = asyncio.ensure_future(reading.run())
        try:
            # Only what it is read by is cut short by ``restart``.
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.result()
        finally:
            self.node.here = False
            self.node.seen_s = asyncio.get_running_loop().time()
            if not self._reading.cancelling():
                self._reading.cancel()  # a second time would cut its cleaning up short
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None


class _Reading:
    """A node that has proven itself, read from one endpoint."""

    def __init__(
        self, node: Node, reader: Reader, endpoint: Endpoint, proof: Proof, ahead_ms: int, settled: asyncio.Event,
        call: Callable[[], Awaitable[object]],
    ) -> None:  # fmt: skip
        self._call = call
        self._node = node
        self._reader = reader
        self._address = endpoint.address
        self._base = base(endpoint, node.did)
        self._proof = proof
        self._settled = settled
        self._ahead_ms = ahead_ms
        self._wire = Wire(self._base, reader.own, lambda: reader.clock() + self._ahead_ms, connector=_connector)
        ours = set(reader.rooms_now())
        self._left = ours & set(proof.rooms)  # not caught up with yet
        self._lasts_s = None if self._left == ours else _ASK_AGAIN_S
        self._caught_up = asyncio.Event()
        self.brought = False  # anything

    async def run(self) -> None:
        rooms = sorted(self._left)
        if not rooms:
            self._settled.set()
            await asyncio.sleep(_ASK_AGAIN_S)
            return
        parts = [self._read(room, self._room_url(room)) for room in rooms] + [self._read_own(), self._call_again()]
        if self._lasts_s is not None:
            parts.append(asyncio.sleep(self._lasts_s))
        try:
            await until_one_ends(*parts)
        finally:
            await self._wire.close()

    def _room_url(self, room: str) -> str:
        segment = room.removeprefix("lan:") if lan.is_room(room) else quote(room, safe="")
        return f"{self._base}/rooms/{segment}"

    async def _call_again(self) -> None:
        """Ask it anew from time to time, and so say where we are: it may have had no space for us."""
        for tries in count():
            await asyncio.sleep(delay_s(tries, _CALL_S, self._reader.chance))
            await self._call()

    async def _read_own(self) -> None:
        """What it has for us, once it is known whether it is a member of our rooms."""
        await self._caught_up.wait()
        await self._read("", f"{self._base}/peers/{self._reader.own().did}/{self._proof.ticket}")

    async def _read(self, room: str, url: str) -> None:
        feed = Feed(
            self._wire,
            url,
            self._reader.position.place(self._node.did, room).after,
            partial(self._take, room),
            _nobody,
            lan.address(self._node.did).__eq__,
            event_most=_EVENT_MOST,
            pace=partial(self._reader.pace, self._address),
            backlog=self._reader.backlog,
            complaints=self._reader.complaints,
        )
        try:
            await feed.read()
        except RetryLater as error:
            if error.code == "http.gone":
                self._reader.begin_anew(self._node, room)
            log.debug("%s", error)
        except Refused as error:
            log.debug("%s", error)

    async def _take(self, room: str, piece: Piece) -> None:
        self.brought = self.brought or bool(piece.said)
        await self._reader.take(self._node, room, piece, self._ahead_ms)
        if room and piece.caught_up:
            self._left.discard(room)
            if not self._left:
                self._caught_up.set()
                self._settled.set()


def clock_ahead_ms(told_ms: int, asked_ms: int, came_ms: int) -> int:
    """How far ahead a node's clock is that told the time between ``asked_ms`` and ``came_ms`` of ours (LAN-12).

    The smallest difference that is possible: clocks that agree are not taken for different because an answer was slow.
    """
    return max(told_ms - came_ms, min(0, told_ms - asked_ms))


def _nobody(_kind: str, _told: Told | None) -> None:
    """A node tells of no members but itself."""


def _connector() -> aiohttp.BaseConnector:
    """Connections whose other end may vanish without a word."""
    return aiohttp.TCPConnector(limit=0, socket_factory=_socket)


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol = info[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


# A host whose cable was out has forgotten its connections: it is asked soon.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
