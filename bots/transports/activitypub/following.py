"""Who hears our announces, and whose we hear (spec/bindings/activitypub.md, "Following").

Following is asking for announces, never leave to do anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Sequence
from typing import Final

from bots.backoff import delay_s
from bots.errors import RetryLater
from bots.transports.activitypub import actors
from bots.transports.activitypub.activities import Accept, DeleteActor, Follow, Reject, UndoFollow
from bots.transports.activitypub.actors import Actor
from bots.transports.activitypub.contacts import Contact, Contacts
from bots.transports.activitypub.dispatch import Dispatch
from bots.transports.activitypub.fetcher import Fetcher, FetchError, Forbidden
from bots.transports.activitypub.members import Members
from bots.transports.activitypub.names import BadUrl, Names, canonical
from bots.transports.activitypub.plain_json import Malformed
from bots.transports.activitypub.verification import Arrival

log = logging.getLogger(__name__)

_ASK_AGAIN_MS: Final = 86_400_000  # who has not answered by then is asked once more
_FORGOTTEN_MS: Final = (
    60_000  # whoever asks us as if for the first time, so long after we asked it, has lost who we are
)
_FIND_S: Final = (2.0, 600.0)


def contact_of(actor: Actor) -> Contact:
    """Where an actor takes what is sent to it, by its own document."""
    return Contact(actor.id, actor.user, actor.inbox, actor.shared_inbox, bool(actor.identity))


class Following:
    """Followers and those we follow. ``is_blocked`` tells of a URL whether its host may have nothing of us.

    ``accepted`` is called with an actor that sends us its announces from now on.
    """

    def __init__(
        self,
        names: Names,
        contacts: Contacts,
        members: Members,
        dispatch: Dispatch,
        is_blocked: Callable[[str], bool],
        clock: Callable[[], int],
        accepted: Callable[[str], None],
    ) -> None:
        self._names = names
        self._contacts = contacts
        self._members = members
        self._dispatch = dispatch
        self._is_blocked = is_blocked
        self._clock = clock
        self._accepted = accepted

    def want(self, actor: Actor, name: str) -> None:
        """Follow an actor that the owner calls so. Raises RetryLater, StoreError."""
        self._contacts.want(actor.id, name)
        self.ask(actor, caused=False)

    def want_only(self, names: Collection[str]) -> None:
        """Whom the owner has named before, and does no more, is not followed any more. Raises StoreError."""
        for actor in self._contacts.want_only(names):
            self._leave(actor)

    def ask(self, actor: Actor, *, anew: bool = False, caused: bool = True) -> None:
        """Ask for an actor's announces, unless that is done; ``anew``: it may have forgotten.

        ``caused``: it was first to ask for ours. Raises RetryLater, StoreError.
        """
        now_ms = self._clock()
        if actor.id == self._names.actor or self._is_blocked(actor.id) or not self._contacts.may_ask(actor.id, now_ms):
            return
        known = self._contacts.followed(actor.id)
        if known is not None:
            since_ms = now_ms - known.asked_ms
            done = since_ms < _FORGOTTEN_MS if anew else known.state == "accepted"
            if done or (known.state != "accepted" and since_ms < _ASK_AGAIN_MS):
                return
        contact, name = contact_of(actor), self._dispatch.name()
        self._contacts.know(contact, now_ms)
        self._dispatch.follow(name, contact, caused=caused)
        self._contacts.asked(actor.id, self._names.activity(name), now_ms)
        if contact.agent:
            self._dispatch.announce_to(contact)

    # -- what others say of it -------------------------------------------------------------------------------

    def on_follow(self, arrival: Arrival, activity: Follow) -> None:
        """Somebody wants our announces. Raises RetryLater, StoreError."""
        if activity.object != self._names.actor:
            return
        actor, contact = arrival.actor, contact_of(arrival.actor)
        if self._is_blocked(actor.id) or not self._contacts.may_follow(actor.id):
            self._dispatch.reject(contact, activity.id)
            return
        self._contacts.know(contact, self._clock())
        new = not self._contacts.is_follower(actor.id)
        self._dispatch.accept(contact, activity.id)
        if new:
            log.info("%s follows us", actor.id)
            self._dispatch.announce_to(contact)
        self._contacts.add_follower(actor.id, activity.id)
        if actor.identity:
            self.ask(actor, anew=new)

    def on_undo(self, arrival: Arrival, activity: UndoFollow) -> None:
        """Somebody wants them no more. What only names a Follow must name the one by which it follows."""
        actor = arrival.actor.id
        if activity.object:
            ours = activity.object == self._names.actor
        else:
            ours = activity.follow == self._contacts.follow_of(actor)
        if ours:
            self._contacts.remove_follower(actor)
            if not self._contacts.is_wanted(actor):
                self._leave(actor)

    def _leave(self, actor: str) -> None:
        """Follow an actor no more."""
        known, contact = self._contacts.followed(actor), self._contacts.contact(actor)
        self._contacts.remove_following(actor)
        if known is None or contact is None:
            return
        try:
            self._dispatch.unfollow(contact, known.follow.rpartition("/")[2])
        except RetryLater as error:
            log.info("%s is not told that we do not follow it any more: %s", actor, error)

    def on_accept(self, arrival: Arrival, activity: Accept) -> None:
        """Somebody sends us its announces from now on."""
        known = self._contacts.followed(arrival.actor.id)
        if self._is_ours(arrival.actor, activity) and known is not None and known.state != "accepted":
            self._contacts.answered(arrival.actor.id, "accepted")
            self._accepted(arrival.actor.id)

    def on_reject(self, arrival: Arrival, activity: Reject) -> None:
        if self._is_ours(arrival.actor, activity):
            log.warning("%s does not let us follow", arrival.actor.id)
            self._contacts.answered(arrival.actor.id, "rejected")

    def _is_ours(self, actor: Actor, activity: Accept | Reject) -> bool:
        """Whether it answers what we asked this very actor."""
        known = self._contacts.followed(actor.id)
        if known is None:
            return False
        return activity.follow == known.follow or (not activity.follow and activity.follower == self._names.actor)

    def on_delete(self, arrival: Arrival, _activity: DeleteActor) -> None:
        """An actor is no more."""
        self.forget(arrival.actor.id)

    def forget(self, actor: str) -> None:
        """Nothing is sent to an actor any more."""
        self._contacts.forget(actor)
        self._members.forget(actor)


class Finder:
    """Finds whom the owner wants to follow, and goes on until each is found."""

    def __init__(self, fetcher: Fetcher, ask: Callable[[Actor, str], None]) -> None:
        self._fetcher = fetcher
        self._ask = ask

    async def run(self, wanted: Sequence[str], backoff_s: tuple[float, float] = _FIND_S) -> None:
        """``wanted`` are handles or ids. Raises StoreError."""
        await asyncio.gather(*(self._find(one, backoff_s) for one in wanted))

    async def _find(self, wanted: str, backoff_s: tuple[float, float]) -> None:
        tries = 0
        while True:
            try:
                self._ask(await self.actor(wanted), wanted)
            except (Forbidden, BadUrl, Malformed) as error:
                log.error("%s cannot be followed: %s", wanted, error)
                return
            except (FetchError, RetryLater) as error:
                if tries == 0:
                    log.warning("%s is not found, trying again: %s", wanted, error)
                await asyncio.sleep(delay_s(tries, backoff_s, random.random))
                tries += 1
            else:
                return

    async def actor(self, wanted: str) -> Actor:
        """The actor of this handle or id, as its server tells it now. Raises FetchError, BadUrl, Malformed."""
        actor_id = canonical(wanted) if "://" in wanted else await self._fetcher.webfinger(wanted)
        return actors.read(await self._fetcher.document(actor_id))
