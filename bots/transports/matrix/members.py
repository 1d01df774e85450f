"""Who is joined to the rooms we are in: asked once a room and start, then followed from sync to sync."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from itertools import islice

import msgspec

from bots.errors import Refused
from bots.transports.matrix import addresses, events, wire
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.events import Membership, Sync, part

log = logging.getLogger(__name__)

MEMBERS_MOST = 100_000  # of one room; whoever comes beyond that is not known to be in it

_MEMBER = "m.room.member"


class Members:
    """The joined members of our rooms, in memory only: while we are away nobody tells us who leaves."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._joined: dict[str, set[str]] = {}  # address URIs by room URI

    def holds(self, room: str, address: str) -> bool:
        """Whether the account is joined to the room, both as URIs."""
        return address in self._joined.get(room, ())

    async def follow(self, sync: Sync, room_ids: Collection[str]) -> None:
        """Take in a sync that leaves us in these rooms; twice is as good as once. Raises RetryLater, Fatal."""
        ours = {addresses.room_uri(room_id): room_id for room_id in room_ids}
        for room in self._joined.keys() - ours.keys():
            del self._joined[room]
        for room, room_id in ours.items():
            news = sync.rooms.join.get(room_id)
            joined = self._joined.get(room)
            if joined is None or (news is not None and news.timeline.limited):
                # The state of a sync leaves out members on purpose: rooms can have very many.
                await self._ask(room, room_id)
            elif news is not None:
                _apply(joined, news.timeline.events)

    async def _ask(self, room: str, room_id: str) -> None:
        try:
            answer = events.joined_members(await self._account.call(wire.joined_members(room_id)))
        except Refused as error:
            # Most likely we were removed a moment ago, and the next sync says so.
            log.info("The members of %s cannot be read: %s", room_id, error)
            self._joined.pop(room, None)
            return
        except msgspec.MsgspecError as error:
            raise nonsense() from error
        if len(answer.joined) > MEMBERS_MOST:
            log.warning("%s has %d members, of which %d are known", room_id, len(answer.joined), MEMBERS_MOST)
        uris = (_uri(user) for user in islice(answer.joined, MEMBERS_MOST))
        self._joined[room] = {uri for uri in uris if uri}


def _apply(joined: set[str], timeline: Iterable[msgspec.Raw]) -> None:
    for raw in timeline:
        header = events.header(raw)
        if header is None or header.type != _MEMBER or not (uri := _uri(header.state_key or "")):
            continue
        if (part(header.content, Membership) or Membership()).membership != "join":
            joined.discard(uri)
        elif len(joined) < MEMBERS_MOST:
            joined.add(uri)


def _uri(user: str) -> str:
    """The address of a user, "" if that is no user id."""
    try:
        return addresses.user_uri(user)
    except ValueError:
        return ""
