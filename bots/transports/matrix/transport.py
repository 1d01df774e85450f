"""Matrix as one of the agent's transports."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from bots.errors import Fatal, Refused, RetryLater, StoreError
from bots.transports import Delivery, EncryptionHealth, Inbox, Parcel, PersonText, Room
from bots.transports.matrix import addresses, encryption, events, reading, rooms, wire, writing
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.arrivals import SYNC_FILTER, Arrival, Arrivals, sync_filter
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.encryption import Encryption
from bots.transports.matrix.history import History
from bots.transports.matrix.members import Members
from bots.transports.matrix.membership import Membership
from bots.transports.matrix.recovery import Recovery
from bots.transports.matrix.rooms import RoomState
from bots.transports.matrix.sending import Sending

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
    configured rooms that will not have us, when one more of them will not.
    """

    name = NAME

    def __init__(
        self,
        config: MatrixConfig,
        directory: Path,
        password: Callable[[], str],
        inbox: Inbox,
        clock: Callable[[], int],
        *,
        on_joined: Callable[[Room], None] | None = None,
        on_online: Callable[[bool], None] | None = None,
        on_refused: Callable[[Collection[str]], None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        config.check()
        self._config = config
        self._inbox = inbox
        self._account = Account(config, directory, password)
        self._membership = Membership(config, self._account)
        self._members = Members(self._account)
        # Who only looks on is no member that others encrypt to.
        self._encryption = None if config.reads_only else Encryption(self._account, directory, config.user)
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
        self._on_joined = on_joined
        self._on_online = on_online
        self._on_refused = on_refused
        self._chance = chance
        self._online: bool | None = None
        self._connected = False
        self._synced_at = float("-inf")
        self._committed_at = float("-inf")
        self._entered = False
        self._filter = SYNC_FILTER
        self._told: set[str] = set()
        self._refused_rooms: dict[str, Refused] = {}
        self._receiving: asyncio.Task[None] | None = None
        self._errands: dict[str, asyncio.Task[None]] = {}
        self._sends: set[asyncio.Task[Any]] = set()
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
        return dict(self._refused_rooms)

    @property
    def encryption(self) -> EncryptionHealth:
        return EncryptionHealth() if self._encryption is None else self._encryption.health()

    def rooms(self) -> Sequence[Room]:
        known = self._position.rooms if self._position else {}
        return [self._room(room_id, state) for room_id, state in known.items()]

    def _room(self, room_id: str, state: RoomState) -> Room:
        room = rooms.room(room_id, state)
        ever = self._encryption is not None and room_id in self._encryption.rooms
        return msgspec.structs.replace(room, encrypted=True) if ever else room

    def is_member(self, room: str, address: str) -> bool:
        return self._members.holds(room, address)

    async def connect(self) -> None:
        await self._account.connect()
        self._connected = True

    async def close(self) -> None:
        self._closing = True
        tasks = [task for task in (self._receiving, *self._errands.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._account.close()
        if self._encryption is not None:
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
            for errand in self._errands.values():
                errand.cancel()
            await asyncio.gather(task, *self._errands.values(), return_exceptions=True)

    async def _receive(self) -> None:
        tries = 0
        while True:
            try:
                if not (self._connected and self._account.device):
                    await self.connect()
                if self._config.reads_only and not self._entered:
                    await self._narrow()
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
        request = wire.sync(since, int(poll_s * 1000), self._filter)
        body = await self._account.call(request, poll_s=poll_s)
        try:
            answer = events.sync(body)
        except msgspec.MsgspecError as error:
            raise nonsense() from error
        async with self._taking:
            arrival = await self._take(body, answer)
        self._went(online=True)
        self._tell_joined()
        if not self._entered:
            self._entered = True
            for name in self._config.rooms:
                self._start_errand(name, partial(self._enter, name))
        invites = {} if self._config.reads_only else arrival.position.invites
        for room, inviter in invites.items():
            self._start_errand(room, partial(self._answer, room, inviter))
        if any(delivery.sender != self.address for delivery in arrival.deliveries):
            await self._let_answers_go()
        if arrival.deliveries:
            # The next poll tells the homeserver that it may forget what it has given us.
            self._inbox.commit(NAME, (), rooms.dump(arrival.position))

    async def _take(self, body: bytes, answer: events.Sync) -> Arrival:
        before = self._position
        if self._encryption is not None:
            ours = {*before.rooms, *before.invites} if before else set()
            await self._encryption.prepare(body, answer, ours)
        arrival = await self._arrivals.take(answer, before)
        # Before anybody sees what arrived: who may speak directly is judged by it.
        await self._members.follow(answer, arrival.position.rooms)
        if self._encryption is not None:
            self._encryption.commit()
        position = rooms.dump(arrival.position)
        now = asyncio.get_running_loop().time()
        known = before and (before.rooms, before.invites)
        news = arrival.deliveries or (arrival.position.rooms, arrival.position.invites) != known
        if news or now - self._committed_at >= _QUIET_COMMIT_S:
            # Nobody waits for the disk yet: what follows from it waits by itself before it is sent.
            self._inbox.commit(NAME, arrival.deliveries, position, durable=not arrival.deliveries)
            self._committed_at = now
        self._position = arrival.position
        self._synced_at = now
        if self._encryption is not None:
            self._encryption.settled()
            if self._encryption.due_in_s() is not None:
                self._start_errand("encryption", self._mind_keys)
            if self._encryption.missing():
                self._start_errand("fetching", partial(self._encryption.fetch, self._hand_over))
        return arrival

    async def _hand_over(self) -> None:
        """Commit encrypted events that can be read by now, without waiting for a sync."""
        async with self._taking:
            deliveries = self._arrivals.late()
            if self._encryption is not None and self._position is not None:
                self._encryption.commit()
                if deliveries:
                    self._inbox.commit(NAME, deliveries, rooms.dump(self._position))
                self._encryption.late_settled()

    async def _let_answers_go(self) -> None:
        """Send before polling again: the homeserver would work out twice that there is no news but our own words."""
        await asyncio.sleep(_REACT_S)
        if self._sends:
            await asyncio.wait(self._sends, timeout=_DEPART_S)
            await asyncio.sleep(_REACT_S)

    async def _mind_keys(self) -> None:
        assert self._encryption is not None
        due_in_s = self._encryption.due_in_s()
        await asyncio.sleep(_POLL_S if due_in_s is None else min(_POLL_S, due_in_s))
        await self._encryption.upkeep()

    def _tell_joined(self) -> None:
        known = self._position.rooms if self._position else {}
        self._told &= known.keys()
        for room_id in known.keys() - self._told:
            self._told.add(room_id)
            if self._on_joined is not None:
                self._on_joined(self._room(room_id, known[room_id]))

    def _went(self, *, online: bool, why: str = "") -> None:
        if online == self._online:
            return
        self._online = online
        if online:
            log.info("Receiving from %s", self._config.homeserver)
        else:
            log.warning("%s Trying again until it answers.", why)
        if self._on_online is not None:
            self._on_online(online)

    def _delay_s(self, tries: int) -> float:
        shortest, longest = _BACKOFF_S
        ceiling = min(longest, shortest * float(2 ** min(tries + 1, 16)))
        return max(shortest, ceiling * (0.5 + self._chance() / 2))

    # --- entering rooms ---

    async def join(self, room: str) -> Room:
        target = await self._membership.resolve(room)
        known = self._position.rooms if self._position else {}
        if target.name in known:
            return self._room(target.name, known[target.name])
        room_id = await self._membership.join(target, room)
        state = await self._membership.look(room_id)
        if state.encrypted and self._encryption is not None:
            self._encryption.remember(room_id)
            await self._encryption.begin()
        return self._room(room_id, state)

    async def _narrow(self) -> None:
        """Enter the configured rooms before the first sync, and receive no other."""
        entered = [room for name in self._config.rooms if (room := await self._enter(name)) is not None]
        self._filter = sync_filter([addresses.room_id(room.uri) for room in entered])
        self._entered = True

    async def _enter(self, name: str) -> Room | None:
        try:
            return await self.join(name)
        except Refused as error:
            self._refused_rooms[name] = error
            log.error("%s", error)
            if self._on_refused is not None:
                self._on_refused(self._refused_rooms.keys())
            return None

    async def _answer(self, room: str, inviter: str) -> None:
        await self._membership.answer(room, inviter)
        # Answered: the next sync says so too, but one that is on its way may still not know.
        if self._position and room in self._position.invites:
            left = {other: by for other, by in self._position.invites.items() if other != room}
            self._position = msgspec.structs.replace(self._position, invites=left)

    def _start_errand(self, key: str, errand: Callable[[], Awaitable[object]]) -> None:
        """Do something beside receiving, unless it is being done already."""
        if key not in self._errands:
            task = self._errands[key] = asyncio.create_task(self._patiently(key, errand), name=f"matrix {key}")
            task.add_done_callback(lambda _: self._errands.pop(key, None))

    async def _patiently(self, what: str, errand: Callable[[], Awaitable[object]]) -> None:
        tries = 0
        while True:
            try:
                await errand()
                return
            except RetryLater as error:
                if tries == 0:
                    log.warning("%s: %s Trying again.", what, error)
                await asyncio.sleep(error.after_s or self._delay_s(tries))
                tries += 1
            except (Fatal, StoreError):
                return  # receiving meets the same, and says so

    # --- sending ---

    async def send(self, parcel: Parcel) -> str:
        task = asyncio.current_task()
        assert task is not None
        self._sends.add(task)
        try:
            return await self._sending.send(parcel, self._seen_encrypted)
        finally:
            self._sends.discard(task)

    def _seen_encrypted(self, room_id: str) -> bool | None:
        """Whether a room is encrypted, as far as the syncs tell; None if that is no longer, or not yet, known."""
        state = self._position.rooms.get(room_id) if self._position else None
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
