"""What we know of the rooms we are in, and how far the sync has come: one value, committed together."""

from __future__ import annotations

from typing import Literal

import msgspec

from bots.transports import Departure, Room
from bots.transports.matrix import addresses
from bots.transports.matrix.events import Header, Membership, part

TOMBSTONE = "m.room.tombstone"

STATE_TYPES = (
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.name",
    TOMBSTONE,
)


class RoomState(msgspec.Struct, frozen=True):
    """One room, by what its state events say."""

    last_event: str = ""  # the newest event that was committed
    name: str = ""
    alias: str = ""
    join_rule: str = ""
    history: str = ""
    encrypted: bool = False
    members: int = 1
    replacement: str = ""  # the room that is to take its place, as it says itself
    replaced_by: str = ""  # user id of who said so


class Position(msgspec.Struct, frozen=True):
    """How far we have come: the sync token, our rooms at that point, invitations not yet answered."""

    user: str  # whose position this is
    since: str
    rooms: dict[str, RoomState] = {}
    invites: dict[str, str] = {}  # room id -> user id of who invited us
    moved: dict[str, str] = {}  # room id -> id of the room that we followed it to
    looked_at: list[str] = []  # ids of rooms that we may be in only to see whether they are a replacement
    departures: list[Departure] = []  # that are still to be told


class _Content(msgspec.Struct):
    name: object = None
    alias: object = None
    join_rule: object = None
    history_visibility: object = None
    replacement_room: object = None


def load(text: str | None, user: str) -> Position | None:
    """The position that was committed, None if there is none of this user that can be read."""
    try:
        position = None if text is None else msgspec.json.decode(text, type=Position)
    except msgspec.MsgspecError:
        return None
    return position if position and position.user == user else None


def dump(position: Position) -> str:
    """A position as text."""
    return msgspec.json.encode(position).decode()


def after(state: RoomState, event: Header) -> RoomState:
    """What a state event makes of what we know; other events change nothing."""
    if event.state_key != "" or event.type not in STATE_TYPES:
        return state
    if event.type == "m.room.encryption":
        # It cannot be switched off again, whatever a later event says.
        return msgspec.structs.replace(state, encrypted=True)
    content = part(event.content, _Content) or _Content()
    if event.type == "m.room.name":
        return msgspec.structs.replace(state, name=_text(content.name))
    if event.type == "m.room.canonical_alias":
        return msgspec.structs.replace(state, alias=_text(content.alias))
    if event.type == "m.room.join_rules":
        return msgspec.structs.replace(state, join_rule=_text(content.join_rule))
    if event.type == TOMBSTONE:
        target = _text(content.replacement_room)
        return msgspec.structs.replace(state, replacement=target, replaced_by=event.sender if target else "")
    return msgspec.structs.replace(state, history=_text(content.history_visibility))


def seen_encrypted(state: RoomState, encrypted: bool) -> RoomState:
    """The state of a room that was seen encrypted, if it was."""
    return msgspec.structs.replace(state, encrypted=True) if encrypted else state


def room(room_id: str, state: RoomState) -> Room:
    """The room as the agent knows it."""
    return Room(
        uri=addresses.room_uri(room_id),
        name=state.alias or state.name or room_id,
        public=state.join_rule == "public" or state.history == "world_readable",
        encrypted=state.encrypted,
        members=state.members,
    )


def departure(room_id: str, state: RoomState, last: Header | None, us: str) -> Departure:
    """How we (a user id) left a room; ``last`` is our membership event there, None if it is not known."""
    content = (part(last.content, Membership) if last else None) or Membership()
    code: Literal["room.left", "room.kicked", "room.banned"] = "room.kicked"
    if content.membership == "ban":
        code = "room.banned"
    elif last is not None and last.sender == us:
        code = "room.left"
    return Departure(
        room=addresses.room_uri(room_id),
        name=room(room_id, state).name,
        code=code,
        by=address(last.sender) if last else "",
        reason=_text(content.reason),
    )


def address(user: str) -> str:
    """The address URI of a user id, "" if it is none."""
    try:
        return addresses.user_uri(user)
    except ValueError:
        return ""


def _text(value: object) -> str:
    return value[:255] if isinstance(value, str) else ""
