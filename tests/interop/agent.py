"""An agent of ours with an actor, served by ``https`` through a proxy, as it would be in the world."""

from __future__ import annotations

import itertools
import shutil
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

from bots import identity as identities
from bots.transports import Parcel
from bots.transports.activitypub.config import ActivityPubConfig
from bots.transports.activitypub.fetcher import Fetcher
from bots.transports.activitypub.keys import open_keys
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.transport import ActivityPubTransport, Pace
from bots.transports.activitypub.verification import Verifier
from clawnet_proto.families import presence
from clawnet_proto.signing import digest
from tests.interop.front import Certified, Front
from tests.proto.authoring import Author
from tests.proto.samples import announce
from tests.transports.resident import Resident
from tests.transports.worlds import now_ms

_KEYS = "activitypub"
_PACE = Pace(backoff_s=(0.05, 0.2), find_s=(0.05, 0.2))


class Agent:
    """``actor`` is its id. ``fetcher`` and ``verifier`` are by the parts and the keys that it has itself."""

    def __init__(self, name: str, folder: Path, certified: Certified) -> None:
        self.name = name
        self.trust = ssl.create_default_context(cafile=certified.trust)
        self._folder = folder
        self._front = Front(certified)
        self._revisions = itertools.count(1)
        self._stack = AsyncExitStack()

    async def start(self, settings: dict[str, Any]) -> None:
        base = await self._front.start()
        self._stack.push_async_callback(self._front.stop)
        config = ActivityPubConfig(
            host=base, name=self.name, listen=("127.0.0.1", 0), allow_private=True,
            self_check=False, **settings,
        )  # fmt: skip
        own = identities.create(self._folder / "keys")
        self.author = Author(self.name)
        self.author.key, self.author.did = own.key, own.did
        self.resident = Resident(
            self._folder,
            lambda resident: ActivityPubTransport(
                config, resident.directory, lambda: own, resident, now_ms,
                on_joined=resident.on_joined, on_online=resident.on_online, pace=_PACE,
            ),
        )  # fmt: skip
        self._stack.push_async_callback(self.resident.stop)
        self.names = self.transport.names
        self.actor = self.names.actor
        await self._start()
        self.fetcher = Fetcher(self.keys, self.names.main_key, now_ms, allow_private=True)
        self._stack.push_async_callback(self.fetcher.close)
        self.verifier = Verifier(self.fetcher, self.actor, now_ms, now_ms)
        self._stack.push_async_callback(self.verifier.close)

    async def _start(self) -> None:
        await self.resident.start()
        self._front.behind = self.transport.port
        self.keys = open_keys(self._folder / _KEYS)

    async def restart_with_new_keys(self) -> None:
        """Start again as if somebody had lost the keys of its actor; it remembers all else."""
        await self.resident.stop()
        shutil.rmtree(self._folder / _KEYS)
        self.resident.open()
        await self._start()

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def transport(self) -> ActivityPubTransport:
        assert isinstance(self.resident.transport, ActivityPubTransport)
        return self.resident.transport

    def followers(self) -> list[str]:
        """The actors that follow it."""
        return list(self.transport._contacts.followers())

    def follows(self) -> dict[str, str]:
        """The actors that it follows or asked to, and how far that is."""
        return {one.actor: one.state for one in self.transport._contacts.following()}

    def arrived(self) -> list[Any]:
        """The deliveries of what others said."""
        return [delivery for delivery in self.resident.received if delivery.sender != self.actor]

    def carrier(self) -> str:
        """An announce of its own, ever newer."""
        body = announce(self.author, next(self._revisions), addresses=(presence.Address(uri=self.actor),))
        return self.author.carrier(body, room=PUBLIC, sent_ms=now_ms()).decode()

    async def announce(self, text: str) -> str:
        """Announce itself, with these words for people; returns the carrier."""
        carrier = self.carrier()
        parcel = Parcel(txn=digest(carrier.encode()), plane="room", room=PUBLIC, carriers=(carrier,), body=text)
        await self.transport.send(parcel)
        return carrier


class NewAgent(Protocol):
    async def __call__(self, name: str, **settings: Any) -> Agent:
        """A running agent of this name; ``settings`` are those of its actor."""
