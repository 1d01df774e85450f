"""What a parcel becomes: a note to everybody, to the members of a room, or to one peer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Final

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports import Parcel
from bots.transports.activitypub import notes
from bots.transports.activitypub.contacts import Contact, Contacts
from bots.transports.activitypub.dispatch import Dispatch
from bots.transports.activitypub.fetcher import FetchError, Forbidden
from bots.transports.activitypub.following import contact_of
from bots.transports.activitypub.inbound_note import CARRIERS_BYTES_MOST
from bots.transports.activitypub.members import Members
from bots.transports.activitypub.names import PUBLIC, BadUrl, Names, canonical, origin
from bots.transports.activitypub.notes import Document, Words
from bots.transports.activitypub.outgoing import Outgoing
from bots.transports.activitypub.planes import Head, head
from bots.transports.activitypub.verification import Verifier

_BODY_CHARACTERS: Final = 20_000  # of the words for people
_NAMED_MOST: Final = 256  # in ``to``: readers refuse longer lists (AP-10)
_BETWEEN_AGENTS: Final = "A message between two agents."
_FOR_EVERYBODY: Final = frozenset({"presence.announce", "presence.leave", "identity.rotate", "identity.revoke"})


class _Planned(msgspec.Struct, frozen=True, kw_only=True):
    """To whom a parcel goes, and how they are named in it."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    contacts: tuple[Contact, ...]
    mentions: tuple[Contact, ...] = ()
    shared: bool = True
    public: bool = False
    announces: str = ""


class Sending:
    """``rooms`` are those that we are in, ``own`` gives our identity's did, ``clock`` Unix milliseconds."""

    def __init__(
        self,
        names: Names,
        rooms: Collection[str],
        own: Callable[[], str],
        contacts: Contacts,
        members: Members,
        verifier: Verifier,
        outgoing: Outgoing,
        dispatch: Dispatch,
        is_blocked: Callable[[str], bool],
        clock: Callable[[], int],
    ) -> None:
        self._names = names
        self._rooms = rooms
        self._own = own
        self._contacts = contacts
        self._members = members
        self._verifier = verifier
        self._outgoing = outgoing
        self._dispatch = dispatch
        self._is_blocked = is_blocked
        self._clock = clock

    @staticmethod
    def is_farewell(parcel: Parcel) -> bool:
        """Whether it says that we go: soon nobody may be there to bring it."""
        return any(head(one).type == "presence.leave" for one in _parsed(parcel))

    async def send(self, parcel: Parcel) -> Document | None:
        """Commit a parcel as an activity and return that; None if nobody is to have it. Raises RetryLater, Refused."""
        if said := self._outgoing.said(parcel.txn):
            return said
        if not (parcel.carriers or parcel.mention):
            return None  # words alone are for who asked
        heads = [head(one) for one in _parsed(parcel)]
        text = notes.carriers_text(parcel.carriers) if parcel.carriers else ""
        if len(text.encode()) > CARRIERS_BYTES_MOST or len(parcel.body) > _BODY_CHARACTERS:
            raise Refused(
                "activitypub.too_large", f"A note holds no more than {CARRIERS_BYTES_MOST} bytes of messages."
            )
        planned = await (self._to_peer(parcel) if parcel.plane == "direct" else self._to_room(parcel, heads))
        # Meanwhile the same may have gone.
        if said := self._outgoing.said(parcel.txn):
            return said
        name = self._dispatch.name()
        words = Words(
            name=name,
            published_ms=self._clock(),
            text=parcel.body or _BETWEEN_AGENTS,
            carriers=text,
            to=planned.to[:_NAMED_MOST],
            cc=planned.cc,
            mentions=tuple((one.actor, one.handle) for one in planned.mentions),
            in_reply_to=parcel.thread_root,
            room="" if parcel.room == PUBLIC else parcel.room,
        )
        document = notes.create(self._names, words)
        self._dispatch.send(
            name,
            document,
            planned.contacts,
            txn=parcel.txn,
            shared=planned.shared,
            public=planned.public,
            announces=planned.announces,
            expires_ms=max((one.expires_ms for one in heads), default=0),
            attachments={hashlib.sha256(text.encode()).hexdigest(): text} if text else None,
        )
        return document

    async def _to_room(self, parcel: Parcel, heads: Sequence[Head]) -> _Planned:
        if parcel.room not in self._rooms:
            raise Refused("activitypub.no_room", "That is no room that this actor is in.")
        members = self._members.of(parcel.room, self._clock()) if heads else ()
        if parcel.mention:
            # Who asked in public is answered where everybody can read on.
            person = await self._contact(parcel.mention)
            return _Planned(
                to=tuple(dict.fromkeys([person.actor, *members])),
                cc=(PUBLIC,),
                contacts=(person, *self._known(members)),
                mentions=(person,),
                public=True,
            )
        if not all(one.type in _FOR_EVERYBODY for one in heads):
            return _Planned(to=tuple(members), contacts=self._known(members))
        own = any(one.type == "presence.announce" and one.sender == self._own() for one in heads)
        announces, agents = parcel.room if own else "", dict.fromkeys([*members, *self._contacts.agents()])
        if parcel.room != PUBLIC:
            return _Planned(to=tuple(agents), contacts=self._known(agents), announces=announces)
        hearers = dict.fromkeys([*agents, *self._contacts.followers()])
        return _Planned(
            to=(PUBLIC,),
            cc=(self._names.followers,),
            contacts=self._known(hearers),
            public=True,
            announces=announces,
        )

    def _known(self, actors: Collection[str]) -> tuple[Contact, ...]:
        return tuple(one for one in self._contacts.of(actors) if not self._is_blocked(one.actor))

    async def _to_peer(self, parcel: Parcel) -> _Planned:
        peer = await self._contact(parcel.address)
        return _Planned(to=(peer.actor,), contacts=(peer,), mentions=(peer,), shared=False)

    async def _contact(self, address: str) -> Contact:
        """Where somebody takes what is sent to it. Raises RetryLater, Refused."""
        try:
            if canonical(address) != address or origin(address) == self._names.base or self._is_blocked(address):
                raise Refused("activitypub.no_peer", "Nothing is sent to that address.")
            if (known := self._contacts.contact(address)) is not None:
                return known
            found = contact_of(await self._verifier.actor(address))
        except (BadUrl, Forbidden) as error:
            raise Refused("activitypub.no_peer", f"That is no address of an actor: {error}") from error
        except FetchError as error:
            if error.gone:
                raise Refused("activitypub.no_peer", "Nobody is at that address.") from error
            raise RetryLater("activitypub.unreachable", f"{address} cannot be reached: {error}", 0.0) from error
        self._contacts.know(found, self._clock())
        return found


def _parsed(parcel: Parcel) -> list[object]:
    """The carriers as JSON. Raises Refused."""
    try:
        return [msgspec.json.decode(one) for one in parcel.carriers]
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise Refused("activitypub.bad_content", f"A carrier is no JSON: {error}.") from error
