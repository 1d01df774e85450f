"""An actor of the fediverse as one of the agent's transports (spec/bindings/activitypub.md)."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from bots.database import Database
from bots.errors import ConfigError, Fatal, Refused, RetryLater
from bots.identity import Identity
from bots.parts import until_one_ends
from bots.serving.limits import Allowance, Meters
from bots.serving.listening import Listener
from bots.transports import Delivery, EncryptionHealth, Inbox, Parcel, PersonText, Room, Undelivered
from bots.transports.activitypub import documents, notes
from bots.transports.activitypub.chunks import Chunks
from bots.transports.activitypub.config import ActivityPubConfig, is_loopback
from bots.transports.activitypub.contacts import Contacts
from bots.transports.activitypub.delivery import BACKOFF_S, Courier
from bots.transports.activitypub.dispatch import Dispatch
from bots.transports.activitypub.fetcher import Fetcher, FetchError, Forbidden
from bots.transports.activitypub.following import Finder, Following, contact_of
from bots.transports.activitypub.inbound_note import Note, event, person_text, read_note
from bots.transports.activitypub.inbox import TRANSPORT, Arrivals, delivered
from bots.transports.activitypub.keys import ActorKeys, open_keys
from bots.transports.activitypub.members import Members
from bots.transports.activitypub.names import PUBLIC, BadUrl, Names, canonical, origin
from bots.transports.activitypub.outgoing import Outgoing
from bots.transports.activitypub.past import Past
from bots.transports.activitypub.schema import SCHEMA
from bots.transports.activitypub.self_check import SelfCheck
from bots.transports.activitypub.sending import Sending
from bots.transports.activitypub.server import ActorServer
from bots.transports.activitypub.server_schemes import ServerSchemes
from bots.transports.activitypub.shown import Shown
from bots.transports.activitypub.taken import Taken
from bots.transports.activitypub.verification import Arrival, Verifier
from clawnet_proto import __version__, bindings
from clawnet_proto.rendering import clean

log = logging.getLogger(__name__)

_DIGEST: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ROOM_NAME: Final = "the fediverse"
_DECLINES: Final = Allowance(1, 1 / 3600)  # of one person
_FAREWELL_S: Final = 3.0
_POSITION: Final = "{}"  # others come to us: there is nothing to go on from
_PRIVATE: Final = "What is asked of me is passed on to other agents, who can read it. Ask me in a public post."


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: (shortest, longest) between two tries, and between two looks at ourselves while all is well."""

    backoff_s: tuple[float, float] = BACKOFF_S
    find_s: tuple[float, float] = (2.0, 600.0)
    check_s: tuple[float, float] = (1.0, 60.0)
    checked_s: float = 60.0


USUAL: Final = Pace()


class ActivityPubTransport:
    """One actor as a ``bots.transports.Transport``; its files are in ``folder``. ``clock`` gives Unix milliseconds.

    ``on_joined`` is called for every room once others reach us, ``on_online`` when they do, and when they no longer do.
    Raises ConfigError, StoreError.
    """

    name = TRANSPORT
    device = "inbox"
    encryption = EncryptionHealth()

    def __init__(
        self,
        config: ActivityPubConfig,
        folder: Path,
        own: Callable[[], Identity],
        inbox: Inbox,
        clock: Callable[[], int],
        *,
        on_joined: Callable[[Room], None] | None = None,
        on_online: Callable[[bool], None] | None = None,
        pace: Pace = USUAL,
        chance: Callable[[], float] = random.random,
    ) -> None:
        config.check()
        self._config = config
        self._own = own
        self._inbox = inbox
        self._clock = clock
        self._on_joined = on_joined
        self._on_online = on_online
        self._pace = pace
        self._chance = chance
        self.names = names = Names(config.host, config.name)
        self.address = names.actor
        self._rooms = dict.fromkeys((PUBLIC, *config.rooms))
        keys = open_keys(folder / "activitypub")
        self._database = database = Database(folder / "activitypub.sqlite", SCHEMA)
        self._since_ms = int(database.value("SELECT min(applied_ms) FROM migrations"))
        self._outgoing = Outgoing(database)
        self._contacts = Contacts(database)
        self._members = Members(database, self._contacts.is_wanted)
        taken = Taken(database)
        if inbox.position(TRANSPORT) is None:
            # The agent has lost what it had, if it had anything.
            taken.clear()
            self._contacts.forget_past()
        self._fetcher = Fetcher(
            keys, names.main_key, clock, allow_private=config.allow_private, memory=ServerSchemes(database, clock)
        )
        self._verifier = Verifier(self._fetcher, names.actor, clock, lambda: time.monotonic_ns() // 1_000_000)
        self._courier = Courier(
            self._outgoing, self._fetcher, clock, self._gone, backoff_s=pace.backoff_s, chance=chance
        )
        self._dispatch = Dispatch(names, keys, self._outgoing, clock, self._courier.nudge)
        self._past = Past(
            self._fetcher, self._verifier, self._contacts.knows_past, self._remember, backoff_s=pace.find_s,
            chance=chance,
        )  # fmt: skip
        self._following = Following(
            names, self._contacts, self._members, self._dispatch, self._is_blocked, clock, self._past.ask
        )
        self._finder = Finder(self._fetcher, self._following.want)
        self._sending = Sending(
            names, self._rooms.keys(), lambda: own().did, self._contacts, self._members, self._verifier,
            self._outgoing, self._dispatch, self._is_blocked, clock,
        )  # fmt: skip
        arrivals = Arrivals(
            names, self._rooms.keys(), self._verifier, self._contacts, self._members, taken, self._following,
            self._commit, clock, self._decline,
        )  # fmt: skip
        self._chunks = Chunks(database)
        shown = Shown(
            names, lambda: self._document(keys), self._outgoing, self._contacts,
            lambda name: self._chunks.get(name, clock()), __version__,
        )  # fmt: skip
        self._server = ActorServer(names, shown, self._verifier, arrivals, self._is_blocked, self._courier.heard_from)
        self._declined = Meters(_DECLINES)
        self._self_check = SelfCheck(
            self.address, self._go, trusting=not config.self_check, backoff_s=pace.check_s, every_s=pace.checked_s,
            chance=chance,
        )  # fmt: skip
        self._online = self._entered = False
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self.port = 0

    def _document(self, keys: ActorKeys) -> documents.Document:
        config = self._config
        return documents.actor(
            self.names, keys, self._own().did, display_name=config.title, summary=config.summary,
            published_ms=self._since_ms,
        )  # fmt: skip

    def _is_blocked(self, url: str) -> bool:
        name = urlsplit(url).hostname or ""
        return any(name == one or name.endswith(f".{one}") for one in self._config.blocked)

    # -- who and where we are --------------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        return self._online

    def rooms(self) -> Sequence[Room]:
        return [self._room(uri) for uri in self._rooms]

    def _room(self, uri: str) -> Room:
        count = 0 if self._closing.is_set() else self._members.count(uri, self._clock())
        name = _ROOM_NAME if uri == PUBLIC else uri
        return Room(uri=uri, name=name, public=True, encrypted=False, members=count + 1)

    def is_member(self, room: str, address: str) -> bool:
        if room not in self._rooms or self._closing.is_set():
            return False
        return address == self.address or self._members.is_member(room, address, self._clock())

    def reaches(self, address: str) -> bool:
        try:
            known = canonical(address) == address and "#" not in address
        except BadUrl:
            return False
        secure = address.startswith("https:") or self._config.allow_private
        return known and secure and origin(address) != self.names.base

    async def connect(self) -> None:
        """Nothing is to be done: others come to us."""

    async def join(self, room: str) -> Room:
        self._rooms[room] = None
        return self._room(room)

    # -- life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        if self._closing.is_set():
            return
        self._ended.clear()
        address, port = self._config.listen
        try:
            async with Listener(self._server.app, address, port, proxied=is_loopback(address)) as listener:
                self.port = listener.port
                await self._live()
        except ConfigError as error:
            raise Fatal("activitypub.port", error.message, "Set activitypub.listen.") from error
        finally:
            self._go(False)
            self._ended.set()

    async def _live(self) -> None:
        for followed in self._contacts.following():
            if followed.state == "accepted":
                self._past.ask(followed.actor)
        await until_one_ends(
            self._courier.run(), self._self_check.run(), self._find(), self._past.run(), self._closing.wait()
        )

    async def _find(self) -> None:
        self._following.want_only(self._config.follow)
        await self._finder.run(self._config.follow, self._pace.find_s)
        await self._closing.wait()

    async def close(self) -> None:
        self._closing.set()
        await self._ended.wait()
        await self._verifier.close()
        await self._fetcher.close()
        self._database.close()

    def _go(self, online: bool) -> None:
        if self._online == online:
            return
        self._online = online
        if online:
            log.info("%s is at %s", self.names.handle, self.address)
        if self._on_online is not None:
            self._on_online(online)
        if online and not self._entered and self._on_joined is not None:
            self._entered = True
            for room in self.rooms():
                self._on_joined(room)

    # -- receiving -------------------------------------------------------------------------------------------

    def _commit(self, deliveries: Sequence[Delivery]) -> None:
        self._inbox.commit(TRANSPORT, deliveries, _POSITION)

    def _gone(self, inbox: str) -> None:
        """Nobody takes anything there any more."""
        self._outgoing.drop_inboxes((inbox,))
        for actor in self._contacts.at(inbox):
            log.info("%s is no more", actor)
            self._following.forget(actor)

    def _remember(self, actor: str, said: Sequence[Note]) -> None:
        """What an actor said before we heard it, and that this is known now."""
        ours = (note for note in said if (note.room or PUBLIC) in self._rooms)
        self._commit([delivered(note, actor, self._clock(), live=False) for note in ours])
        self._contacts.past_read(actor)

    def _decline(self, note: Note, arrival: Arrival) -> None:
        """Say why a private question is not passed on: not often, for it may be a machine that asks."""
        if self._declined.wait_s(arrival.actor.id, 1, time.monotonic()):
            return
        contact, name = contact_of(arrival.actor), self._dispatch.name()
        words = notes.Words(
            name=name, published_ms=self._clock(), text=_PRIVATE, to=(contact.actor,),
            mentions=((contact.actor, contact.handle),), in_reply_to=note.id,
        )  # fmt: skip
        self._dispatch.send(name, notes.create(self.names, words), (contact,), shared=False, caused=True)

    # -- sending ---------------------------------------------------------------------------------------------

    async def send(self, parcel: Parcel) -> str:
        if not self._online:
            raise RetryLater("activitypub.unreachable", f"Nobody can reach {self.address} now.", 0.0)
        document = await self._sending.send(parcel)
        if document is None or parcel.plane == "direct":
            return ""
        note = read_note(document["object"], self.address)
        if parcel.carriers:
            self._commit([delivered(note, self.address, self._clock())])
        if self._sending.is_farewell(parcel):
            await self._courier.flush(_FAREWELL_S)
        return note.id

    def undelivered(self) -> Sequence[Undelivered]:
        """What waits for each server. Raises StoreError."""
        now_ms = self._clock()
        return [
            Undelivered(
                server=backlog.lane,
                waiting=backlog.waiting,
                oldest_s=max(0, now_ms - backlog.since_ms) / 1000,
                fault=self._courier.trouble(backlog.inbox),
            )
            for backlog in self._outgoing.backlogs()
        ]

    async def store_chunk(self, data: bytes) -> str:
        return self.names.chunk(self._chunks.put(data, self._clock()))

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        place, _, name = uri.partition("/chunks/")
        if not (_DIGEST.fullmatch(name) and self._members.has_origin(place, self._clock())):
            raise Refused("activitypub.bad_address", f"{clean(uri, limit=100)!r} is no chunk of a peer of ours.")
        try:
            return await self._fetcher.chunk(uri, most)
        except FetchError as error:
            if isinstance(error, Forbidden) or error.lasting:
                raise Refused("activitypub.no_chunk", f"A chunk at {origin(uri)} cannot be had: {error}") from error
            raise RetryLater("activitypub.unreachable", f"{origin(uri)} cannot be reached: {error}", 0.0) from error

    # -- what events hold ------------------------------------------------------------------------------------

    def direct_event(self, carrier: str) -> str:
        text = notes.carriers_text((carrier,))
        return event(Note(id="", actor=self.address, carriers=text))

    def carriers(self, delivery: Delivery) -> list[object]:
        return bindings.activitypub.carriers(delivery.event, delivery.plane)

    def person_text(self, delivery: Delivery) -> PersonText | None:
        if delivery.plane == "direct" or delivery.sender == self.address:
            return None
        return person_text(delivery.event, self.address)

    def thread_root(self, delivery: Delivery) -> str:
        return delivery.event_id
