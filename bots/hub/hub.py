"""What a hub does with what it is sent (spec/bindings/http.md). Knows nothing of HTTP but the statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from bots.hub import admission
from bots.hub.admission import BadRequest, Fault, Posted
from bots.hub.archive import Archive, Page
from bots.hub.chunks import Chunks
from bots.hub.members import Roster
from bots.serving.limits import Allowance, Meters
from bots.transports.http.names import Names
from clawnet_proto.message import Message
from clawnet_proto.signing import digest

EVENTS_AT_ONCE: Final = 100
_PIECE: Final = 1 << 15  # bytes of a chunk that count as one more request


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What its owner may choose. Amounts are messages, and requests of whatever kind."""

    per_key: Allowance = Allowance(120, 2)
    per_network: Allowance = Allowance(600, 20)
    requests: Allowance = Allowance(1200, 40)  # of one network address
    banned: tuple[str, ...] = ()  # dids


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered with. ``retry_after_s`` is 0 unless it may be repeated."""

    status: int
    body: dict[str, Any]
    retry_after_s: float = 0.0


class Hub:
    """The rooms of one hub, and the queues of its peers. ``now_ms`` is the wall clock, ``now_s`` only goes on."""

    def __init__(
        self,
        names: Names,
        archive: Archive,
        settings: Settings,
        now_ms: Callable[[], int],
        now_s: Callable[[], float],
        chunks: Chunks | None = None,
    ) -> None:
        self.names = names
        self.archive = archive
        self.chunks = chunks
        self._settings = settings
        self._now_ms = now_ms
        self._now_s = now_s
        self._keys = Meters(settings.per_key)
        self._networks = Meters(settings.per_network)
        self._requests = Meters(settings.requests)
        self._bells: dict[str, set[asyncio.Event]] = {}
        self.ended = False  # readers get what there is, and no more

    def admit(self, network: str) -> Answer | None:
        """None for one more request from there, whatever it asks; or its refusal."""
        wait_s = self._requests.wait_s(network, 1, self._now_s())
        return self._later(wait_s) if wait_s else None

    def speaker(self, key: str) -> str:
        """The identity that a key speaks for, "" if it does not any more."""
        return self.archive.keys.speaker(key, self._now_ms())

    def is_banned(self, did: str) -> bool:
        return did in self._settings.banned

    # -- posting ---------------------------------------------------------------------------------------------

    def post(self, room: str, body: bytes, key: str, network: str) -> Answer:
        """Messages for a room; ``key`` is the key that signed the request, a did, "" for none. Raises StoreError."""
        try:
            carriers = admission.carriers(body)
        except BadRequest as error:
            return refusal(400, "http.body", str(error))
        if wait_s := self._networks.wait_s(network, len(carriers), self._now_s()):
            return self._later(wait_s)
        now_ms = self._now_ms()
        if not self.archive.may_say(room, network, now_ms):
            return refusal(403, "hub.rooms", "This hub has no space for one more room.")
        judged = [admission.judge(carrier, room, now_ms) for carrier in carriers]
        self._learn(judged, now_ms, network)
        poster = self.speaker(key) if key else ""
        if key and not poster:
            return refusal(401, "http.signature", "Its key was given up.")
        return self._keep(room, judged, poster, now_ms, network)

    def heard(self, room: str, address: str, carriers: Sequence[object], network: str) -> None:
        """What another server of feeds said for this address: which keys and who is here are learned from it."""
        now_ms = self._now_ms()
        judged = (admission.judge(carrier, room, now_ms) for carrier in carriers)
        told = [item for item in judged if self._concerns(item, address, now_ms)]
        self._learn(told, now_ms, network)
        for item in told:
            if isinstance(item, Posted) and item.message is not None:
                self._follow(room, address, item.message, now_ms, network)

    def _concerns(self, item: Posted | Fault, address: str, now_ms: int) -> bool:
        """Whether it is about who says it, or about a member: of all others nothing is kept."""
        author = self.names.address(item.message.sender) if isinstance(item, Posted) and item.message else ""
        return author == address or self.archive.members.is_member(author, now_ms)

    def _learn(self, judged: list[Posted | Fault], now_ms: int, network: str) -> None:
        """Which keys speak for whom, before anybody is named by them (HTTP-8)."""
        keys = self.archive.keys
        for item in judged:
            if isinstance(item, Posted) and item.message is not None and item.message.type == "identity.rotate":
                sender, kid = item.message.sender, item.message.envelope.kid
                before = keys.speaker(kid, now_ms)
                keys.rotated(sender, [link.key for link in item.message.body.chain], network)
                if before != sender == keys.speaker(kid, now_ms):
                    self.archive.members.rotated(self.names.address(sender))

    def _keep(self, room: str, judged: list[Posted | Fault], poster: str, now_ms: int, network: str) -> Answer:
        """Keep what may be handed on, one event for each who said it."""
        results: list[dict[str, str]] = []
        fresh: dict[str, dict[str, Posted]] = {}  # by address and id, in order
        open_: list[tuple[str, dict[str, str]]] = []  # results that lack their event, by address
        wait_s = 0.0
        for item in judged:
            if isinstance(item, Fault):
                results.append({"code": item.code, "detail": item.detail})
                continue
            assert item.message is not None
            # Not the sender that a message names, but whom its key speaks for: else anybody could speak in his name.
            did = poster or self.speaker(item.message.envelope.kid)
            address = self.names.address(did)
            if not did:
                results.append({"code": "key.retired", "detail": "Its key was given up, or revoked."})
            elif self.is_banned(did) or self.is_banned(item.message.sender):
                results.append({"code": "hub.banned", "detail": "This hub does not serve this key."})
            elif event := self.archive.known(room, item.id, address):
                results.append({"id": item.id, "event": event})
            elif more_s := self._keys.wait_s(did, 1, self._now_s()):
                wait_s = max(wait_s, more_s)
                results.append({"code": "hub.rate_limited", "detail": "Too many messages of one key."})
            else:
                results.append({"id": item.id})
                open_.append((address, results[-1]))
                fresh.setdefault(address, {})[item.id] = item
        if fresh:
            with self.archive.transaction():
                events = {
                    address: self._append(room, address, items, now_ms, network) for address, items in fresh.items()
                }
            for address, result in open_:
                result["event"] = events[address]
            self._ring(room)
        return _answered(results, wait_s)

    def _append(self, room: str, address: str, items: dict[str, Posted], now_ms: int, network: str) -> str:
        texts = [(item.id, item.text) for item in items.values()]
        event = self.archive.append(room, address, texts, now_ms, network=network)
        for item in items.values():
            assert item.message is not None
            self._follow(room, address, item.message, now_ms, network)
        return event

    def _follow(self, room: str, address: str, message: Message, now_ms: int, network: str) -> None:
        """Who says itself that it is here is a member (HTTP-13), until it says that it is no more."""
        body, sender, keys = message.body, message.sender, self.archive.keys
        own = self.names.address(sender)
        if message.type == "identity.revoke":
            if keys.revoked(sender, [link.key for link in body.chain], body.since_ms, network):
                self.archive.members.revoked(own)
        elif address == own and keys.speaker(message.envelope.kid, now_ms) == sender:
            if message.type == "presence.announce":
                expires_ms = message.envelope.expires_ms
                self.archive.members.enter(room, address, body.revision, expires_ms, now_ms, network)
            elif message.type == "presence.leave":
                self.archive.members.leave(room, address, body.revision)

    def post_direct(self, recipient: str, body: bytes, poster: str, network: str) -> Answer:
        """Messages for one peer, from one. Raises StoreError."""
        try:
            carriers = admission.carriers(body)
        except BadRequest as error:
            return refusal(400, "http.body", str(error))
        now_ms, sender, address = self._now_ms(), self.names.address(poster), self.names.address(recipient)
        if wait_s := self._networks.wait_s(network, len(carriers), self._now_s()):
            return self._later(wait_s)
        if not poster:
            return refusal(401, "http.unsigned", "Sign the request: see HTTP-8.")
        if self.is_banned(poster) or not self.archive.members.is_member(sender, now_ms):
            return refusal(403, "hub.not_member", "Announce yourself in a room of this hub first.")
        if not self.archive.members.is_member(address, now_ms):
            return refusal(404, "peer.unreachable", "That peer is in no room of this hub.")
        if wait_s := self._keys.wait_s(poster, len(carriers), self._now_s()):
            return self._later(wait_s)
        posted = [admission.direct(carrier, recipient, now_ms) for carrier in carriers]
        fresh: dict[str, Posted] = {}
        for item in posted:
            if isinstance(item, Posted) and not self.archive.known(address, item.id, sender):
                fresh.setdefault(item.id, item)
        if fresh:
            texts = [(item.id, item.text) for item in fresh.values()]
            self.archive.append(address, sender, texts, now_ms, queue=True, network=network)
            self._ring(address)
        results = [
            {"code": item.code, "detail": item.detail}
            if isinstance(item, Fault)
            else {"id": item.id, "event": self.archive.known(address, item.id, sender)}
            for item in posted
        ]
        return _answered(results, 0.0)

    # -- chunks ----------------------------------------------------------------------------------------------

    def store(self, name: str, data: bytes, poster: str, network: str) -> Answer:
        """A chunk from a peer, to be kept by its digest. Raises StoreError."""
        if self.chunks is None:
            return refusal(403, "hub.no_store", "This hub stores no files.")
        if not poster:
            return refusal(401, "http.unsigned", "Sign the request: see HTTP-8.")
        now_ms = self._now_ms()
        if self.is_banned(poster) or not self.archive.members.is_member(self.names.address(poster), now_ms):
            return refusal(403, "hub.not_member", "Announce yourself in a room of this hub first.")
        now_s = self._now_s()
        if wait_s := self._networks.wait_s(network, 1, now_s) or self._keys.wait_s(poster, 1, now_s):
            return self._later(wait_s)
        if wait_s := self._requests.wait_s(network, len(data) // _PIECE, now_s):
            return self._later(wait_s)
        if not data or digest(data) != name:
            return refusal(400, "http.digest", "These are not the bytes with that digest.")
        self.chunks.put(name, data, poster, network, now_ms)
        return Answer(200, {"uri": self.names.chunk(name)})

    def chunk(self, name: str) -> bytes | None:
        """A chunk by its digest, None if there is none. Raises StoreError."""
        return None if self.chunks is None else self.chunks.get(name, self._now_ms())

    def fetch(self, name: str, network: str) -> bytes | Answer:
        """A chunk for somebody there, or why not. Raises StoreError."""
        data = self.chunk(name)
        if data is None:
            return refusal(404, "http.not_found", "That chunk is not here, or not any more.")
        wait_s = self._requests.wait_s(network, len(data) // _PIECE, self._now_s())
        return self._later(wait_s) if wait_s else data

    def _later(self, wait_s: float) -> Answer:
        return Answer(429, {"code": "hub.rate_limited", "detail": "Too many messages."}, wait_s)

    # -- reading ---------------------------------------------------------------------------------------------

    def after(self, place: str, position: str) -> Page:
        """The next events of a room or a peer, ``EVENTS_AT_ONCE`` at most. Raises Unknown, StoreError."""
        return self.archive.after(place, position, EVENTS_AT_ONCE, self._now_ms())

    def roster(self, room: str) -> Roster:
        """Who is in a room now."""
        return self.archive.members.roster(room, self._now_ms())

    def bell(self, place: str) -> Bell:
        """What rings when something is new there."""
        return Bell(self._bells, place)

    def end(self) -> None:
        """Let streams end once they have sent what there is."""
        self.ended = True
        for place in self._bells:
            self._ring(place)

    def _ring(self, place: str) -> None:
        for event in self._bells.get(place, ()):
            event.set()


class Bell:
    """Waits for news of one place while it is entered."""

    def __init__(self, bells: dict[str, set[asyncio.Event]], place: str) -> None:
        self._bells = bells
        self._place = place
        self._event = asyncio.Event()

    def __enter__(self) -> Bell:
        self._bells.setdefault(self._place, set()).add(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        others = self._bells[self._place]
        others.discard(self._event)
        if not others:
            del self._bells[self._place]

    def hush(self) -> None:
        """What happened so far is no news any more."""
        self._event.clear()

    async def wait(self, timeout_s: float) -> bool:
        """Whether something came in that time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


def refusal(status: int, code: str, detail: str) -> Answer:
    """The answer to a request that is refused as a whole."""
    return Answer(status, {"code": code, "detail": detail})


def _answered(results: list[dict[str, str]], wait_s: float) -> Answer:
    taken = any("event" in result for result in results)
    if taken:
        return Answer(200, {"results": results}, wait_s)
    if wait_s:
        return Answer(429, {"results": results}, wait_s)
    return Answer(admission.status(Fault(results[0]["code"])), {"results": results})
