"""Where transports are put to the test of their contract: a room on real parts, and a way to cut them off from it.

A new transport is one more world, and a line in ``WORLDS``.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec

from bots import identity as identities
from bots.homeserver import Homeserver
from bots.identity import Identity
from bots.node.node import Node
from bots.transports import Parcel
from bots.transports.activitypub.config import ActivityPubConfig
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.transport import ActivityPubTransport, Pace
from bots.transports.http.config import HttpConfig
from bots.transports.http.transport import HttpTransport
from bots.transports.lan.candidates import Endpoint
from bots.transports.lan.config import LanConfig
from bots.transports.lan.interfaces import Interface, interfaces
from bots.transports.lan.proving import ask
from bots.transports.lan.transport import LanTransport
from bots.transports.matrix.addresses import room_uri
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.transport import MatrixTransport
from clawnet_proto.families import presence
from clawnet_proto.families.identity import Rotate
from clawnet_proto.wire import Record
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.hub.conftest import RealClock, Running
from tests.proto.authoring import Author
from tests.proto.samples import announce
from tests.transports.actor_keys import lay_keys
from tests.transports.conftest import Front
from tests.transports.relay import Relay
from tests.transports.resident import Resident


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Parts(msgspec.Struct, frozen=True):
    """What the tests have running already."""

    homeserver: Homeserver
    new_account: NewAccount
    new_client: NewClient
    new_room: NewRoom


class World(Protocol):
    """One room that residents can be in."""

    room: str  # its URI

    async def resident(self, name: str) -> Resident:
        """Somebody new in the room, running."""

    async def cut(self) -> None:
        """Nobody reaches anything any more."""

    async def heal(self) -> None: ...


class Words:
    """Ever new announces of one author, signed: any server takes these."""

    def __init__(self, name: str, room: str) -> None:
        self._author = Author(name)
        self._room = room
        self._revisions = itertools.count(1)

    def carrier(self, bytes_of_text: int = 0, address: str = "") -> str:
        body = announce(
            self._author,
            next(self._revisions),
            **({"description": "x" * bytes_of_text} if bytes_of_text else {}),
            **({"addresses": (presence.Address(uri=address),)} if address else {}),
        )
        return self._author.carrier(body, room=self._room, sent_ms=now_ms()).decode()


class MatrixWorld:
    """A room on Synapse."""

    def __init__(
        self, stack: AsyncExitStack, front: Front, new_account: NewAccount, folder: Path, room_id: str
    ) -> None:
        self._stack, self._front, self._new_account, self._folder = stack, front, new_account, folder
        self._room_id = room_id
        self.room = room_uri(room_id)

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path, parts: Parts) -> MatrixWorld:
        front = Front(parts.homeserver.url)
        await front.start()
        stack.push_async_callback(front.stop)
        room_id = await parts.new_room(await parts.new_client("owner"))
        return cls(stack, front, parts.new_account, folder, room_id)

    async def resident(self, name: str) -> Resident:
        account = await self._new_account(name)
        settings = MatrixConfig(homeserver=self._front.url, user=account.user_id, rooms=(self._room_id,))
        resident = Resident(
            self._folder / account.name,
            lambda own: MatrixTransport(
                settings, own.directory, lambda: account.password, own, now_ms,
                on_joined=own.on_joined, on_online=own.on_online,
            ),
        )  # fmt: skip
        self._stack.push_async_callback(resident.stop)
        await resident.start()
        await resident.until(lambda: any(room.uri == self.room for room in resident.joined))
        return resident

    async def cut(self) -> None:
        await self._front.stop()

    async def heal(self) -> None:
        await self._front.start()


class HttpWorld:
    """A room on a hub."""

    def __init__(self, stack: AsyncExitStack, hub: Running, folder: Path) -> None:
        self._stack, self._hub, self._folder = stack, hub, folder
        self.room = hub.room()

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path, _parts: Parts) -> HttpWorld:
        clock = RealClock(now_ms() - round(time.monotonic() * 1000))
        hub = Running(folder / "hub.sqlite", clock)
        await hub.start()
        stack.push_async_callback(hub.stop)
        return cls(stack, hub, folder)

    async def resident(self, name: str) -> Resident:
        own: Identity = identities.create(self._folder / name / "keys")
        settings = HttpConfig(hub=self._hub.base, rooms=("clawnet",))
        resident = Resident(
            self._folder / name,
            lambda other: HttpTransport(
                settings, lambda: own, other, now_ms, on_joined=other.on_joined, on_online=other.on_online
            ),
        )
        self._stack.push_async_callback(resident.stop)
        await resident.start()
        author = Author(name)
        author.key, author.did = own.key, own.did
        body = announce(author, addresses=(presence.Address(uri=resident.address),))
        carrier = author.carrier(body, room=self.room, sent_ms=now_ms()).decode()
        await resident.transport.send(Parcel(txn=f"here-{name}", plane="room", room=self.room, carriers=(carrier,)))
        await resident.until(lambda: resident.transport.is_member(self.room, resident.address))
        return resident

    async def cut(self) -> None:
        await self._hub.stop()

    async def heal(self) -> None:
        await self._hub.start()


class ActivityPubWorld:
    """Actors that follow each other."""

    room = PUBLIC
    pace = Pace(backoff_s=(0.02, 0.1), find_s=(0.02, 0.1), check_s=(0.02, 0.1), checked_s=0.1)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._relays: list[Relay] = []
        self._residents: list[Resident] = []

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path, _parts: Parts | None = None) -> ActivityPubWorld:
        opened = cls(folder)
        stack.push_async_callback(opened.close)
        return opened

    async def close(self) -> None:
        for resident in self._residents:
            await resident.stop()
        for relay in self._relays:
            await relay.stop()

    async def resident(self, name: str, **settings: Any) -> Resident:
        own: Identity = identities.create(self._folder / name / "keys")
        relay = Relay(lambda: resident.transport.port)  # type: ignore[attr-defined]
        await relay.start()
        self._relays.append(relay)
        usual: dict[str, Any] = {"follow": tuple(other.address for other in self._residents), "allow_private": True}
        config = ActivityPubConfig(host=relay.url, name=name, listen=("127.0.0.1", 0), **(usual | settings))
        lay_keys(self._folder / name / "activitypub", len(self._relays) + 100)
        resident = Resident(
            self._folder / name,
            lambda other: ActivityPubTransport(
                config, other.directory, lambda: own, other, now_ms,
                on_joined=other.on_joined, on_online=other.on_online, pace=self.pace,
            ),
        )  # fmt: skip
        others = [] if "follow" in settings else list(self._residents)
        self._residents.append(resident)
        await resident.start()
        author = Author(name)
        author.key, author.did = own.key, own.did
        body = announce(author, addresses=(presence.Address(uri=resident.address),))
        carrier = author.carrier(body, room=self.room, sent_ms=now_ms()).decode()
        await resident.transport.send(Parcel(txn=f"here-{name}", plane="room", room=self.room, carriers=(carrier,)))
        for other in others:
            await resident.until(partial(self._know, resident, other))
        return resident

    def _know(self, new: Resident, old: Resident) -> bool:
        """Whether these are members to each other, and the past of the older one is read."""
        assert isinstance(new.transport, ActivityPubTransport)
        contacts = new.transport._contacts
        read = contacts.followed(old.address) is not None and contacts.knows_past(old.address)
        members = (one.transport.is_member(self.room, other.address) for one, other in ((new, old), (old, new)))
        return read and all(members)

    async def cut(self) -> None:
        for relay in self._relays:
            relay.cut()
        for resident in self._residents:
            await resident.until(partial(_is_cut_off, resident))

    async def heal(self) -> None:
        for relay in self._relays:
            relay.heal()


class LanWorld:
    """A room of the local network, which is loopback; its name is nobody else's.

    Multicast takes a second or two: who comes is told at once who is there, unless it must be found ``by_dns``.
    """

    def __init__(self, stack: AsyncExitStack, folder: Path, *, by_dns: bool = False) -> None:
        self._folder, self._by_dns = folder, by_dns
        self._name = f"test-{secrets.token_hex(8)}"
        self.room = f"lan:{self._name}"
        self._residents: list[Resident] = []
        self._nodes: dict[str, Node] = {}  # by identity
        self._opened: list[Resident] = []
        self._plugged = True
        stack.push_async_callback(self._close)

    async def _close(self) -> None:
        await asyncio.gather(*(resident.stop() for resident in self._opened))

    @classmethod
    async def open(cls, stack: AsyncExitStack, folder: Path, _parts: Parts) -> LanWorld:
        return cls(stack, folder)

    def _interfaces(self) -> Sequence[Interface]:
        return interfaces(("lo",)) if self._plugged else ()

    def _transport(self, own: Identity, resident: Resident) -> LanTransport:
        node = self._nodes[own.did] = Node(resident.directory / "lan.sqlite", lambda: own, 0, now_ms)
        return LanTransport(
            LanConfig(rooms=(self._name,)), lambda: own, resident, now_ms, node, self._interfaces,
            on_joined=resident.on_joined, on_online=resident.on_online, look_s=0.05, browse_s=0.2,
        )  # fmt: skip

    async def resident(self, name: str, *, mutual: bool = True, rotations: int = 0) -> Resident:
        """``mutual``: once it and all others know each other."""
        own: Identity = identities.create(self._folder / name / "keys")
        for since_ms in range(rotations):
            own = identities.rotate(self._folder / name / "keys", since_ms)
        resident = Resident(self._folder / name, lambda other: self._transport(own, other))
        self._opened.append(resident)
        await resident.start()
        if not self._by_dns:
            await self._introduce(own.did)
        author = Author(name)
        author.key, author.did = own.key, own.did
        bodies: list[Record] = [announce(author, addresses=(presence.Address(uri=resident.address),))]
        if own.chain:
            bodies.insert(0, Rotate(chain=own.chain, next_key_digest=own.next_key_digest))
        carriers = tuple(
            author.carrier(body, kid=own.key.did, room=self.room, sent_ms=now_ms()).decode() for body in bodies
        )
        await resident.transport.send(Parcel(txn=f"here-{name}", plane="room", room=self.room, carriers=carriers))
        self._residents.append(resident)
        for one, other in itertools.product(self._residents, self._residents) if mutual else ():
            await one.until(partial(one.transport.is_member, self.room, other.address))
        return resident

    async def _introduce(self, new: str) -> None:
        """Ask the new one who it is, as everybody does who is here."""
        async with aiohttp.ClientSession() as session:
            for other, node in self._nodes.items():
                if other != new and node.port:
                    await ask(session, Endpoint("127.0.0.1", self._nodes[new].port), new, other, node.port)

    async def cut(self) -> None:
        self._plugged = False
        for resident in self._residents:
            await resident.until(partial(_is_cut_off, resident))

    async def heal(self) -> None:
        self._plugged = True


def _is_cut_off(resident: Resident) -> bool:
    return not resident.transport.online


WORLDS: Mapping[str, type[ActivityPubWorld | HttpWorld | LanWorld | MatrixWorld]] = {
    "activitypub": ActivityPubWorld,
    "http": HttpWorld,
    "lan": LanWorld,
    "matrix": MatrixWorld,
}


@asynccontextmanager
async def world(kind: str, folder: Path, parts: Parts) -> AsyncIterator[World]:
    """A world of this kind, until the end."""
    async with AsyncExitStack() as stack:
        yield await WORLDS[kind].open(stack, folder, parts)
