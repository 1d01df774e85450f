"""The nodes around us: who is heard of is asked, who proves itself is followed (spec/bindings/lan.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

import aiohttp

from bots.errors import Refused, RetryLater
from bots.serving.limits import Allowance, Meters
from bots.transports.http.wire import Wire
from bots.transports.lan.candidates import NODES_OF_ADDRESS, Candidates, Endpoint, Node
from bots.transports.lan.following import Following, Reader
from bots.transports.lan.interfaces import Interface, is_near
from bots.transports.lan.own import OwnNode
from bots.transports.lan.proving import Unproven, ask, base
from bots.transports.lan.records import Record
from clawnet_proto.bindings.lan import Proof

log = logging.getLogger(__name__)

_AWAY_S: Final = 180.0  # who was not reached for so long is not here any more
_PROOFS_AT_ONCE: Final = 32  # of nodes that have never proven themselves
_STRAYS: Final = Allowance(32, 0.5)  # tries at a host that only records name: its owner may know nothing of them

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]], str], asyncio.Task[None]]


class Neighbours:
    """Follows nodes for ``reader``, whose own is ``own``; ``spawn`` starts what goes on in the background."""

    def __init__(self, reader: Reader, own: OwnNode, spawn: Spawn) -> None:
        self._reader = reader
        self._own = own
        self._spawn = spawn
        self._did = reader.own().did
        self._candidates = Candidates(reader.chance, lambda: asyncio.get_running_loop().time())
        self._following: dict[str, tuple[Following, asyncio.Task[None]]] = {}  # by identity
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._proofs = {called: asyncio.Semaphore(_PROOFS_AT_ONCE) for called in (False, True)}
        self._strays = Meters(_STRAYS)
        self._session: aiohttp.ClientSession | None = None
        self._near: Sequence[Interface] = ()

    async def close(self) -> None:
        """Follow nobody any more; idempotent."""
        tasks = [*(task for _, task in self._following.values()), *self._checking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._following.clear()
        self._near = ()
        if self._session is not None:
            await self._session.close()

    def moved(self, near: Sequence[Interface], *, broken: bool) -> None:
        """These are our networks from now on; ``broken``: some are gone, and connections with them."""
        self._near = near
        for following, _ in self._following.values():
            if broken:
                following.restart()
            else:
                following.nudge()

    def found(self, record: Record) -> None:
        """DNS-SD says that a node is here."""
        ours = {room.removeprefix("lan:") for room in self._reader.rooms_now()}
        if record.rooms and ours.isdisjoint(record.rooms):
            return
        for address in record.addresses:
            self.contact(record.did, address, record.port)

    def contact(self, did: str, address: str, port: int, *, called: bool = False) -> None:
        """A node may be there; ``called``: it asked us from that address."""
        if did == self._did or not is_near(address, port, self._near):
            return
        node, gone = self._candidates.space(did)
        if gone in self._following:
            self._following.pop(gone)[1].cancel()
        if node is None:
            return
        endpoint = Endpoint(address, port)
        fresh = self._candidates.called(node, endpoint) if called else node.add(endpoint)
        if did not in self._following:
            following = Following(node, self._reader, self._prove)
            self._following[did] = following, self._spawn(following.run, f"follow {did}")
        elif not node.here:
            # It was out of reach, perhaps, and is back where it was.
            self._following[did][0].nudge(called=called and fresh)
        elif fresh and did not in self._checking:
            self._checking[did] = self._spawn(partial(self._check, node, endpoint), f"look for {did}")

    async def _check(self, node: Node, endpoint: Endpoint) -> None:
        """A node that is read may have moved: then the connection that it is read by will never break."""
        try:
            if await self._prove(node, endpoint) is not None and node.did in self._following:
                self._following[node.did][0].restart()
        finally:
            del self._checking[node.did]

    def is_here(self, did: str) -> bool:
        """Whether a node is read now, or was a moment ago."""
        node = self._candidates.get(did)
        return node is not None and (node.here or asyncio.get_running_loop().time() - node.seen_s < _AWAY_S)

    async def fetch(self, did: str, path: str, most: int) -> bytes:
        """What a node that is read now has at a path of its own. Raises RetryLater, Refused."""
        node = self._candidates.get(did)
        if node is None or node.proven is None or not node.here:
            raise RetryLater("lan.unreachable", "Who has that is not on the local network now.", 0.0)
        at = base(node.proven, did)
        wire = Wire(at, None, self._reader.clock)
        try:
            return await wire.fetch(f"{at}/{path}", most)
        except RetryLater as error:
            raise RetryLater("lan.unreachable", error.message, error.after_s) from error
        except Refused as error:
            raise Refused("lan.no_chunk", error.message) from error
        finally:
            await wire.close()

    async def settled(self, timeout_s: float) -> None:
        """Once all that were heard of so far are caught up with, or were tried in vain; or after that time."""
        waiting = [asyncio.ensure_future(following.settled.wait()) for following, _ in self._following.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=timeout_s)
            for one in late:
                one.cancel()

    async def _prove(self, node: Node, endpoint: Endpoint) -> Proof | None:
        """What a node proves there, None if it does not, or is not to be read."""
        if not is_near(endpoint.address, endpoint.port, self._near) or self._is_crowded(node, endpoint):
            return None
        if node.proven is not None:
            return await self._ask(node, endpoint)
        called = endpoint in node.callers.values()
        if not called and self._strays.wait_s(endpoint.address, 1, asyncio.get_running_loop().time()):
            return None
        async with self._proofs[called]:
            return await self._ask(node, endpoint)

    async def _ask(self, node: Node, endpoint: Endpoint) -> Proof | None:
        if self._session is None:
            # What was connected by a network that is gone is of no use any more.
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        try:
            proof, proven = await ask(self._session, endpoint, node.did, self._did, self._own.port)
        except Unproven as error:
            log.debug("%s is not at %s: %s", node.did, endpoint, error)
            return None
        if not self._own.trusts(node.did, proven, endpoint.address):
            self._complain(endpoint, "What is at %s has a key that %s gave up.", node)
            return None
        if self._is_crowded(node, endpoint):  # by now
            return None
        self._candidates.shown(node, endpoint)
        self._reader.position.note(node.did, str(endpoint))
        return proof

    def _is_crowded(self, node: Node, endpoint: Endpoint) -> bool:
        """Whether as many others are read at that address as may be."""
        crowded = self._candidates.read_at(endpoint.address, node) >= NODES_OF_ADDRESS
        if crowded:
            self._complain(endpoint, "Too many nodes are at %s: %s is not read.", node)
        return crowded

    def _complain(self, endpoint: Endpoint, text: str, node: Node) -> None:
        self._reader.complaints.say(logging.WARNING, endpoint.address, text, endpoint, node.did, extra={})
