"""Matrix as one of the agent's transports."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import msgspec

from bots.backoff import delay_s
from bots.errors import Fatal, Refused, RetryLater
from bots.transports import Delivery, Departure, EncryptionHealth, Inbox, Parcel, PersonText, Room
from bots.transports.matrix import addresses, encryption, events, reading, rooms, wire, writing
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.addresses import is_user
from bots.transports.matrix.arrivals import SYNC_FILTER, Arrival, Arrivals, sync_filter
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.encryption import Encryption
from bots.transports.matrix.entering import Entering
from bots.transports.matrix.errands import Errands
from bots.transports.matrix.history import History
from bots.transports.matrix.members import Members
from bots.transports.matrix.membership import Membership
from bots.transports.matrix.recovery import Recovery
from bots.transports.matrix.replacement import Replacements
from bots.transports.matrix.rooms import Position, RoomState
from bots.transports.matrix.sending import Sending
from bots.transports.matrix.telling import Telling

log = logging.getLogger(__name__)

NAME = "matrix"

_POLL_S = 30.0
_BACKOFF_S = (1.0, 60.0)
_QUIET_COMMIT_S = 300.0  # how often a position moves on disk while nothing arrives
# How long what follows from news may take to be on its way, and then to arrive, before we poll again.
_REACT_S, _DEPART_S = 0.01, 0.1
_TRUST_SYNC_S = 90.0  # how old our view of a room may be before a send asks again


class MatrixTransport:
    """One Matrix account as a ``bots.transports.Transport``.

    ``directory`` holds the kept login; ``password`` is asked only when a login is due and gives "" if
    there is none; ``clock`` gives Unix milliseconds. ``on_joined`` is called once for every room we are in,
    after its context is committed: for those of before at the start, for others when they come.
    ``on_online`` is called when the homeserver is reached, and when it no longer is; ``on_refused`` with the
    configured rooms that will not have us, when one more of them will not; ``on_answer`` with the ``Date`` of every
    answer of the homeserver, and how many seconds after the question it came. ``ready`` is awaited before every sync.
    ``on_left`` is called with each room that we take part in no more, ``on_stayed`` with one that is falsely replaced.
    """

    name = NAME
    reaches = staticmethod(is_user)

    def __init__(
        self,
        config: MatrixConfig,
        directory: Path,
        password: Callable[[], str],
        inbox: Inbox,
        clock: Callable[[], int],
        *,
        on_joined: Callable[[Room], None] = lambda room: None,
        on_online: Callable[[bool], None] = lambda online: None,
        on_refused: Callable[[Collection[str]], None] | None = None,
        on_answer: wire.Answered | None = None,
        on_left: Callable[[Departure], None] = lambda departure: None,
        on_stayed: Callable[[Room, str], None] = lambda room, why: None,
        ready: Callable[[], Awaitable[None]] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        config.check()
        self._config = config
        self._inbox = inbox
        self._account = Account(config, directory, password, on_answer)
        self._membership = Membership(config, self._account)
        self._members = Members(self._account)
        self._encryption = Encryption(self._account, directory, config.user)
        self._sending = Sending(self._account, self._membership, self._encryption)
        history = History(self._account)
        self._arrivals = Arrivals(
            NAME,
            config.user,
            history,
            clock,
            recovery=Recovery(self._account, history, partial(inbox.had, NAME)),
            reader=config.reads_only,
            encryption=self._encryption,
        )
        self._position = rooms.load(inbox.position(NAME), config.user)
        self._replacements = Replacements(self._membership, self._position, self._keep, on_stayed)
        self._entering = Entering(self._membership, self._encryption, self._replacements, on_refused)
        self._telling = Telling(on_joined, on_left, self._position.departures if self._position else ())
        self._on_online = on_online
        self._ready = ready
        self._chance = chance
        self._online: bool | None = None
        self._connected = False
        self._synced_at = float("-inf")
        self._committed_at = float("-inf")
        self._entered = False
        self._filter = SYNC_FILTER
        self._receiving: asyncio.Task[None] | None = None
        self._errands = Errands(self._delay_s)
        self._closing = False
        self._taking = asyncio.Lock()  # what arrived, until it is committed

    @property
    def address(self) -> str:
        return addresses.user_uri(self._config.user)

    @property
    def device(self) -> str:
        return self._account.device

    @property
    def online(self) -> bool:
        """Whether the last sync was answered."""
        return bool(self._online)

    @property
    def sync_age_s(self) -> float | None:
        """Seconds since the last answered sync, None before the first."""
        age_s = asyncio.get_running_loop().time() - self._synced_at
        return None if age_s == float("inf") else age_s

    @property
    def refused_rooms(self) -> dict[str, Refused]:
        """The configured rooms that could not be joined, and why."""
        return dict(self._entering.refused)

    @property
    def encryption(self) -> EncryptionHealth:
        return self._encryption.health()

    @property
    def gaps(self) -> int:
        """How often more had come, while we were away, than is fetched."""
        return self._arrivals.gaps

    def rooms(self) -> Sequence[Room]:
        hidden = self._replacements.moved if self._config.reads_only else self._replacements.hidden(self._known)
        return [self._entering.seen(*room) for room in self._known.items() if room[0] not in hidden]

    @property
    def _known(self) -> dict[str, RoomState]:
        """The rooms we are in, by id."""
        return self._position.rooms if self._position else {}

    def is_member(self, room: str, address: str) -> bool:
        return self._members.holds(room, address)

    async def connect(self) -> None:
        await self._account.connect()
        self._connected = True

    async def close(self) -> None:
        self._closing = True
        if self._receiving is not None:
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)
        await self._errands.end()
        await self._account.close()
        self._encryption.close()

    # --- receiving ---

    async def run(self) -> None:
        """Receive, join the configured rooms, answer invitations. Raises Fatal, StoreError."""
        if self._closing:
            return
        task = self._receiving = asyncio.create_task(self._receive(), name="matrix receive")
        try:
            await task
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not self._closing or (caller is not None and caller.cancelling()):
                raise  # not by ``close``
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._errands.end()

    async def _receive(self) -> None:
        tries = 0
        while True:
            try:
                if not (self._connected and self._account.device):
                    await self.connect()
                if self._config.reads_only and not self._entered:
                    await self._narrow()
                if self._ready is not None:
                    await self._ready()
                await self._round()
            except RetryLater as error:
                self._went(online=False, why=error.message)
                await asyncio.sleep(error.after_s or self._delay_s(tries))
                tries += 1
            except Refused as error:
                raise Fatal(
                    "matrix.sync_refused",
                    f"The homeserver will not let {self._config.user} receive. {error.message}",
                    "Look at the account there, then start again.",
                ) from error
            else:
                tries = 0

    async def _round(self) -> None:
        """One sync, committed, then what follows from it."""
        since = self._position.since if self._position else ""
        poll_s = _POLL_S if self._online and since else 0.0
        body = await self._account.call(wire.sync(since, int(poll_s * 1000), self._filter), poll_s=poll_s)
        try:
            answer = events.sync(body, self._filter["room"].get("rooms"))
        except msgspec.MsgspecError as error:
            raise nonsense() from error
        async with self._taking:
            arrival = await self._take(body, answer)
        self._went(online=True)
        self._tell()
        if not self._entered:
            self._entered = True
            for name in self._config.rooms:
                self._errands.start(name, partial(self._entering.enter, name, self._known))
        await self._react(arrival.position)
        if any(delivery.sender != self.address for delivery in arrival.deliveries):
            await self._let_answers_go()
        if arrival.deliveries:
            # The next poll tells the homeserver that it may forget what it has given us.
            self._inbox.commit(NAME, (), self._dump(arrival.position))

    async def _react(self, position: Position) -> None:
        """Follow rooms that were replaced, leave those that are none of ours, answer invitations."""
        known = position.rooms
        self._replacements.arrived(known)
        invites = {} if self._config.reads_only else position.invites
        for room, inviter in invites.items():
            if self._config.may_invite(inviter) or not self._replacements.invited(room, known):
                self._errands.start(room, partial(self._answer, room, inviter))
        for room in self._replacements.unwanted(known):
            self._errands.start(f"leaving {room}", partial(self._replacements.leave, room))
        await self._follow_on()

    async def _follow_on(self) -> None:
        for room in self._replacements.ready(self._known):
            if self._config.reads_only:
                await self._follow(room)
            else:
                self._errands.start(f"the replacement of {room}", partial(self._follow, room))

    def _dump(self, position: Position) -> str:
        return rooms.dump(msgspec.structs.replace(self._replacements.noted(position), departures=self._telling.untold))

    def _keep(self) -> None:
        """Commit what changed of our position without a sync."""
        if self._position is not None:
            self._inbox.commit(NAME, (), self._dump(self._position))

    async def _take(self, body: bytes, answer: events.Sync) -> Arrival:
        before = self._position
        ours = {*before.rooms, *before.invites} if before else set()
        if self._config.reads_only:
            ours |= {*self._encryption.rooms}  # where it reads at other times
        await self._encryption.prepare(body, answer, ours)
        arrival = await self._arrivals.take(answer, before, self._replacements.moved)
        # Before anybody sees what arrived: who may speak directly is judged by it.
        await self._members.follow(answer, arrival.position.rooms.keys() - self._replacements.moved.keys())
        self._encryption.commit()
        self._telling.untold += self._replacements.left(arrival.departures)
        position = self._dump(arrival.position)
        now = asyncio.get_running_loop().time()
        known = before and (before.rooms, before.invites)
        news = arrival.deliveries or (arrival.position.rooms, arrival.position.invites) != known
        if news or now - self._committed_at >= _QUIET_COMMIT_S:
            # Nobody waits for the disk yet: what follows from it waits by itself before it is sent.
            self._inbox.commit(NAME, arrival.deliveries, position, durable=not arrival.deliveries)
            self._committed_at = now
        self._position = arrival.position
        self._synced_at = now
        self._encryption.settled()
        if self._encryption.due_in_s() is not None:
            self._errands.start("encryption", self._mind_keys)
        if self._encryption.missing():
            self._errands.start("fetching", partial(self._encryption.fetch, self._hand_over))
        return arrival

    async def _hand_over(self) -> None:
        """Commit encrypted events that can be read by now, without waiting for a sync."""
        async with self._taking:
            deliveries = self._arrivals.late(self._known)
            if self._position is not None:
                self._encryption.commit()
                if deliveries:
                    self._inbox.commit(NAME, deliveries, self._dump(self._position))
                self._encryption.late_settled()

    async def _let_answers_go(self) -> None:
        """Send before polling again: the homeserver would work out twice that there is no news but our own words."""
        await asyncio.sleep(_REACT_S)
        if await self._sending.departed(_DEPART_S):
            await asyncio.sleep(_REACT_S)

    async def _mind_keys(self) -> None:
        due_in_s = self._encryption.due_in_s()
        await asyncio.sleep(_POLL_S if due_in_s is None else min(_POLL_S, due_in_s))
        await self._encryption.upkeep()

    def _tell(self) -> None:
        """Say which rooms we left and entered, as far as that is committed."""
        if self._telling.tell_left():
            self._keep()
        self._telling.tell_joined(self.rooms())

    def _went(self, *, online: bool, why: str = "") -> None:
        if online == self._online:
            return
        self._online = online
        if online:
            log.info("Receiving from %s", self._config.homeserver)
        else:
            log.warning("%s Trying again until it answers.", why)
        self._on_online(online)

    def _delay_s(self, tries: int) -> float:
        return delay_s(tries, _BACKOFF_S, self._chance)

    # --- entering rooms ---

    async def join(self, room: str) -> Room:
        return await self._entering.join(room, self._known)

    async def _follow(self, room_id: str) -> None:
        """Go where a room of ours was moved to, if that is where it says."""
        departure = await self._entering.follow(room_id, self._known) if room_id in self._known else None
        if departure is not None:
            self._telling.untold.append(departure)
            if self._config.reads_only:
                await self._narrow()
                self._position = None
            self._keep()
        self._tell()
        await self._follow_on()

    async def _narrow(self) -> None:
        """Enter the configured rooms before the first sync, and receive no other."""
        enter = self._entering.enter
        entered = [room for name in self._config.rooms if (room := await enter(name, self._known)) is not None]
        self._filter = sync_filter([addresses.room_id(room.uri) for room in entered])
        self._entered = True

    async def _answer(self, room: str, inviter: str) -> None:
        if self._config.may_invite(inviter):
            await self._replacements.want(room)
        await self._membership.answer(room, inviter)
        # Answered: the next sync says so too, but one that is on its way may still not know.
        if self._position and room in self._position.invites:
            left = {other: by for other, by in self._position.invites.items() if other != room}
            self._position = msgspec.structs.replace(self._position, invites=left)

    # --- sending ---

    async def send(self, parcel: Parcel) -> str:
        if self._config.reads_only:
            raise Refused("matrix.reads_only", "This login only reads along: it says nothing.")
        self._replacements.demand(parcel.room, self._known)
        return await self._sending.send(parcel, self._seen_encrypted)

    def _seen_encrypted(self, room_id: str) -> bool | None:
        """Whether a room is encrypted, as far as the syncs tell; None if that is no longer, or not yet, known."""
        state = self._known.get(room_id)
        fresh = asyncio.get_running_loop().time() - self._synced_at < _TRUST_SYNC_S
        if state is not None and (state.encrypted or fresh):
            return state.encrypted
        return None

    # --- artifacts ---

    async def store_chunk(self, data: bytes) -> str:
        return await encryption.store_chunk(self._account, data, self._encryption)

    async def fetch_chunk(self, uri: str, most: int) -> bytes:
        return await encryption.fetch_chunk(self._account, uri, most)

    # --- reading ---

    def direct_event(self, carrier: str) -> str:
        return writing.direct_event(self._config.user, carrier)

    def carriers(self, delivery: Delivery) -> list[object]:
        return reading.carriers(delivery)

    def person_text(self, delivery: Delivery) -> PersonText | None:
        return reading.person_text(delivery, self._config.user, self._account.display_name)

    def thread_root(self, delivery: Delivery) -> str:
        return reading.thread_root(delivery)
