"""What those we follow said before we heard them: the newest of their public posts, for context.

They are read from their own server, from the outbox that their own document names; only what holds carriers counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from bots.backoff import delay_s
from bots.transports.activitypub.activities import Create, read
from bots.transports.activitypub.fetcher import Fetcher, FetchError, Forbidden
from bots.transports.activitypub.inbound_note import Note
from bots.transports.activitypub.names import BadUrl, canonical, origin
from bots.transports.activitypub.plain_json import Malformed
from bots.transports.activitypub.verification import Rejected, Verifier

log = logging.getLogger(__name__)

_PAGES: Final = 3
_POSTS: Final = 60
_TRIES: Final = 8
_TIME_S: Final = 60.0  # for one outbox


class Past:
    """Reads outboxes, each once, one at a time.

    ``known`` tells whether one was read, ``remember`` takes what stood in it: it is known from then on. One that cannot
    be read for good holds nothing; what cannot be read now is given up after some tries, until it is asked for again.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        verifier: Verifier,
        known: Callable[[str], bool],
        remember: Callable[[str, Sequence[Note]], None],
        *,
        backoff_s: tuple[float, float],
        chance: Callable[[], float],
    ) -> None:
        self._fetcher = fetcher
        self._verifier = verifier
        self._known = known
        self._remember = remember
        self._backoff_s = backoff_s
        self._chance = chance
        self._wanted: dict[str, int] = {}  # actor -> tries in vain
        self._due: asyncio.Queue[str] = asyncio.Queue()

    def ask(self, actor: str) -> None:
        """Let the past of an actor be read, unless it is known, or will be read anyhow."""
        if actor not in self._wanted and not self._known(actor):
            self._wanted[actor] = 0
            self._due.put_nowait(actor)

    async def run(self) -> None:
        """Read what is asked for until cancelled. Raises StoreError."""
        while True:
            actor = await self._due.get()
            tries = self._wanted.pop(actor)
            if self._known(actor):
                continue
            try:
                said = await self.of(actor)
            except FetchError as error:
                log.info("What %s said before cannot be read now: %s", actor, error)
                if tries + 1 < _TRIES:
                    self._wanted[actor] = tries + 1
                    wait_s = delay_s(tries, self._backoff_s, self._chance)
                    asyncio.get_running_loop().call_later(wait_s, self._due.put_nowait, actor)
            else:
                self._remember(actor, said)

    async def of(self, actor: str) -> list[Note]:
        """Notes of an actor that hold carriers, the oldest first; of a slow server the newest that it told in time.

        Raises FetchError if they cannot be had now.
        """
        notes: list[Note] = []
        posts: list[Any] | None = None
        try:
            async with asyncio.timeout(_TIME_S):
                posts = await self._posts(actor)
                for post in posts[:_POSTS]:
                    note = await self._note(post, actor)
                    if note is not None:
                        notes.append(note)
        except TimeoutError:
            if posts is None:
                raise FetchError(f"Its outbox takes longer than {_TIME_S:.0f} s.") from None
        except (FetchError, BadUrl) as error:
            if isinstance(error, FetchError) and not (error.lasting or isinstance(error, Forbidden)):
                raise
            log.info("What %s said before cannot be read: %s", actor, error)
        return notes[::-1]

    async def _posts(self, actor: str) -> list[Any]:
        """The activities in the outbox, the newest first. Raises FetchError, BadUrl."""
        outbox = await self._document((await self._fetcher.document(actor)).get("outbox"), actor)
        posts: list[Any] = []
        part: object = outbox.get("first", outbox)
        for _ in range(_PAGES):
            page = part if isinstance(part, dict) else await self._document(part, actor)
            items = page.get("orderedItems", [])
            posts += items if isinstance(items, list) else [items]
            part = page.get("next")
            if part is None or len(posts) >= _POSTS:
                break
        return posts

    async def _document(self, url: object, actor: str) -> dict[str, Any]:
        if not isinstance(url, str) or origin(canonical(url)) != origin(actor):
            raise BadUrl("Its outbox is not at its own server.")
        return await self._fetcher.document(canonical(url))

    async def _note(self, post: object, actor: str) -> Note | None:
        """The note of a post if it is this actor's own, public, and holds carriers."""
        try:
            activity = read(post) if isinstance(post, dict) else None
            if not isinstance(activity, Create) or activity.actor != actor or not activity.note.is_public:
                return None
            note = activity.note
            if note.edited or not (note.carriers or note.link):
                return None
            return await self._verifier.note(activity)
        except (Malformed, Rejected, FetchError) as error:
            log.info("A post of %s is skipped: %s", actor, error)
            return None
