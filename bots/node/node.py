"""Our own node: a hub of one, where nobody else says anything (spec/bindings/lan.md)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bots.errors import Refused, RetryLater
from bots.hub.archive import Archive, Bounds, Unknown
from bots.hub.chunks import ChunkBounds, Chunks
from bots.hub.hub import Answer, Hub, Settings
from bots.hub.schema import OWN
from bots.identity import Identity
from bots.node.names import NodeNames
from bots.node.server import NodeServer
from bots.serving.limits import Allowance
from bots.serving.listening import Listener
from bots.transports.http.events import Event
from bots.transports.http.feed import Piece, Said
from bots.transports.lan.own import Contact
from clawnet_proto.bindings.lan import ROOMS_MOST, Proven
from clawnet_proto.signing import digest

_BOUNDS: Final = Bounds(
    rooms=ROOMS_MOST,
    rooms_of_network=ROOMS_MOST,
    room_events=5000,
    room_bytes=16 << 20,
    room_age_ms=86_400_000,
    members=1024,
    members_of_network=32,
    keys=4096,
    keys_of_network=64,
    keys_passing=256,
    queue_events=500,
    queue_bytes=1 << 20,
)
_CHUNKS: Final = ChunkBounds(bytes=256 << 20, bytes_of_network=256 << 20, bytes_of_peer=256 << 20)
# Whom we post for is ourselves; what others may is to ask.
_SETTINGS: Final = Settings(per_key=Allowance(1e9, 1e9), per_network=Allowance(1e9, 1e9), requests=Allowance(2400, 200))
_CONNECTIONS: Final = 512
_CONNECTIONS_OF_NETWORK: Final = 32
_WAIT_S: Final = 60.0


class Node:
    """As ``bots.transports.lan.own.OwnNode``; its files are at ``path`` and beside it. Raises StoreError."""

    def __init__(
        self, path: Path, own: Callable[[], Identity], port: int, now_ms: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._own = own
        self._did = own().did
        self._now_ms = now_ms
        self._archive = Archive(path, _BOUNDS)
        self._chunks = Chunks(path.with_name("lan-chunks.sqlite"), _CHUNKS)
        self._names = NodeNames()
        self._hub = Hub(self._names, self._archive, _SETTINGS, now_ms, now_s, self._chunks)
        self._server = NodeServer(self._hub, own, now_ms, now_s)
        self._wanted = port
        self._listener: Listener | None = None
        self._listening: set[str] = set()
        self._stack = AsyncExitStack()
        self._stack.callback(self._archive.close)
        self._stack.callback(self._chunks.close)

    @property
    def port(self) -> int:
        """Where we listen, 0 if nowhere yet."""
        return self._listener.port if self._listener is not None else 0

    # -- life ------------------------------------------------------------------------------------------------

    async def open(self, rooms: Callable[[], Sequence[str]], contact: Contact) -> None:
        self._server.rooms, self._server.contact = rooms, contact
        self._listener = await self._stack.enter_async_context(
            Listener(self._server.app, None, self._wanted, connections=_CONNECTIONS, of_network=_CONNECTIONS_OF_NETWORK)
        )

    async def listen(self, addresses: Sequence[str]) -> None:
        assert self._listener is not None
        for address in self._listening - set(addresses):
            self._listener.shut(address)
            self._listening.discard(address)
        for address in addresses:
            if address not in self._listening:
                await self._listener.open(address)
                self._listening.add(address)

    async def close(self) -> None:
        self._hub.end()
        await self._stack.aclose()

    # -- what we say -----------------------------------------------------------------------------------------

    def say(self, room: str, body: bytes) -> str:
        self._know_ourselves()
        results = _results(self._hub.post(room, body, self._own().key.did, OWN))
        return results[0]["event"]

    def whisper(self, did: str, body: bytes) -> None:
        self._know_ourselves()
        _results(self._hub.post_direct(did, body, self._did, OWN))

    def keep(self, data: bytes) -> str:
        name = digest(data)
        self._chunks.put(name, data, self._did, "", self._now_ms())
        return name

    def kept(self, name: str) -> bytes | None:
        return self._chunks.get(name, self._now_ms())

    def _know_ourselves(self) -> None:
        self._archive.keys.rotated(self._did, [link.key for link in self._own().chain], OWN)

    async def own_words(self, room: str, position: str) -> AsyncIterator[Piece]:
        with self._hub.bell(room) as bell:
            while True:
                bell.hush()
                try:
                    page = self._hub.after(room, position)
                except Unknown:
                    position = ""
                    continue
                if page.said:
                    said = tuple(
                        (Event(one.id, "message", ""), Said(one.sender, one.received_ms, one.carriers))
                        for one in page.said
                    )
                    yield Piece(said, page.position, caught_up=not page.more)
                position = page.position
                if not page.more:
                    await bell.wait(_WAIT_S)

    # -- what others say -------------------------------------------------------------------------------------

    def heard(self, room: str, did: str, carriers: Sequence[object], network: str) -> None:
        telling = [carrier for carrier in carriers if _tells(carrier)]
        if telling:
            self._hub.heard(room, self._names.address(did), telling, network)

    def members(self, room: str) -> Sequence[str]:
        return self._hub.roster(room).addresses

    def is_member(self, room: str, address: str) -> bool:
        return address in self._hub.roster(room)

    def trusts(self, did: str, proven: Proven, network: str) -> bool:
        self._archive.keys.rotated(did, [link.key for link in proven.chain], network)
        return self._hub.speaker(proven.kid) == did


def _tells(carrier: object) -> bool:
    """Whether this may be about who is here, or about keys; the text of an envelope is canonical."""
    env = carrier.get("env") if isinstance(carrier, dict) else None
    return isinstance(env, str) and ('"type":"presence.' in env or '"type":"identity.' in env)


def _results(answer: Answer) -> list[dict[str, str]]:
    """What became of each carrier, if all were taken. Raises RetryLater, Refused."""
    results: list[dict[str, str]] = answer.body.get("results", [])
    code = str(answer.body.get("code", ""))
    detail = str(answer.body.get("detail", ""))
    if code == "hub.not_member":
        raise RetryLater("lan.not_member", "We have not announced ourselves on the local network yet.", 0.0)
    if code == "peer.unreachable":
        raise Refused("lan.no_peer", "That peer is not on the local network.")
    if code:
        raise Refused("lan.bad_content", f"That cannot be said ({code}: {detail}).")
    faults = {result["code"] for result in results if "event" not in result}
    if faults == {"time.future"}:
        raise RetryLater("lan.not_now", "By our clock that is not said yet: is it right?", 0.0)
    if faults:
        raise Refused("lan.bad_content", f"That cannot be said ({', '.join(sorted(faults))}).")
    return results
