"""Where transports are put to the test of their contract: a room on real parts, and a way to cut them off from it.

A new transport is one more world, and a line in ``WORLDS``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from bots import identity as identities
from bots.homeserver import Homeserver
from bots.identity import Identity
from bots.transports import Parcel
from bots.transports.http.config import HttpConfig
from bots.transports.http.transport import HttpTransport
from bots.transports.matrix.addresses import room_uri
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.transport import MatrixTransport
from clawnet_proto.families import presence
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.hub.conftest import RealClock, Running
from tests.proto.authoring import Author
from tests.proto.samples import announce
from tests.transports.conftest import Front
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


WORLDS: Mapping[str, type[MatrixWorld | HttpWorld]] = {"matrix": MatrixWorld, "http": HttpWorld}


@asynccontextmanager
async def world(kind: str, folder: Path, parts: Parts) -> AsyncIterator[World]:
    """A world of this kind, until the end."""
    async with AsyncExitStack() as stack:
        yield await WORLDS[kind].open(stack, folder, parts)
