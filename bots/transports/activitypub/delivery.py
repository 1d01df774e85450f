"""Brings what we said to the inboxes it is for: in order for each server, ever later where nobody answers.

Servers take turns, the one that was served longest ago first; a turn is short, and of one host few have theirs at a
time, whatever its ports. An inbox that turns everything away does not hold up the others of its server.

2xx                          taken
408, 401, 429, 5xx, 3xx      tried again, after ``Retry-After`` where there is one
410                          nobody is there any more
any other 4xx                never: the next goes
no answer                    tried again
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from bots.backoff import delay_s
from bots.transports.activitypub.fetcher import Fetcher, FetchError, Forbidden
from bots.transports.activitypub.names import origin, site
from bots.transports.activitypub.outgoing import Outgoing, Waiting

log = logging.getLogger(__name__)

BACKOFF_S: Final = (1.0, 900.0)
_AT_ONCE: Final = 16  # servers
_OF_SITE: Final = 2  # of them
_TURN: Final = 5  # deliveries
_TURN_S: Final = 10.0
_LIFTED_S: Final = 60.0  # how often a server that is heard of is tried before its time
_UNPROVEN: Final = 3  # answers 401 of an inbox, before the others of its server go first
_UNPROVEN_KEPT: Final = 512  # inboxes
_TROUBLE_KEPT: Final = 512  # inboxes
_FAULTS: Final = 12  # answers 500 and the like to one activity, before it is given up

_AGAIN: Final = frozenset({401, 408, 429})
_AWAY: Final = frozenset({502, 503, 504})

Outcome = Literal["taken", "never", "later", "fault"]


def outcome(status: int) -> Outcome:
    """What the status of an answer means for what was sent."""
    if 200 <= status < 300:
        return "taken"
    if 400 <= status < 500 and status not in _AGAIN:
        return "never"
    return "fault" if status >= 500 and status not in _AWAY else "later"


class Courier:
    """Works off ``outgoing``. ``clock`` gives Unix milliseconds; ``gone`` is called with an inbox that is no more."""

    def __init__(
        self,
        outgoing: Outgoing,
        fetcher: Fetcher,
        clock: Callable[[], int],
        gone: Callable[[str], None],
        *,
        backoff_s: tuple[float, float] = BACKOFF_S,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._outgoing = outgoing
        self._fetcher = fetcher
        self._clock = clock
        self._gone = gone
        self._backoff_s = backoff_s
        self._chance = chance
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}  # by lane
        self._held: dict[str, float] = {}  # lane -> until when, by the loop's clock
        self._told: set[str] = set()  # those of them whose server has said when to come again
        self._settled = asyncio.Event()
        self._since: dict[str, float] = {}  # lane -> when it was last served, or began to wait
        self._lifted: dict[str, float] = {}  # lane -> when it was last tried because it was heard of
        self._unproven: dict[str, tuple[int, float]] = {}  # inbox -> (answers 401, left out until when)
        self._tries: dict[str, int] = {}  # by lane, in vain since it last answered
        self._faults: dict[int, int] = {}  # by delivery
        self._trouble: dict[str, str] = {}  # inbox -> what came of the last try there, if it was in vain
        self._failure: BaseException | None = None

    def nudge(self) -> None:
        """There is something new to bring."""
        self._wake.set()

    def heard_from(self, origin: str) -> None:
        """A server has sent us something: it is there, and takes what waits if it has not said that it will not."""
        now = asyncio.get_running_loop().time()
        if origin in self._held and origin not in self._told and now - self._lifted.get(origin, -math.inf) >= _LIFTED_S:
            del self._held[origin]
            self._lifted[origin] = now
            self._wake.set()

    def trouble(self, inbox: str) -> str:
        """Why the last try in this run was in vain there, in strangers' words; "" if it was not."""
        return self._trouble.get(inbox, "")

    async def flush(self, timeout_s: float) -> None:
        """Wait until all that can be brought now is brought, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._busy or not all(map(self._rests, self._outgoing.lanes())):
                    self._settled.clear()
                    await self._settled.wait()

    async def run(self) -> None:
        """Deliver until cancelled. Raises StoreError."""
        try:
            while True:
                self._wake.clear()
                self._start()
                try:
                    ends = (*self._held.values(), *self._left_out().values())
                    async with asyncio.timeout_at(min(ends, default=None)):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                if self._failure is not None:
                    raise self._failure
        finally:
            tasks = list(self._busy.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self) -> None:
        now = asyncio.get_running_loop().time()
        lanes = self._outgoing.lanes()
        self._held = {lane: until for lane, until in self._held.items() if until > now}
        self._told &= self._held.keys()
        self._lifted = {lane: since for lane, since in self._lifted.items() if now - since < _LIFTED_S}
        self._since = {lane: self._since.get(lane, now) for lane in lanes}
        self._tries = {lane: tries for lane, tries in self._tries.items() if lane in self._since}
        for lane in sorted(lanes, key=self._since.__getitem__):
            if len(self._busy) >= _AT_ONCE:
                return
            of_site = sum(site(other) == site(lane) for other in self._busy)
            if lane not in self._busy and of_site < _OF_SITE and not self._rests(lane):
                self._busy[lane] = asyncio.create_task(self._serve(lane), name=f"deliver to {lane}")

    async def _serve(self, lane: str) -> None:
        """Bring a server some of what waits for it, until it will have no more now, or its turn is over."""
        clock = asyncio.get_running_loop().time
        until = clock() + _TURN_S
        try:
            for _ in range(_TURN):
                waiting = self._next(lane)
                if waiting is None or not await self._bring(waiting) or clock() >= until:
                    break
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failure = error
        finally:
            del self._busy[lane]
            self._since[lane] = clock()
            self._wake.set()
            self._settled.set()

    def _next(self, lane: str) -> Waiting | None:
        """What is next there and still worth anything."""
        left_out = self._left_out()
        while (waiting := self._outgoing.next(lane, left_out)) is not None and waiting.expires_ms <= self._clock():
            log.info("What was said to %s was not taken in time", waiting.inbox)
            self._done(waiting)
        return waiting

    def _left_out(self) -> dict[str, float]:
        """The inboxes that get nothing now, each until when."""
        now = asyncio.get_running_loop().time()
        return {inbox: until for inbox, (_, until) in self._unproven.items() if until > now}

    def _rests(self, lane: str) -> bool:
        """Whether a server gets nothing now."""
        if lane in self._held:
            return True
        left_out = [inbox for inbox in self._left_out() if origin(inbox) == lane]
        return bool(left_out) and self._outgoing.next(lane, left_out) is None

    async def _bring(self, waiting: Waiting) -> bool:
        """Whether the next one may go."""
        after_s, detail = 0.0, ""
        try:
            answer = await self._fetcher.post(waiting.inbox, waiting.document.encode())
        except Forbidden as error:
            found: Outcome = "never"
            detail = str(error)
        except FetchError as error:
            found, detail = "later", str(error)
        else:
            found, after_s = outcome(answer.status), answer.retry_after_s or 0.0
            detail = f"{answer.status} {answer.detail}".strip()
            if answer.status == 410:
                self._gone(waiting.inbox)
            if answer.status == 401 and self._leave_out(waiting.inbox):
                self._note(waiting.inbox, detail)
                return True
        if found == "fault":
            count = self._faults[waiting.seq] = self._faults.get(waiting.seq, 0) + 1
            found = "never" if count >= _FAULTS else "later"
        if found == "later":
            self._note(waiting.inbox, detail)
            self._hold(waiting, after_s, detail)
            return False
        if found == "never":
            log.warning("%s does not take what was said: %s", waiting.inbox, detail)
        self._tries.pop(waiting.lane, None)
        self._unproven.pop(waiting.inbox, None)
        self._trouble.pop(waiting.inbox, None)
        self._done(waiting)
        return True

    def _note(self, inbox: str, detail: str) -> None:
        self._trouble.pop(inbox, None)
        self._trouble[inbox] = detail
        if len(self._trouble) > _TROUBLE_KEPT:
            del self._trouble[next(iter(self._trouble))]

    def _leave_out(self, inbox: str) -> bool:
        """Whether others of its server go before an inbox that does not believe us."""
        count = self._unproven.pop(inbox, (0, 0.0))[0] + 1
        wait_s = 0.0
        if count >= _UNPROVEN:
            wait_s = delay_s(count, self._backoff_s, self._chance)
        self._unproven[inbox] = (count, asyncio.get_running_loop().time() + wait_s)
        if len(self._unproven) > _UNPROVEN_KEPT:
            del self._unproven[next(iter(self._unproven))]
        return count >= _UNPROVEN

    def _hold(self, waiting: Waiting, after_s: float, detail: str) -> None:
        tries = self._tries.get(waiting.lane, 0)
        if tries == 0:
            log.info("%s cannot be reached now, trying again: %s", waiting.inbox, detail)
        self._tries[waiting.lane] = tries + 1
        if after_s:
            self._told.add(waiting.lane)
        wait_s = after_s or delay_s(tries, self._backoff_s, self._chance)
        self._held[waiting.lane] = asyncio.get_running_loop().time() + wait_s

    def _done(self, waiting: Waiting) -> None:
        self._faults.pop(waiting.seq, None)
        self._outgoing.done(waiting.seq)
