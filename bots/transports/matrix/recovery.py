"""What our homeserver did not have itself: it was cut off from others, and is told of the newest alone.

It fetches from them what it is asked for and lacks. Such events are older than our position, though nobody here has
seen them, and stand among those we know: each server wrote its own while they were apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from bots.errors import Refused
from bots.transports.matrix import events, wire
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.history import Event, History

_KNOWN_IN_A_ROW = 50  # so many, and what lies before is known too
_LOOKED_AT = 10_000
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
            # Nothing newer than that lies here, so the homeserver sees that it lacks something, and fetches it.
            await self._history.page(room, token, since, types)
            page = await self._history.page(room, token, "", types)
            read = [(header, event) for event in page.chunk if (header := events.header(event)) is not None]
            had = self._had([header.event_id for header, _ in read])
            for event in read:
                header = event[0]
                if header.event_id in known or header.event_id in had:
                    in_a_row += 1
                    if in_a_row == _KNOWN_IN_A_ROW:
                        return found[::-1]
                    continue
                found.append(event)
                if header.type != MEMBER:  # which is never kept, and so never known
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
