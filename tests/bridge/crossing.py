"""A room on a real homeserver and on a real hub, people who speak on either side, and bridges between them."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from bots import identity as identities
from bots.bridge.bridge import Bridge
from bots.bridge.opening import open_bridge
from bots.config import AgentSection, Config, HttpSection, MatrixSection, TrustSection
from bots.errors import ClawbotError
from bots.transports.matrix.addresses import room_uri, user_id, user_uri
from clawnet_proto.carrier import verify
from clawnet_proto.families import presence
from clawnet_proto.message import Message
from clawnet_proto.wire import Record
from tests.agent.virtual_time import until
from tests.hub.conftest import Running
from tests.hub.visitor import Visitor
from tests.matrix_client import Account, MatrixClient
from tests.proto.authoring import Author
from tests.proto.samples import announce

PATIENCE_S = 30.0
CARRIERS = "net.clawnet.carriers"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Copy:
    """A message as it stands on one side."""

    def __init__(self, carrier: Any, sender: str, event: str, content: dict[str, Any]) -> None:
        self.carrier = carrier
        self.message: Message = verify(json.dumps(carrier).encode())
        self.sender = sender  # address
        self.event = event
        self.body = content.get("body", "")
        self.root = content.get("m.relates_to", {}).get("event_id", "")  # of its thread


class Speaker(Author):
    """Somebody with a key and one address, on either side."""

    def __init__(self, name: str, room: str, address: str, post: Callable[[Sequence[bytes]], Awaitable[Any]]) -> None:
        super().__init__(name)
        self.address = address
        self.room = room
        self._post = post
        self._revision = 0

    async def post(self, *carriers: bytes) -> Any:
        return await self._post(carriers)

    async def tell(self, body: Record, **fields: Any) -> Message:
        """Sign a body now, post it, and return the message."""
        carrier = self.sign(body, **fields)
        await self.post(carrier)
        return verify(carrier)

    def sign(self, body: Record, **fields: Any) -> bytes:
        return self.carrier(body, **({"room": self.room, "sent_ms": now_ms()} | fields))

    async def announce(self, **changes: Any) -> Message:
        return await self.tell(self.announced(**changes))

    def announced(self, **changes: Any) -> presence.Announce:
        self._revision += 1
        fields = {"addresses": (presence.Address(uri=self.address),)} | changes
        return announce(self, self._revision, **fields)


class Crossing:
    """One room, home on Matrix, and as the hub carries it."""

    def __init__(self, owner: MatrixClient, room_id: str, hub: Running, session: aiohttp.ClientSession) -> None:
        self._owner = owner
        self._session = session
        self.room_id = room_id
        self.room = room_uri(room_id)
        self.hub = hub

    def beside(self, hub: Running) -> Crossing:
        """The same room, as another hub carries it."""
        return Crossing(self._owner, self.room_id, hub, self._session)

    @property
    def url(self) -> str:
        return self.hub.names.url(self.room)

    def on_matrix(self, name: str, client: MatrixClient | None = None) -> Speaker:
        client = client or self._owner

        async def post(carriers: Sequence[bytes]) -> str:
            content = {"msgtype": "m.notice", "body": name, CARRIERS: [json.loads(one) for one in carriers]}
            return await client.send(self.room_id, "m.room.message", content)

        return Speaker(name, self.room, user_uri(client.user_id), post)

    def on_hub(self, name: str, *, said_by: str = "") -> Speaker:
        """Of messages that ``said_by`` somebody else, he signs the requests."""
        visitor = Visitor(said_by or name, self.hub.base, self._session, self.hub.clock)

        async def post(carriers: Sequence[bytes]) -> tuple[int, Any]:
            visitor_signs = bool(said_by)
            return await visitor.say(self.url, *carriers, signed=visitor_signs)

        return Speaker(name, self.room, visitor.address, post)

    async def there(self, side: str) -> list[Copy]:
        """All that is said on a side, in order."""
        return await (self._on_matrix() if side == "matrix" else self._on_hub())

    async def _on_matrix(self) -> list[Copy]:
        return [
            Copy(carrier, user_uri(event["sender"]), event["event_id"], event["content"])
            for event in await self._owner.messages(self.room_id)
            for carrier in event["content"].get(CARRIERS, ())
            if "sealed" not in carrier
        ]

    async def _on_hub(self) -> list[Copy]:
        found, after = list[Copy](), ""
        while True:
            async with self._session.get(f"{self.url}?after={after}") as response:
                answer = await response.json()
            for event in answer["events"]:
                found += [Copy(carrier, event["sender"], event["id"], {}) for carrier in event["carriers"]]
            after = answer["after"]
            if answer["caught_up"]:
                return found

    async def copies(self, message: Message, side: str) -> list[Copy]:
        return [copy for copy in await self.there(side) if copy.message.id == message.id]

    async def arrived(self, message: Message, side: str) -> Copy:
        """Once a message stands on a side."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await self.copies(message, side)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return found[0]

    async def counted(self, side: str) -> Counter[str]:
        """How often each message stands on a side, by id."""
        return Counter(copy.message.id for copy in await self.there(side))

    async def kick(self, address: str) -> None:
        """Put somebody out of the room on Matrix."""
        body = {"user_id": user_id(address)}
        await self._owner.request("POST", f"/rooms/{quote(self.room_id)}/kick", body)

    async def encrypt(self) -> None:
        """Switch on encryption on Matrix."""
        content = {"algorithm": "m.megolm.v1.aes-sha2"}
        await self._owner.send_state(self.room_id, "m.room.encryption", "", content)

    async def quiet(self, *others: Speaker) -> None:
        """Once all that was said before has been carried as far as it ever will: what is said after it has been."""
        for speaker in others:
            other = "http" if speaker.address.startswith("matrix:") else "matrix"
            await self.arrived(await speaker.announce(), other)


class Crosser:
    """A bridge, and what it takes to end it and to start it again."""

    def __init__(self, crossing: Crossing, account: Account, folder: Path, name: str, room: str = "") -> None:
        self._account = account
        self._folder = folder / name
        self._running: asyncio.Future[None] | None = None
        self.config = Config(
            agent=AgentSection(name=name),
            matrix=MatrixSection(
                homeserver=account.homeserver, user=account.user_id, rooms=(room or crossing.room_id,)
            ),
            http=HttpSection(hub=crossing.hub.base),
        )

    @property
    def did(self) -> str:
        return self.own.did

    @property
    def waiting(self) -> int:
        """How much is yet to be carried, to all sides together."""
        return sum(side.waiting for side in self.bridge.report().sides.values())

    def address(self, side: str) -> str:
        return next(one.address for one in self.bridge.sides if one.name == side)

    def name(self, other: Crosser) -> None:
        """From the next start on take the other's copies for as good as one's own."""
        addresses = tuple(side.address for side in other.bridge.sides)
        self.config = msgspec.structs.replace(self.config, trust=TrustSection(bridges=addresses))

    async def open(self) -> Bridge:
        keys = self._folder / "keys"
        self.own = identities.load(keys) if identities.complete(keys) else identities.create(keys)
        self.bridge, self._file = await open_bridge(self.config, self._folder, self.own, lambda: self._account.password)
        return self.bridge

    async def start(self) -> None:
        await self.open()
        self._running = asyncio.ensure_future(self.bridge.run())
        ready = asyncio.ensure_future(self.bridge.ready.wait())
        await asyncio.wait([self._running, ready], timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._running.done():
            self._running.result()
        assert self.bridge.ready.is_set()

    async def stop(self) -> None:
        assert self._running is not None
        self.bridge.stop()
        await self._end()

    async def ended(self) -> None:
        """Once it has ended by itself; raises why."""
        assert self._running is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._end()

    async def _end(self) -> None:
        assert self._running is not None
        try:
            await self._running
        finally:
            self._running = None
            self._file.close()

    async def crash(self) -> None:
        """No word to anybody."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError, ClawbotError):
                await self._end()

    def forget(self) -> None:
        """Lose everything but the account and the keys."""
        for file in self._folder.glob("bridge.sqlite*"):
            file.unlink()

    async def counts(self, condition: Callable[[Any], object]) -> Any:
        """The bridge's counts, once they are so."""
        await until(lambda: condition(self.bridge.counts), PATIENCE_S)
        return self.bridge.counts
