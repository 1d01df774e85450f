"""What is done with what arrives, once it is known who sent it: committed before anybody is told that it was taken."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from bots.transports import Delivery, Plane
from bots.transports.activitypub.activities import (
    Accept,
    Create,
    CreateById,
    DeleteActor,
    Follow,
    Reject,
    UndoFollow,
)
from bots.transports.activitypub.contacts import Contacts
from bots.transports.activitypub.following import Following, contact_of
from bots.transports.activitypub.inbound_note import Note, event
from bots.transports.activitypub.members import Members
from bots.transports.activitypub.names import PUBLIC, Names
from bots.transports.activitypub.planes import head, plane_of
from bots.transports.activitypub.taken import Taken
from bots.transports.activitypub.verification import Arrival, Verifier
from clawnet_proto.bindings import activitypub
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.rendering import clean
from clawnet_proto.signing import digest

log = logging.getLogger(__name__)

TRANSPORT: Final = "activitypub"
_OF_MEMBERS: Final = frozenset({"presence.announce", "presence.leave", "identity.revoke"})


class Arrivals:
    """``commit`` keeps deliveries for the agent, ``rooms`` are those that we are in.

    ``unheard`` is called with a private question: nobody may be shown what was said to us alone.
    """

    def __init__(
        self,
        names: Names,
        rooms: Collection[str],
        verifier: Verifier,
        contacts: Contacts,
        members: Members,
        taken: Taken,
        following: Following,
        commit: Callable[[Sequence[Delivery]], None],
        clock: Callable[[], int],
        unheard: Callable[[Note, Arrival], None],
    ) -> None:
        self._names = names
        self._rooms = rooms
        self._verifier = verifier
        self._contacts = contacts
        self._members = members
        self._taken = taken
        self._commit = commit
        self._clock = clock
        self._unheard = unheard
        self._handlers: dict[type, Callable[[Arrival, Any], None]] = {
            Follow: following.on_follow,
            UndoFollow: following.on_undo,
            Accept: following.on_accept,
            Reject: following.on_reject,
            DeleteActor: following.on_delete,
        }

    async def take(self, arrival: Arrival) -> None:
        """Take one activity. Raises Rejected if it must come again, or is not as it should be; StoreError."""
        activity = arrival.activity
        if self._knows(arrival, activity.id):
            return
        if isinstance(activity, Create | CreateById):
            note = await self._verifier.note(activity)
            ids = (activity.id, note.id)
            # While that was fetched the same may have come once more.
            if not note.edited and not any(self._knows(arrival, one) for one in ids):
                self._on_note(arrival, note)
            self._taken.note(_key(arrival, one) for one in ids)
        elif not arrival.forwarded and (handler := self._handlers.get(type(activity))) is not None:
            handler(arrival, activity)
            self._taken.note((_key(arrival, activity.id),))

    def _knows(self, arrival: Arrival, name: str) -> bool:
        """Whether an activity or a note of this actor was taken.

        What somebody handed on says less than what the actor sends itself, and never stands in its way.
        """
        if _key(arrival, name) in self._taken:
            return True
        return arrival.forwarded and _key(msgspec.structs.replace(arrival, forwarded=False), name) in self._taken

    def _on_note(self, arrival: Arrival, note: Note) -> None:
        raw = event(note)
        listed = activitypub.carriers(raw, "room")
        if listed:
            self._on_carriers(arrival, note, raw, listed)
        elif arrival.actor.type == "Person" and not (note.carriers or arrival.forwarded):
            self._on_words(arrival, note, raw)

    def _on_carriers(self, arrival: Arrival, note: Note, raw: str, listed: list[object]) -> None:
        sender, room = arrival.actor.id, note.room or PUBLIC
        plane = plane_of(listed, public=note.is_public, room=note.room)
        if room not in self._rooms and plane == "room":
            log.info("%s says something in a room that we are not in", sender)
            return
        if plane == "direct" and self._names.actor not in (*note.to, *note.cc):
            return  # it was said to somebody else
        keys = [f"{plane} {sender} {digest(msgspec.json.encode(one))}" for one in listed]
        if not self._taken.all(keys):
            self._commit([delivered(note, sender, self._clock(), plane=plane, raw=raw)])
        self._taken.note(keys)
        if plane == "room" and not arrival.forwarded:
            self._contacts.know(contact_of(arrival.actor), self._clock())
            for one in listed:
                self._on_presence(room, sender, one)

    def _on_presence(self, room: str, sender: str, carrier: object) -> None:
        """Whoever announces itself to us is in the room."""
        if head(carrier).type not in _OF_MEMBERS:
            return
        try:
            message = verify(msgspec.json.encode(carrier))
        except (RemoteProtocolError, msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
            log.info("An announce of %s does not hold: %s", sender, clean(str(error)))
            return
        if message.envelope.room == room:
            self._members.heard(room, sender, message, self._clock())

    def _on_words(self, arrival: Arrival, note: Note, raw: str) -> None:
        """A person says something: it is a question if it mentions us."""
        if self._names.actor not in note.mentions:
            return
        self._contacts.know(contact_of(arrival.actor), self._clock())
        if note.is_public:
            self._commit([delivered(note, arrival.actor.id, self._clock(), raw=raw)])
        else:
            self._unheard(note, arrival)


def _key(arrival: Arrival, name: str) -> str:
    """What is remembered of an activity or a note."""
    return f"{'handed on ' if arrival.forwarded else ''}{arrival.actor.id} {name}"


def delivered(
    note: Note, sender: str, now_ms: int, *, plane: Plane = "room", live: bool = True, raw: str = ""
) -> Delivery:
    """A note as the agent gets it; ``raw`` is its event, if that is known."""
    direct = plane == "direct"
    return Delivery(
        transport=TRANSPORT, plane=plane, room="" if direct else note.room or PUBLIC, sender=sender,
        event_id="" if direct else note.id, event=raw or event(note), received_ms=now_ms, live=live,
    )  # fmt: skip
