"""One sync answer -> what arrived, in order, and the position it brings us to.

Kept are ``m.room.message``, ``m.room.redaction`` (a view hides what it names) and ``net.clawnet.*``
of rooms, and ``net.clawnet.direct`` of devices; what is encrypted is kept as what its sender wrote.
Memberships and the rest of the state are read for ``RoomState`` and then dropped.

    first sync of all            context, with up to CONTEXT_EVENTS a room (a reader's: READERS_CONTEXT_EVENTS)
    room we were in              live; a gap is paged back to the last position, at most GAP_EVENTS, and then
                                 to where nothing is unknown: our homeserver may have missed something itself
    room joined since            what stands before our join is context, what follows is live
    room we are in no more       context, up to our leaving it
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Any

import msgspec

from bots.transports import Delivery, Departure, Plane
from bots.transports.matrix import addresses, rooms
from bots.transports.matrix import events as answers
from bots.transports.matrix.encryption import Encryption
from bots.transports.matrix.events import ENCRYPTED, JoinedRoom, Membership, MembershipBefore, Sync, part
from bots.transports.matrix.history import Event, History
from bots.transports.matrix.recovery import MEMBER, Recovery
from bots.transports.matrix.rooms import Position, RoomState
from clawnet_proto.bindings.matrix import DIRECT, MESSAGE

log = logging.getLogger(__name__)

CONTEXT_EVENTS = 200
READERS_CONTEXT_EVENTS = 1_000  # of who does nothing but read
GAP_EVENTS = 5_000
GAP_BYTES = 32 * 2**20
_CONTEXT_LOOKED_AT = 2_000  # events, memberships included, looked at to find so much context

_KEPT_TYPES = (MESSAGE, ENCRYPTED, "m.room.redaction", "net.clawnet.*")
_SEEN_TYPES = (*_KEPT_TYPES, MEMBER, *rooms.STATE_TYPES)
_NOTHING: dict[str, list[str]] = {"types": []}

SYNC_FILTER: dict[str, Any] = {
    "presence": _NOTHING,
    "account_data": _NOTHING,
    "room": {
        "timeline": {"types": list(_SEEN_TYPES), "limit": 100, "lazy_load_members": True},
        "state": {"types": list(rooms.STATE_TYPES), "lazy_load_members": True},
        "ephemeral": _NOTHING,
        "account_data": _NOTHING,
    },
}


def sync_filter(rooms: Sequence[str]) -> dict[str, Any]:
    """``SYNC_FILTER`` for these rooms alone, by id."""
    return SYNC_FILTER | {"room": SYNC_FILTER["room"] | {"rooms": list(rooms)}}


class Arrival(msgspec.Struct, frozen=True):
    """What one sync brought."""

    deliveries: list[Delivery]
    position: Position
    departures: list[Departure] = []  # from rooms that we were in


class Arrivals:
    """Reads syncs for one user.

    ``clock`` gives Unix milliseconds; a ``reader`` does nothing else, and so begins further back, and is shown what is
    encrypted and cannot be read as it is.
    """

    def __init__(
        self,
        transport: str,
        us: str,
        history: History,
        clock: Callable[[], int],
        *,
        recovery: Recovery,
        encryption: Encryption,
        reader: bool = False,
    ) -> None:
        self.gaps = 0  # how often more had come than is fetched
        self._recovery = recovery
        self._transport = transport
        self._us = us
        self._history = history
        self._clock = clock
        self._reader = reader
        self._encryption = encryption

    async def take(self, sync: Sync, before: Position | None, replaced: Collection[str] = ()) -> Arrival:
        """What arrived since ``before`` (None: nothing was ever committed). Raises RetryLater, Fatal.

        What is said in ``replaced`` rooms, by id, is not delivered.
        """
        states = dict(before.rooms) if before else {}
        invites = dict(before.invites) if before else {}
        deliveries: list[Delivery] = []
        departures: list[Departure] = []
        for raw in sync.to_device.events:
            header = answers.header(raw)
            if header is not None and header.type == DIRECT:
                self._deliver(deliveries, (header, raw), "direct", "", live=before is not None)
        for room, news in sync.rooms.join.items():
            if not _is_room(room):
                continue
            invites.pop(room, None)
            known = states.get(room)
            timeline = _readable(news.timeline.events)
            states[room] = _room_state(known, news, timeline)
            if room in replaced:
                continue
            self._recovery.saw(timeline, before.since if before else "")
            for event, live in await self._events(room, news, timeline, known, before):
                if (readable := self._read(room, event, live=live)) is not None:
                    self._deliver(deliveries, readable, "room", room, live=live)
        for room, last in sync.rooms.leave.items():
            invites.pop(room, None)
            if (known := states.pop(room, None)) is not None and room not in replaced:
                timeline = _readable(last.timeline.events)
                departures.append(self._departure(room, known, timeline))
                for event in timeline:
                    if (readable := self._read(room, event, live=True)) is not None:
                        self._deliver(deliveries, readable, "room", room, live=False)  # nobody there hears us
        for room, invited in sync.rooms.invite.items():
            inviter = self._inviter(invited.invite_state.events)
            if inviter and _is_room(room):
                invites[room] = inviter
                # Put out and invited again, both while we were away.
                if (known := states.pop(room, None)) is not None and room not in replaced:
                    departures.append(self._departure(room, known, []))
        deliveries += self.late(states)
        for event in self._encryption.directs():
            self._deliver(deliveries, event, "direct", "", live=before is not None)
        return Arrival(deliveries, Position(self._us, sync.next_batch, states, invites), departures)

    def late(self, ours: Collection[str]) -> list[Delivery]:
        """Encrypted events of before that can be read by now; those of our rooms, by id, are live."""
        deliveries: list[Delivery] = []
        for room, event in self._encryption.late():
            self._deliver(deliveries, event, "room", room, live=room in ours)
        return deliveries

    def _read(self, room: str, event: Event, *, live: bool) -> Event | None:
        """An event as its sender wrote it; None for what cannot be read, and for plain words in an encrypted room."""
        header, encryption = event[0], self._encryption
        if self._reader and room in encryption.rooms:
            # It begins anew at each start, but its device goes on: what came since is judged as it was then.
            live = encryption.was_there(room, event) or live
        if header.type == ENCRYPTED:
            read = encryption.read(room, event, live=live)
            return event if read is None and live and self._reader else read
        if live and header.type == MESSAGE and encryption.private(room):
            encryption.plain(room, header.sender)
            return None
        return event

    async def _events(
        self,
        room: str,
        news: JoinedRoom,
        timeline: list[Event],
        known: RoomState | None,
        before: Position | None,
    ) -> list[tuple[Event, bool]]:
        """The room's news in order, each with whether it is live."""
        start = news.timeline.prev_batch if news.timeline.limited else ""
        if before is None:
            context = await self._context(room, start, timeline)
            return [(event, False) for event in context + timeline]
        if known is None:
            return await self._since_join(room, start, timeline)
        missed = await self._gap(room, start, before.since, known.last_event) if start else []
        live = [(event, True) for event in missed + timeline]
        return await self._elsewhere(room, start, before.since, missed, timeline) + live if start else live

    async def _context(self, room: str, start: str, newer: list[Event]) -> list[Event]:
        found: list[Event] = []
        size = 0
        most = READERS_CONTEXT_EVENTS if self._reader else CONTEXT_EVENTS
        wanted = most - sum(_kept(event) for event in newer)
        if not start or wanted <= 0:
            return found
        async for event in self._history.before(room, start, "", _KEPT_TYPES):
            found.append(event)
            size += _bytes(event)
            if len(found) >= wanted or size >= GAP_BYTES:
                break
        return found[::-1]

    async def _gap(self, room: str, start: str, since: str, last_event: str) -> list[Event]:
        found: list[Event] = []
        size = 0
        async for event in self._history.before(room, start, since, _KEPT_TYPES):
            # Homeservers that do not know ``since`` here would page into what we have had.
            if last_event and event[0].event_id == last_event:
                break
            found.append(event)
            size += _bytes(event)
            if len(found) >= GAP_EVENTS or size >= GAP_BYTES:
                self.gaps += 1
                log.error("%s: more was missed than is fetched; the newest %d events are", room, len(found))
                break
        return found[::-1]

    async def _elsewhere(
        self, room: str, start: str, since: str, missed: list[Event], timeline: list[Event]
    ) -> list[tuple[Event, bool]]:
        """What our homeserver had missed itself: live, but for what stands before our join."""
        known = {header.event_id for header, _ in missed + timeline}
        if len(missed) >= GAP_EVENTS:
            return []  # that was said
        found = await self._recovery.before(room, timeline, start, since, (*_KEPT_TYPES, MEMBER), known)
        joined = max((place for place, event in enumerate(found) if self._is_our_join(event)), default=-1)
        return [(event, place > joined) for place, event in enumerate(found)]

    async def _since_join(self, room: str, start: str, timeline: list[Event]) -> list[tuple[Event, bool]]:
        """Context up to our join, live from there on."""
        newest_first: list[Event] = []
        join: int | None = None
        context = size = 0
        async for event in self._newest_first(room, start, timeline):
            newest_first.append(event)
            size += _bytes(event)
            if join is None and self._is_our_join(event):
                join = len(newest_first) - 1
            if join is None and (len(newest_first) >= GAP_EVENTS or size >= GAP_BYTES):
                self.gaps += 1
                log.error("%s: more came since our join than is fetched", room)
                join = len(newest_first)
            if join is not None:
                context += _kept(event)
                if context >= CONTEXT_EVENTS or len(newest_first) - join >= _CONTEXT_LOOKED_AT:
                    break
        if join is None:
            join = 0  # nowhere to be seen: nothing of it may count as work
        ordered = [(event, place < join) for place, event in enumerate(newest_first)]
        return ordered[::-1]

    async def _newest_first(self, room: str, start: str, timeline: list[Event]) -> AsyncIterator[Event]:
        for event in reversed(timeline):
            yield event
        if start:
            async for event in self._history.before(room, start, "", (*_KEPT_TYPES, MEMBER)):
                yield event

    def _deliver(self, deliveries: list[Delivery], event: Event, plane: Plane, room: str, *, live: bool) -> None:
        header, raw = event
        if plane == "room" and not (_kept(event) or (self._reader and header.type == ENCRYPTED)):
            return
        try:
            delivery = Delivery(
                transport=self._transport,
                plane=plane,
                room=addresses.room_uri(room) if room else "",
                sender=addresses.user_uri(header.sender),
                event_id=header.event_id if plane == "room" else "",
                event=bytes(raw).decode("utf-8", "replace"),
                received_ms=self._clock(),
                live=live,
            )
        except ValueError as error:
            log.warning("An event without a proper sender was dropped: %s", error)
            return
        deliveries.append(delivery)

    def _is_our_join(self, event: Event) -> bool:
        header = event[0]
        if header.type != MEMBER or header.state_key != self._us:
            return False
        now = part(header.content, Membership) or Membership()
        earlier = part(header.unsigned, MembershipBefore) or MembershipBefore()
        # A new name or picture is a membership event too, but no join.
        return now.membership == "join" and earlier.prev_content.membership != "join"

    def _departure(self, room: str, known: RoomState, timeline: list[Event]) -> Departure:
        """How we left a room: by the last membership event of ours, if it is to be seen."""
        of_us = (header for header, _ in timeline if (header.type, header.state_key) == (MEMBER, self._us))
        return rooms.departure(room, known, next(reversed([*of_us]), None), self._us)

    def _inviter(self, state: list[msgspec.Raw]) -> str:
        for raw in state:
            header = answers.header(raw)
            if header is not None and (header.type, header.state_key) == (MEMBER, self._us):
                return header.sender
        return ""


def _room_state(known: RoomState | None, news: JoinedRoom, timeline: list[Event]) -> RoomState:
    state = known or RoomState()
    for header, _ in _readable(news.state.events) + timeline:
        state = rooms.after(state, header)
    return msgspec.structs.replace(
        state,
        members=state.members if news.summary.joined is None else news.summary.joined,
        last_event=timeline[-1][0].event_id if timeline else state.last_event,
    )


def _readable(raws: list[msgspec.Raw]) -> list[Event]:
    return [(header, raw) for raw in raws if (header := answers.header(raw)) is not None]


def _kept(event: Event) -> bool:
    header = event[0]
    wanted = header.type in (MESSAGE, "m.room.redaction") or header.type.startswith("net.clawnet.")
    return wanted and bool(header.event_id)


def _bytes(event: Event) -> int:
    return len(memoryview(event[1]))


def _is_room(room: str) -> bool:
    try:
        return bool(addresses.room_uri(room))
    except ValueError:
        return False
