"""Paging back through a room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports.matrix import events, wire
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.events import Header

log = logging.getLogger(__name__)

_PAGE = 100

Event = tuple[Header, msgspec.Raw]


class History:
    """Pages of ``/messages``, asked for as they are needed."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def before(self, room: str, start: str, stop: str, types: Sequence[str]) -> AsyncIterator[Event]:
        """Events of these types from the token ``start`` back to ``stop`` ("": the beginning), newest first.

        Raises RetryLater, Fatal. What the homeserver will not show ends it early.
        """
        token = start
        while token:
            page = await self.page(room, token, stop, types)
            for event in page.chunk:
                if (header := events.header(event)) is not None:
                    yield header, event
            token = page.end if page.end != token else ""

    async def page(self, room: str, start: str, stop: str, types: Sequence[str]) -> events.Page:
        """One page of that; an empty one if the homeserver will not show it. Raises RetryLater, Fatal."""
        event_filter = {"types": list(types), "lazy_load_members": True}
        request = wire.messages_before(room, start, stop, _PAGE, event_filter)
        while True:
            try:
                return events.page(await self._account.call(request))
            except Refused as error:
                log.warning("The history of %s cannot be read: %s", room, error)
                return events.Page()
            except RetryLater as error:
                # To start over would meet the same limit again.
                if error.code != "matrix.rate_limited":
                    raise
                await asyncio.sleep(max(error.after_s, 1.0))
            except msgspec.MsgspecError as error:
                raise nonsense() from error
