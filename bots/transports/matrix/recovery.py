"""What our homeserver did not have itself: it was cut off from others, and is told of the newest alone.

It fetches from them what it is asked for and lacks. Such events are older than our position, though nobody here has
seen them, and stand among those we know: each server wrote its own while they were apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from bots.errors import Refused
from bots.transports.matrix import events, wire
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.history import Event, History
from bots.transports.matrix.pacing import Pace

log = logging.getLogger(__name__)

_KNOWN_IN_A_ROW = 50  # so many, and what lies before is known too
_LOOKED_AT = 10_000
_PAGES_AT_ONCE, _PAGES_PER_MINUTE = 100, 20.0  # of one room
_SEEN_MOST = 20_000
MEMBER = "m.room.member"

Had = Callable[[Collection[str]], Collection[str]]


class _Context(msgspec.Struct):
    start: str = ""


class Recovery:
    """Looks for unknown events before a gap. ``had`` says which events, by id, have arrived before."""

    def __init__(self, account: Account, history: History, had: Had) -> None:
        self._account = account
        self._history = history
        self._had = had
        self._pages = Pace(_PAGES_AT_ONCE, _PAGES_PER_MINUTE)
        # Not all that we saw was delivered: event ids, each with the position of the sync that it was first seen in.
        self._seen: dict[str, str] = {}

    def saw(self, events: Iterable[Event], since: str) -> None:
        """The sync that follows ``since`` showed us these. If it fails and comes again, they are as good as new."""
        for header, _ in events:
            if header.event_id:
                self._seen.setdefault(header.event_id, since)
        while len(self._seen) > _SEEN_MOST:
            del self._seen[next(iter(self._seen))]

    def _known(self, page: Sequence[Event], known: Collection[str], since: str) -> set[str]:
        ids = [header.event_id for header, _ in page]
        return {*self._had(ids), *(event for event in ids if event in known or self._seen.get(event, since) != since)}

    async def before(
        self, room: str, news: Sequence[Event], start: str, since: str, types: Sequence[str], known: Collection[str]
    ) -> list[Event]:
        """Events of these types before the ``news`` of a room that are neither ``known`` nor had, oldest first.

        ``start`` is where the news begin in the order in which they came, ``since`` the position of the last sync.
        Raises RetryLater, Fatal.
        """
        found: list[Event] = []
        token = await self._token(room, news[0][0].event_id) if news else start
        looked_at = in_a_row = 0
        while token and looked_at < _LOOKED_AT:
            if not self._pages.take(room):
                log.warning("%s: no more of what our homeserver may have missed is looked for just now", room)
                break
            # Nothing newer than that lies here, so the homeserver sees that it lacks something, and fetches it.
            await self._history.page(room, token, since, types)
            page = await self._history.page(room, token, "", types)
            read = [(header, event) for event in page.chunk if (header := events.header(event)) is not None]
            before = self._known(read, known, since)
            for event in read:
                header = event[0]
                self.saw([event], since)
                if header.event_id in before:
                    in_a_row += 1
                    if in_a_row == _KNOWN_IN_A_ROW:
                        return found[::-1]
                    continue
                found.append(event)
                if header.type != MEMBER:  # which is not kept, and so often not known
                    in_a_row = 0
            looked_at += len(read)
            token = page.end if page.end != token else ""
        return found[::-1]

    async def _token(self, room: str, event_id: str) -> str:
        """The place right before an event, among those that were written about then."""
        try:
            return msgspec.json.decode(await self._account.call(wire.context(room, event_id)), type=_Context).start
        except Refused:
            return ""
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise nonsense() from error
