"""Rooms that are replaced by others, as their state says, and what is taken for a replacement (MX-47 to MX-49).

Whoever may replace a room may lead those in it anywhere: so what they are led to must say the same of itself, hide no
less than the old room, and not lead round in a circle. What fails is left alone until there is another tombstone, an
invitation, or another start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports import Departure, Room
from bots.transports.matrix import addresses, rooms
from bots.transports.matrix.addresses import RoomTarget
from bots.transports.matrix.membership import Membership
from bots.transports.matrix.pacing import Pace, Warnings
from bots.transports.matrix.rooms import Position, RoomState

log = logging.getLogger(__name__)

CHAIN_MOST = 16  # replacements one after the other
_MOVED_MOST = 256
_TRIES = 3  # while the homeserver gives no answer to it
_LATE_S = 600.0  # how long after that a homeserver may still join us; later it is somebody's wish
_PAUSE_S = 2.0  # after the first of them; then twice as long
# Who is in a room can change its tombstone, or invite us, as often as they like.
_LOOKS_AT_ONCE, _LOOKS_PER_MINUTE = 3, 0.1
_WARNINGS_AT_ONCE, _WARNINGS_PER_MINUTE = 10, 1.0


class Replacements:
    """Which room replaced which, as far as we followed.

    ``before`` is the position of an earlier run. ``keep`` is called when ``looked_at`` is to be committed, ``stays``
    with a room that is not followed to its replacement, and why not.
    """

    def __init__(
        self,
        membership: Membership,
        before: Position | None,
        keep: Callable[[], None],
        stays: Callable[[Room, str], None] = lambda room, why: None,
    ) -> None:
        self._membership = membership
        self._keep = keep
        self._stays = stays
        self._moved = dict(before.moved) if before else {}
        self._declined: dict[str, str] = {}  # by room: the replacement that is none
        self._outside: set[str] = set()  # those that were declined without our being in their replacement
        self._begun: dict[str, str] = {}  # by room: the replacement looked at last
        # Rooms we join, or joined, to see whether they are what they are said to be, and when that was: until they are.
        self._unproven: dict[str, float] = dict.fromkeys(before.looked_at if before else (), time.monotonic())
        self._under_way: set[str] = set()  # those that are looked at now
        self._wanted: set[str] = set()  # rooms that we are to be in whatever they are
        self._arriving: dict[str, float] = {}  # rooms we have joined and no sync has brought yet, and since when
        self._leaving = asyncio.Lock()
        self._pace = Pace(_LOOKS_AT_ONCE, _LOOKS_PER_MINUTE)
        self._warnings = Warnings(log, Pace(_WARNINGS_AT_ONCE, _WARNINGS_PER_MINUTE))

    @property
    def moved(self) -> dict[str, str]:
        """The rooms that were replaced, by id, and by which."""
        return dict(self._moved)

    def newest(self, room: str) -> str:
        """The room that this one leads to, replacement by replacement; itself if it was not replaced."""
        while room in self._moved:
            room = self._moved[room]
        return room

    def due(self, room: str, state: RoomState) -> bool:
        """Whether we are to go where the room says."""
        return bool(state.replacement) and room not in self._moved and self._declined.get(room) != state.replacement

    def ready(self, states: Mapping[str, RoomState]) -> list[str]:
        """The rooms that are to be followed now."""
        return [room for room, state in states.items() if room not in self.unproven and self.due(room, state)]

    def hidden(self, states: Mapping[str, RoomState]) -> set[str]:
        """Those of our rooms in which nothing is said any more, or not now."""
        never = {*self._moved, *self.unproven}
        return {room for room, state in states.items() if room in never or self.due(room, state)}

    @property
    def unproven(self) -> set[str]:
        """Rooms that we may be in only to see whether they are what they are said to be."""
        return self._unproven.keys() - self._wanted

    @property
    def looked_at(self) -> list[str]:
        """Those of them that we may be in yet, by id."""
        since = time.monotonic() - _LATE_S
        return [room for room in self.unproven if self._unproven[room] > since]

    def unwanted(self, states: Mapping[str, RoomState]) -> set[str]:
        """Those of our rooms that are to be left: a homeserver may join us some time after it gave up on it."""
        followed = {states[room].replacement for room in self.ready(states)}
        return {room for room in self.looked_at if room in states and room not in followed | self._under_way}

    async def want(self, room: str) -> bool:
        """Be in this room whatever it is: our owner names it, or somebody invited us whose invitations we accept.

        Gives whether we may have been about to leave it, and so are to join it though we seem to be in it.
        """
        doubtful = room in self.unproven
        async with self._leaving:
            self._wanted.add(room)
            self._unproven.pop(room, None)
        return doubtful

    def left(self, departures: Sequence[Departure]) -> list[Departure]:
        """Those that are to be told; nobody wants us back there until that is said anew."""
        told = [departure for departure in departures if addresses.room_id(departure.room) not in self.unproven]
        self._wanted -= {addresses.room_id(departure.room) for departure in told}
        return told

    def noted(self, position: Position) -> Position:
        """A position with what is to be known after a restart."""
        return msgspec.structs.replace(position, moved=self._moved, looked_at=self.looked_at)

    async def leave(self, room: str) -> None:
        """Leave a room, if we are in it and it is not wanted. Raises RetryLater, Fatal."""
        async with self._leaving:
            if room not in self._wanted:
                with contextlib.suppress(Refused):
                    await self._membership.leave(room)

    def demand(self, uri: str, states: Mapping[str, RoomState]) -> None:
        """Raises Refused, RetryLater if nothing more is to be said in this one of our rooms."""
        for room in self.hidden(states):
            if addresses.room_uri(room) == uri:
                if room in self._moved:
                    raise Refused("matrix.room_replaced", "The room was replaced by another.")
                raise RetryLater("matrix.room_replaced", "The room is being replaced by another.", 0.0)

    def arrived(self, rooms: Collection[str]) -> None:
        """The last sync leaves us in these rooms."""
        since = time.monotonic() - _LATE_S
        self._arriving = {room: at for room, at in self._arriving.items() if room not in rooms and at > since}
        for room in [room for room in self._outside if self._declined.get(room) in rooms]:
            if self._declined[room] not in self.unproven:  # somebody else had us enter it: what is it?
                self._outside.discard(room)
                del self._declined[room]

    def invited(self, target: str, rooms: Mapping[str, RoomState]) -> bool:
        """Whether an invitation is to a room that one of ours names as its replacement; that is then due again."""
        if target in self._arriving:
            return True
        for room, state in rooms.items():
            if state.replacement == target and room not in self._moved:
                if self._declined.get(room) == target and self._pace.take(room):
                    del self._declined[room]
                return self.due(room, state)
        return False

    async def follow(self, room: str, state: RoomState, known: Collection[str]) -> RoomState | None:
        """Join the replacement of a room, and return its state; None if it is none. Raises RetryLater, Fatal.

        ``known`` are the rooms we are in.
        """
        target = state.replacement
        ours = (target in known or target in self._arriving) and target not in self.unproven
        try:
            if self._begun.get(room) != target and not self._pace.take(room):
                raise Refused("matrix.replacement", "That room was led to others too often just now.")
            self._begun[room] = target
            self._check_course(room, target)
            found = await (self._verified(room, state) if ours else self._enter(room, state))
            self._check_course(room, target)  # others were followed meanwhile
        except Refused as error:
            self._declined[room] = target
            if ours:
                self._outside.discard(room)
            else:
                self._outside.add(room)
            self._warnings.say(room, f"The room {room} is not followed to its replacement {target}: {error}")
            self._stays(rooms.room(room, state), error.message)
            return None
        self._moved[room] = target
        self._arriving[target] = time.monotonic()
        while len(self._moved) > _MOVED_MOST:
            del self._moved[next(iter(self._moved))]
        log.info("The room %s was replaced by %s", room, target)
        return found

    def _check_course(self, room: str, target: str) -> None:
        before = [room]
        came_from = {new: old for old, new in self._moved.items()}
        while before[-1] in came_from and len(before) <= CHAIN_MOST:
            before.append(came_from[before[-1]])
        if target in before or target in self._moved:
            raise Refused("matrix.replacement", "It is a room that we came from.")
        if len(before) > CHAIN_MOST:
            raise Refused("matrix.replacement", f"It would be more than {CHAIN_MOST} replacements in a row.")

    async def _enter(self, room: str, state: RoomState) -> RoomState:
        """Join the replacement, and leave it again if it is none. Raises Refused, RetryLater, Fatal."""
        target = state.replacement
        try:
            addresses.room_uri(target)
        except ValueError as error:
            raise Refused("matrix.room_name", "That is no room.") from error
        if target in self._under_way:
            raise RetryLater("matrix.room_replaced", "Another room leads there, too.", _PAUSE_S)
        servers = (addresses.server_of(state.replaced_by), addresses.server_of(target))
        self._unproven[target] = time.monotonic()
        self._keep()
        self._under_way.add(target)
        try:
            await self._join(RoomTarget(target, tuple(server for server in servers if server)))
            found = await self._verified(room, state)
        except Refused:
            await self.leave(target)
            raise
        finally:
            self._under_way.discard(target)
            if target in self._unproven:
                self._unproven[target] = time.monotonic()
        self._unproven.pop(target, None)
        return found

    async def _verified(self, room: str, state: RoomState) -> RoomState:
        """The state of the replacement of a room, if it is one. Raises Refused, RetryLater, Fatal."""
        if await self._membership.predecessor(state.replacement) != room:
            raise Refused("matrix.replacement", "It does not say that it replaces this room.")
        found = await self._membership.look(state.replacement)
        if state.encrypted and not found.encrypted:
            raise Refused("matrix.replacement", "It is not encrypted, and this room is.")
        return found

    async def _join(self, target: RoomTarget) -> None:
        tries = 0
        while True:
            try:
                await self._membership.join(target, target.name)
                return
            except RetryLater as error:
                limited = error.code == "matrix.rate_limited"
                tries += not limited
                if tries >= _TRIES:
                    raise Refused(error.code, error.message) from error
                await asyncio.sleep(max(error.after_s, 1.0) if limited else _PAUSE_S * tries)
