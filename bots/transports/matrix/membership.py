"""Which rooms we enter: by name, and by invitation."""

from __future__ import annotations

import logging
from typing import TypeVar

import msgspec

from bots.errors import Refused
from bots.transports.matrix import addresses, events, rooms, wire
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.addresses import RoomTarget
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.rooms import RoomState

log = logging.getLogger(__name__)

T = TypeVar("T")

_ENCRYPTION = "m.room.encryption"


class _Directory(msgspec.Struct):
    room_id: str
    servers: list[str] = []


class _Joined(msgspec.Struct):
    room_id: str


class _Predecessor(msgspec.Struct, frozen=True):
    room_id: str = ""


class _Create(msgspec.Struct):
    predecessor: _Predecessor = _Predecessor()


class Membership:
    """Joins, refusals, and looking at a room whose state no sync has brought yet."""

    def __init__(self, config: MatrixConfig, account: Account) -> None:
        self._config = config
        self._account = account

    async def resolve(self, name: str) -> RoomTarget:
        """The room id behind a name. Raises Refused, RetryLater, Fatal."""
        try:
            target = addresses.room_target(name)
        except ValueError as error:
            raise Refused(
                "matrix.room_name", f"{name!r} is no Matrix room.", 'Write it like "#lobby:example.org".'
            ) from error
        if target.name.startswith("!"):
            return target
        try:
            found = _decoded(await self._account.call(wire.resolve_alias(target.name)), _Directory)
        except Refused as error:
            raise Refused("matrix.no_such_room", f"There is no room {target.name}.", "Check its name.") from error
        return RoomTarget(found.room_id, target.via or tuple(found.servers[:4]))

    async def join(self, target: RoomTarget, name: str) -> str:
        """Join a room by id; ``name`` is what people call it. Raises Refused, RetryLater, Fatal."""
        try:
            return _decoded(await self._account.call(wire.join(target.name, target.via)), _Joined).room_id
        except Refused as error:
            if error.code == "matrix.forbidden":
                hint = "Ask somebody in it for an invitation."
            else:
                hint = "Check its name; a room id of another server needs ?via=SERVER."
            raise Refused(error.code, f"The room {name} cannot be joined: {error.message}", hint) from error

    async def answer(self, room: str, inviter: str) -> None:
        """Accept or decline an invitation, as the owner decided. Raises RetryLater, Fatal."""
        try:
            if self._config.may_invite(inviter):
                log.info("Accepting the invitation of %s to %s", inviter, room)
                via = addresses.server_of(inviter)
                await self.join(RoomTarget(room, (via,)), room)
            else:
                log.warning("Declining the invitation of %s to %s: not on the list", inviter, room)
                await self.leave(room)
        except Refused as error:
            log.warning("The invitation to %s came to nothing: %s", room, error)

    async def look(self, room: str) -> RoomState:
        """What the room's state says now. Raises RetryLater, Fatal."""
        state = RoomState()
        for kind in rooms.STATE_TYPES:
            try:
                event = await self._account.call(wire.state_event(room, kind))
            except Refused:
                continue  # not set, or not for us to see
            header = events.header(event)
            if header is None:  # a server that does not know how to give more
                header = events.Header(type=kind, sender="", state_key="", content=msgspec.Raw(event))
            state = rooms.after(state, header)
        return state

    async def predecessor(self, room: str) -> str:
        """The room that this one says it replaces, "" if none. Raises Refused, RetryLater, Fatal."""
        content = _decoded(await self._account.call(wire.state(room, "m.room.create")), _Create)
        return content.predecessor.room_id

    async def leave(self, room: str) -> None:
        """Leave a room. Raises RetryLater, Refused, Fatal."""
        await self._account.call(wire.leave(room))

    async def encrypted(self, room: str) -> bool:
        """Whether the room is encrypted, asked now. Raises Refused, RetryLater, Fatal."""
        try:
            await self._account.call(wire.state(room, _ENCRYPTION))
        except Refused as error:
            if error.code == "matrix.not_found":
                return False
            raise
        return True


def _decoded(answer: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise nonsense() from error
