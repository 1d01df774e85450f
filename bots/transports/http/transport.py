"""A hub as one of the agent's transports (spec/bindings/http.md)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

from bots.backoff import delay_s
from bots.errors import Fatal, Refused, RetryLater
from bots.identity import Identity
from bots.transports import Delivery, EncryptionHealth, Inbox, Parcel, PersonText, Room
from bots.transports.http.config import HttpConfig
from bots.transports.http.feed import Feed, Piece, direct_event, raw_event
from bots.transports.http.members import Members, Told
from bots.transports.http.position import Place, Position
from bots.transports.http.wire import BODY_MOST, Wire, body_of
from clawnet_proto.bindings import http
from clawnet_proto.rendering import clean
from clawnet_proto.signing import digest

log = logging.getLogger(__name__)

NAME = "http"

_BACKOFF_S = (0.5, 30.0)
_MISSING_S = 2.0  # for an announce that is on its way
_RENEW_S = (10.0, 600.0)  # between two announces that a hub seems to have lost, ever longer
_FORGOTTEN_S = 120.0  # after a hub lost its members: until then others come back


class HttpTransport:
    """One key at one hub as a ``bots.transports.Transport``. ``clock`` gives Unix milliseconds.

    ``on_joined`` is called for every room once its members are told, ``on_online`` when the hub is reached, and when
    it no longer is; ``on_answer`` with the date of an answer and how many seconds it took; ``on_missing`` when we are
    no member of a room that we read, so that our announce should be said again.
    """

    name = NAME
    device = "inbox"
    encryption = EncryptionHealth()

    def __init__(
        self,
        config: HttpConfig,
        own: Callable[[], Identity],
        inbox: Inbox,
        clock: Callable[[], int],
        *,
        on_joined: Callable[[Room], None] | None = None,
        on_online: Callable[[bool], None] | None = None,
        on_answer: Callable[[str, float], None] | None = None,
        on_missing: Callable[[], None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        config.check()
        self._config = config
        self._inbox = inbox
        self._clock = clock
        self._on_joined = on_joined
        self._on_online = on_online
        self._on_missing = on_missing
        self._chance = chance
        self._wire = Wire(config.hub, own, clock, on_answer)
        self.address = config.address(own().did)
        self._position = Position.read(inbox.position(NAME))
        self._members: dict[str, Members] = {}  # by room
        self._reading: dict[str, asyncio.Task[None]] = {}  # by room, "" for what is sent to us
        self._caught_up: set[str] = set()  # of these
        self._entered = asyncio.Event()  # set when members may have changed
        self._forgotten_at = float("-inf")  # when a hub last lost its members, by the loop's clock
        self._online = self._told = False
        self._failed: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def online(self) -> bool:
        return self._online

    def rooms(self) -> Sequence[Room]:
        return [self._room(uri) for uri, members in self._members.items() if members.known]

    def _room(self, uri: str) -> Room:
        name = uri.removeprefix(f"{self._config.hub}/rooms/")
        return Room(uri=uri, name=name, public=True, encrypted=False, members=len(self._members.get(uri, ())))

    def is_member(self, room: str, address: str) -> bool:
        return address in self._members.get(room, ())

    def reaches(self, address: str) -> bool:
        return self._config.is_address(address)

    async def connect(self) -> None:
        """See that a hub is there. Raises RetryLater, also if what is there is none, or Fatal if it refuses."""
        for name in self._config.rooms[:1]:
            try:
                await self._wire.greet(f"{self._config.url(self._config.room(name))}/members")
            except Refused as error:
                raise Fatal("http.no_hub", error.message, "Check the hub's URL and the room's name.") from error

    async def join(self, room: str) -> Room:
        uri = self._config.room(room)
        if uri not in self._reading and not self._closing:
            self._begin(uri, self._config.url(uri))
        return self._room(uri)

    # -- receiving -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        if self._closing:
            return
        self._failed = asyncio.get_running_loop().create_future()
        watching = asyncio.create_task(self._guarded(self._watch()), name="watch members")
        try:
            self._begin("", self.address)
            for name in self._config.rooms:
                await self.join(name)
            await self._failed
        finally:
            tasks = [watching, *self._reading.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, place: str, url: str) -> None:
        position = self._position.places.setdefault(place, Place()).after
        members = (
            self._members.setdefault(place, Members(self._config.is_address)) if place else Members(lambda _: False)
        )
        take, enter = partial(self._take, place), partial(self._enter, place, members)
        feed = Feed(self._wire, url, position, take, enter, self._config.is_address)
        self._reading[place] = asyncio.create_task(
            self._guarded(feed.follow(partial(self._lost, place), self._delay_s)), name=f"read {url}"
        )

    async def _guarded(self, part: Coroutine[None, None, None]) -> None:
        """What ends one part of the run ends all of it."""
        try:
            await part
        except Exception as error:
            if self._failed is None or self._failed.done():
                raise
            self._failed.set_exception(error)

    async def _take(self, place: str, piece: Piece) -> None:
        """Commit what was read, and tell."""
        known = self._position.places[place]
        deliveries = [
            Delivery(
                transport=NAME,
                plane="room" if place else "direct",
                room=place,
                sender=said.sender,
                event_id=event.id if place else "",
                event=raw_event(event.id, said),
                received_ms=self._clock(),
                live=known.past or not place,
            )
            for event, said in piece.said
        ]
        self._position.places[place] = Place(piece.position, known.past or piece.caught_up)
        # A hub forgets what is sent to us once it knows that we have read it.
        durable = not deliveries or not place
        self._inbox.commit(NAME, deliveries, self._position.text(), durable=durable)
        if piece.caught_up:
            self._caught_up.add(place)
            self._entered.set()
            self._went_on()

    def _enter(self, place: str, members: Members, kind: str, told: Told | None) -> None:
        if told is None:
            members.reopen()
            return
        new = not members.known
        members.take(kind, told)
        self._entered.set()
        if place and new and members.known and self._on_joined is not None:
            self._on_joined(self._room(place))

    async def _watch(self) -> None:
        """See to it that we are a member of every room, also of a hub that has lost who they are."""
        if self._on_missing is None:
            return
        shortest, longest = _RENEW_S
        pause_s = shortest
        while True:
            await self._entered.wait()
            self._entered.clear()
            if not self._missing():
                pause_s = shortest
                continue
            await asyncio.sleep(_MISSING_S)
            if self._missing():
                log.warning("%s does not count us among its members: announcing ourselves anew", self._config.hub)
                self._forgotten_at = asyncio.get_running_loop().time()
                self._on_missing()
                await asyncio.sleep(pause_s)
                pause_s = min(longest, pause_s * 2)
            self._entered.set()

    def _missing(self) -> bool:
        """Whether we read a room without being one of its members."""
        return any(self.address not in self._members[place] for place in self._caught_up if place)

    def _went_on(self) -> None:
        if self._online or not self._caught_up >= self._reading.keys():
            return
        self._online = self._told = True
        log.info("Receiving from %s", self._config.hub)
        if self._on_online is not None:
            self._on_online(True)

    def _lost(self, place: str, why: str) -> None:
        self._caught_up.discard(place)
        if self._online or not self._told:
            self._told = True
            log.warning("%s Trying again until it answers.", why)
        if self._online:
            self._online = False
            if self._on_online is not None:
                self._on_online(False)

    def _delay_s(self, tries: int) -> float:
        return delay_s(tries, _BACKOFF_S, self._chance)

    async def close(self) -> None:
        self._closing = True
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(None)
        await self._wire.close()

    # -- sending ---------------------------------------------------------------------------------------------

    async def send(self, parcel: Parcel) -> str:
        if not parcel.carriers:
            return ""  # words alone are for people, and a hub has none
        direct = parcel.plane == "direct"
        if direct and not self._config.is_address(parcel.address):
            raise Refused("http.no_address", f"That is no address at {self._config.hub}.")
        if not direct and parcel.room not in self._places:
            raise Refused("http.no_room", f"That is no room of ours at {self._config.hub}.")  # of a hub of before, say
        body = body_of(parcel.carriers)
        if len(body) > BODY_MOST:
            raise Refused("http.too_large", f"A hub takes no more than {BODY_MOST} bytes at once.")
        try:
            # In a room a message speaks for itself, also one that tells of a key that the hub does not know yet.
            url = parcel.address if direct else self._config.url(parcel.room)
            results = await self._wire.post(url, body, signed=direct or self._config.relays)
        except Refused as error:
            if error.code == "http.no_peer" and asyncio.get_running_loop().time() - self._forgotten_at < _FORGOTTEN_S:
                raise RetryLater(error.code, error.message, 0.0) from error
            raise
        codes = {result.code for result in results if not result.event}
        if "hub.rate_limited" in codes:
            raise RetryLater("http.rate_limited", f"The hub {self._config.hub} limits how fast we may go.", 1.0)
        if len(results) != len(parcel.carriers):
            raise RetryLater("http.unreachable", f"What answers at {self._config.hub} is no hub.", 0.0)
        if codes == {"time.future"}:
            raise RetryLater("http.not_now", "By the hub's clock that is not said yet: is ours right?", 0.0)
        if codes:
            raise Refused("http.bad_content", f"The hub does not take that ({', '.join(sorted(codes))}).")
        return "" if direct else results[0].event

    @property
    def _places(self) -> set[str]:
        """The rooms that we are in, or are to be in once we run."""
        return {self._config.room(name) for name in self._config.rooms} | self._reading.keys()

    async def store_chunk(self, data: bytes) -> str:
        uri = self._config.chunk(digest(data))
        await self._wire.put(uri, data)
        return uri

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        if not self._config.is_chunk(uri):
            raise Refused("http.bad_address", f"{clean(uri, limit=100)!r} is no chunk at {self._config.hub}.")
        return await self._wire.fetch(uri, most)

    # -- what events hold ------------------------------------------------------------------------------------

    def direct_event(self, carrier: str) -> str:
        return direct_event(self.address, carrier, self._clock())

    def carriers(self, delivery: Delivery) -> list[object]:
        return http.carriers(delivery.event, delivery.plane)

    def person_text(self, delivery: Delivery) -> PersonText | None:
        return None

    def thread_root(self, delivery: Delivery) -> str:
        return ""
