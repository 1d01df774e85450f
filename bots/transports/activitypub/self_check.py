"""Whether others reach us: we ask for our own actor by the URL that they know.

Whoever cannot do that cannot check our signatures either, so what we say is held back until they can.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Final

import aiohttp
from yarl import URL

from bots.backoff import delay_s
from bots.transports.activitypub.fetcher import beginning
from bots.transports.activitypub.media_types import ACTIVITY_JSON
from clawnet_proto.rendering import clean

log = logging.getLogger(__name__)

_WAIT_S: Final = 10.0
_ANSWER_MOST: Final = 1 << 16


class SelfCheck:
    """Looks again and again. ``told`` is called with what it found whenever that has changed.

    ``backoff_s`` are the seconds (shortest, longest) between two looks while nobody reaches us, ``every_s`` while
    somebody does; ``trusting``: it is so, nobody looks.
    """

    def __init__(
        self,
        actor: str,
        told: Callable[[bool], None],
        *,
        trusting: bool,
        backoff_s: tuple[float, float],
        every_s: float,
        chance: Callable[[], float],
    ) -> None:
        self._actor = actor
        self._told = told
        self._trusting = trusting
        self._backoff_s = backoff_s
        self._every_s = every_s
        self._chance = chance

    async def run(self) -> None:
        """Look until cancelled."""
        before: bool | None = None
        tries = 0
        while True:
            found = "" if self._trusting else await fault(self._actor)
            if found and before is not False:
                log.warning("Nobody can reach this agent: %s. Trying again until they can.", found)
            if before is not (not found):
                before = not found
                self._told(before)
            await asyncio.sleep(delay_s(tries, self._backoff_s, self._chance) if found else self._every_s)
            tries = tries + 1 if found else 0


async def fault(actor: str) -> str:
    """What keeps others from our actor document, for people; "" if nothing does."""
    limits = aiohttp.ClientTimeout(total=_WAIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=limits, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(URL(actor, encoded=True), headers={"Accept": ACTIVITY_JSON}, allow_redirects=False) as answer,
        ):
            status, body = answer.status, await beginning(answer.content, _ANSWER_MOST)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return f"{actor} cannot be reached ({clean(str(error), limit=200) or type(error).__name__})"
    if status == 421:
        return f"the proxy before {actor} does not pass on the header Host as it is"
    if status != 200 or _id(body) != actor:
        return f"what answers at {actor} is not this agent (status {status})"
    return ""


def _id(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("id", "")) if isinstance(document, dict) else ""
