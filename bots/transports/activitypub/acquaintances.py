"""The actors whose documents we have: fetched from their ids, kept for an hour, bounded (AP-28, AP-29)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from bots.fair_memory import FairMemory
from bots.serving.limits import Allowance, Meters
from bots.transports.activitypub import actors
from bots.transports.activitypub.actors import Actor
from bots.transports.activitypub.fetcher import Bad, Fetcher, FetchError
from bots.transports.activitypub.names import site
from bots.transports.activitypub.plain_json import Malformed
from bots.transports.activitypub.references import Document

ACTORS_MOST: Final = 1024
FRESH_MS: Final = 3_600_000
STALE_MS: Final = 86_400_000  # how long a document counts while its server cannot be reached
ABSENT_MS: Final = 60_000
REFETCH_MS: Final = 60_000
_ABSENT_MOST: Final = 1024
_UNPROVEN: Final = Allowance(60, 1)  # fetches from one domain for whoever has proven nothing yet
_FETCHES_MOST: Final = 32  # at a time, of those
_FETCHES_OF_SITE: Final = 8


class Busy(FetchError):
    """Too many are asked for at the moment."""


class Known(msgspec.Struct, frozen=True):
    """An actor, and when its document was fetched, by the monotonic clock."""

    actor: Actor
    fetched_ms: int


class _Absence(msgspec.Struct, frozen=True):
    """Why an actor could not be fetched. An exception would keep alive all that was read."""

    until_ms: int
    kind: type[FetchError]
    text: str
    status: int

    def error(self) -> FetchError:
        return self.kind(self.text, self.status)


class Acquaintances:
    """Fetches each actor once, whoever asks at the same time. ``monotonic`` gives milliseconds that nobody sets."""

    def __init__(self, fetcher: Fetcher, monotonic: Callable[[], int]) -> None:
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._known: dict[str, Known] = {}
        self._kept: FairMemory[str] = FairMemory(ACTORS_MOST)
        self._absent: OrderedDict[str, _Absence] = OrderedDict()  # the oldest first
        self._unproven = Meters(_UNPROVEN)
        self._refetched: OrderedDict[str, int] = OrderedDict()
        self._fetches: dict[str, asyncio.Task[Known | _Absence]] = {}

    def cached(self, actor_id: str) -> Known | None:
        """An actor as we have it."""
        return self._known.get(actor_id)

    async def known(self, actor_id: str, *, hearsay: bool = False) -> Known:
        """An actor, fetched if we do not have it or have had it for an hour. Raises FetchError.

        ``hearsay``: somebody who has proven nothing yet names it.
        """
        now = self._monotonic()
        known = self._known.get(actor_id)
        if known is not None and now - known.fetched_ms < FRESH_MS:
            return known
        try:
            absence = self._absent.get(actor_id)
            if absence is not None and now < absence.until_ms:
                raise absence.error()
            return await self._fetched(actor_id, hearsay=hearsay)
        except FetchError as error:
            if known is None or error.lasting or now - known.fetched_ms >= STALE_MS:
                raise
            return known

    async def refetched(self, known: Known) -> Known:
        """The same actor by a document of now, but not more often than once a minute; else as it was."""
        actor_id, now = known.actor.id, self._monotonic()
        if now - self._refetched.get(actor_id, now - REFETCH_MS) < REFETCH_MS:
            return self._known.get(actor_id, known)
        self._refetched[actor_id] = now
        self._refetched.move_to_end(actor_id)
        if len(self._refetched) > ACTORS_MOST:
            self._refetched.popitem(last=False)
        try:
            return await self._fetched(actor_id, hearsay=True)
        except FetchError:
            return known

    async def close(self) -> None:
        """End all fetches."""
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    async def _fetched(self, actor_id: str, *, hearsay: bool) -> Known:
        fetch = self._fetches.get(actor_id)
        if fetch is None:
            if hearsay:
                self._admit(site(actor_id))
            # Who is known already is no stranger.
            fetching = self._fetch(actor_id, hearsay=hearsay and actor_id not in self._known)
            fetch = self._fetches[actor_id] = asyncio.create_task(fetching, name="fetch an actor")
            fetch.add_done_callback(lambda _: self._fetches.pop(actor_id))
        # Whoever asked first may go away: the others still wait for it.
        found = await asyncio.shield(fetch)
        if isinstance(found, _Absence):
            raise found.error()
        return found

    def _admit(self, domain: str) -> None:
        """Raises Busy if strangers make us fetch too much from there, or from everywhere."""
        of_domain = sum(site(other) == domain for other in self._fetches)
        if len(self._fetches) >= _FETCHES_MOST or of_domain >= _FETCHES_OF_SITE:
            raise Busy("Too many actors are fetched at the moment.")
        if self._unproven.wait_s(domain, 1, self._monotonic() / 1000):
            raise Busy("Too many actors of that server were fetched within a minute.")

    async def _fetch(self, actor_id: str, *, hearsay: bool) -> Known | _Absence:
        try:
            actor = _actor(await self._fetcher.document(actor_id, hearsay=hearsay), actor_id)
        except FetchError as error:
            return self._missing(actor_id, error)
        known = self._known[actor_id] = Known(actor, self._monotonic())
        self._absent.pop(actor_id, None)
        for forgotten in self._kept.add(actor_id, site(actor_id)):
            del self._known[forgotten]
        return known

    def _missing(self, actor_id: str, error: FetchError) -> _Absence:
        now = self._monotonic()
        found = self._absent[actor_id] = _Absence(now + ABSENT_MS, type(error), str(error), error.status)
        self._absent.move_to_end(actor_id)
        while len(self._absent) > _ABSENT_MOST or next(iter(self._absent.values())).until_ms <= now:
            self._absent.popitem(last=False)
        return found


def _actor(document: Document, actor_id: str) -> Actor:
    """The actor of this id in a document. Raises Bad."""
    try:
        actor = actors.read(document)
    except Malformed as error:
        raise Bad(f"It is no actor: {error}", 200) from None
    if actor.id != actor_id:
        raise Bad("It is another actor's document.", 200)
    return actor
