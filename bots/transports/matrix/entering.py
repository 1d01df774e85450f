"""How we get into rooms: those that our owner names, and those that take the place of others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from bots.errors import Refused
from bots.transports import Departure, Room
from bots.transports.matrix import addresses, rooms
from bots.transports.matrix.addresses import RoomTarget
from bots.transports.matrix.encryption import Encryption
from bots.transports.matrix.membership import Membership
from bots.transports.matrix.replacement import Replacements
from bots.transports.matrix.rooms import RoomState

log = logging.getLogger(__name__)


class Entering:
    """``refused`` is called with the names of all rooms that will not have us, when one more of them will not."""

    def __init__(
        self,
        membership: Membership,
        encryption: Encryption,
        replacements: Replacements,
        refused: Callable[[Collection[str]], None] | None,
    ) -> None:
        self._membership = membership
        self._encryption = encryption
        self._replacements = replacements
        self._tell = refused
        self.refused: dict[str, Refused] = {}  # by name

    async def join(self, name: str, known: Mapping[str, RoomState]) -> Room:
        """Join a room by name, or what took its place, unless it is ``known``. Raises Refused, RetryLater, Fatal."""
        target = await self._membership.resolve(name)
        if (newest := self._replacements.newest(target.name)) != target.name:
            target = RoomTarget(newest, target.via)
        doubtful = await self._replacements.want(target.name)
        if target.name in known and not doubtful:
            return self.seen(target.name, known[target.name])
        room_id = await self._membership.join(target, name)
        state = await self._membership.look(room_id)
        while self._replacements.due(room_id, state):
            if (found := await self._replacements.follow(room_id, state, known)) is not None:
                room_id, state = state.replacement, found
        if state.encrypted:
            self._encryption.remember(room_id)
            await self._encryption.begin()
        return self.seen(room_id, state)

    async def enter(self, name: str, known: Mapping[str, RoomState]) -> Room | None:
        """The same for a room that will perhaps not have us: that is told. Raises RetryLater, Fatal."""
        try:
            return await self.join(name, known)
        except Refused as error:
            self.refused[name] = error
            log.error("%s", error)
            if self._tell is not None:
                self._tell(self.refused.keys())
            return None

    async def follow(self, room_id: str, known: Mapping[str, RoomState]) -> Departure | None:
        """Go from a room of ours to its replacement; None if that is none. Raises RetryLater, Fatal."""
        state = known[room_id]
        old = self.seen(room_id, state)
        found = await self._replacements.follow(room_id, rooms.seen_encrypted(state, old.encrypted), known)
        if found is None:
            return None
        if found.encrypted:
            self._encryption.remember(state.replacement)
        return Departure(
            room=old.uri,
            name=old.name,
            code="room.replaced",
            by=rooms.address(state.replaced_by),
            successor=addresses.room_uri(state.replacement),
        )

    def seen(self, room_id: str, state: RoomState) -> Room:
        """A room as the agent knows it; once encrypted, always encrypted."""
        return rooms.room(room_id, rooms.seen_encrypted(state, room_id in self._encryption.rooms))
