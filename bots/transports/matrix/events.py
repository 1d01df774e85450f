"""What a homeserver's answers hold, in types; every event itself stays the text that arrived."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

ENCRYPTED: Final = "m.room.encrypted"
ENCRYPTION: Final = "m.room.encryption"
MEMBER: Final = "m.room.member"

_DEEPEST = 128  # no honest event nests deeper; parsers give up near a thousand

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]|[^"\[\]{}]+', re.DOTALL)
# A pair of surrogates, or (group 1) a lone one, or any other escape.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)

_NOTHING = msgspec.Raw(b"{}")


class Header(msgspec.Struct, frozen=True):
    """What one must know of an event to file it; all else stays unread."""

    type: str
    sender: str
    event_id: str = ""
    state_key: str | None = None
    content: msgspec.Raw = _NOTHING
    unsigned: msgspec.Raw = _NOTHING


class Membership(msgspec.Struct, frozen=True):
    """The content of ``m.room.member``."""

    membership: str = ""
    reason: object = None


class MembershipBefore(msgspec.Struct, frozen=True):
    """The ``unsigned`` part of ``m.room.member``."""

    prev_content: Membership = Membership()


class Events(msgspec.Struct, frozen=True):
    """A bare list of events."""

    events: list[msgspec.Raw] = []


class Timeline(msgspec.Struct, frozen=True):
    """The newest events of a room, oldest first; ``limited``: some before them are missing."""

    events: list[msgspec.Raw] = []
    limited: bool = False
    prev_batch: str = ""


class Summary(msgspec.Struct, frozen=True):
    """What the server counts for us."""

    joined: int | None = msgspec.field(name="m.joined_member_count", default=None)


class JoinedRoom(msgspec.Struct, frozen=True):
    """News of a room we are in."""

    summary: Summary = Summary()
    state: Events = Events()
    timeline: Timeline = Timeline()


class LeftRoom(msgspec.Struct, frozen=True):
    """The last of a room we are no longer in."""

    timeline: Timeline = Timeline()


class InvitedRoom(msgspec.Struct, frozen=True):
    """A room somebody wants us in."""

    invite_state: Events = Events()


class Rooms(msgspec.Struct, frozen=True):
    """News of rooms, by room id."""

    join: dict[str, JoinedRoom] = {}
    leave: dict[str, LeftRoom] = {}
    invite: dict[str, InvitedRoom] = {}


class DeviceLists(msgspec.Struct, frozen=True):
    """Users whose devices changed, and with whom we share no room any more."""

    changed: list[str] = []
    left: list[str] = []


class Sync(msgspec.Struct, frozen=True):
    """The answer to ``/sync``."""

    next_batch: str
    rooms: Rooms = Rooms()
    to_device: Events = Events()
    device_lists: DeviceLists = DeviceLists()
    device_one_time_keys_count: dict[str, int] = {}
    device_unused_fallback_key_types: list[str] | None = None


class JoinedMembers(msgspec.Struct, frozen=True):
    """The answer to ``/joined_members``: profiles by user id."""

    joined: dict[str, msgspec.Raw]


class Page(msgspec.Struct, frozen=True):
    """The answer to ``/messages``; paging backwards, newest first."""

    chunk: list[msgspec.Raw] = []
    end: str = ""


_header = msgspec.json.Decoder(Header)
_sync = msgspec.json.Decoder(Sync)
_page = msgspec.json.Decoder(Page)
_joined_members = msgspec.json.Decoder(JoinedMembers)


def header(event: bytes | str | msgspec.Raw) -> Header | None:
    """The header of an event, None if it has none that can be read. Never raises."""
    try:
        return _header.decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def part(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """Content or ``unsigned`` of an event as ``kind``, None if it does not fit. Never raises."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def sync(body: bytes, only: Collection[str] | None = None) -> Sync:
    """The answer to ``/sync``. Raises msgspec.MsgspecError if it is no such thing.

    With ``only`` it tells of these rooms alone: servers mention others, too, that were filtered out.
    """
    answer = _tolerantly(_sync, body)
    if only is None:
        return answer
    join, leave, invite = answer.rooms.join, answer.rooms.leave, answer.rooms.invite
    rooms = Rooms(_among(join, only), _among(leave, only), _among(invite, only))
    return msgspec.structs.replace(answer, rooms=rooms)


def _among(news: dict[str, T], rooms: Collection[str]) -> dict[str, T]:
    return {room: value for room, value in news.items() if room in rooms}


def page(body: bytes) -> Page:
    """The answer to ``/messages``. Raises msgspec.MsgspecError if it is no such thing."""
    return _tolerantly(_page, body)


def joined_members(body: bytes) -> JoinedMembers:
    """The answer to ``/joined_members``. Raises msgspec.MsgspecError if it is no such thing."""
    return _tolerantly(_joined_members, body)


def _tolerantly(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # One hostile event in a room must not make every answer that holds it unreadable.
        return decoder.decode(defused(body))


def defused(body: bytes) -> bytes:
    """JSON without what makes parsers give up: bad UTF-8, lone surrogates, values nested too deep.

    The former two become U+FFFD, the latter null; everything else stays as it is.
    """
    kept: list[bytes] = []
    depth = 0
    for token in _TOKEN.finditer(body.decode("utf-8", "replace").encode()):
        text = token.group()
        if text in (b"[", b"{"):
            depth += 1
            if depth <= _DEEPEST + 1:
                kept.append(text if depth <= _DEEPEST else b"null")
        elif depth <= _DEEPEST:
            kept.append(_ESCAPE.sub(_paired, text) if text.startswith(b'"') else text)
        if text in (b"]", b"}"):
            depth -= 1
    return b"".join(kept)


def _paired(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape.group(1) else escape.group()
