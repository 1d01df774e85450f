"""What waiting events lack and somebody's server may have, devices and files: asked for beside receiving.

A server that takes its time delays nobody else: few are asked at once, and for one sender one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports.matrix import encryption_media
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_exchange import Exchange
from bots.transports.matrix.encryption_media import File
from bots.transports.matrix.encryption_waiting import Waiting, Wanted

FETCH_S = 20.0
_FILES_AT_ONCE = 8
_FETCHED_MOST = 100

FileOf = Callable[[str, msgspec.Raw], File | None]  # (room, event) -> the file it names


class Fetching:
    """Asks, and keeps the files until their events are read. Raises Fatal, StoreError."""

    def __init__(self, account: Account, exchange: Exchange, waiting: Waiting, file_of: FileOf) -> None:
        self._account = account
        self._exchange = exchange
        self._waiting = waiting
        self._file_of = file_of
        self._news = asyncio.Event()
        self._fetched: dict[str, msgspec.Raw | None] = {}

    def news(self) -> None:
        """An event waits that did not before."""
        self._news.set()

    def fetched(self, event: str) -> bool:
        """Whether the file of an event was fetched."""
        return event in self._fetched

    def carriers(self, event: str) -> msgspec.Raw | None:
        """What was fetched for an event; None if it is not what was promised."""
        return self._fetched.get(event)

    def forget(self, events: Iterable[str]) -> None:
        """These events are read."""
        for event in events:
            self._fetched.pop(event, None)

    async def run(self, hand_over: Callable[[], Awaitable[None]]) -> None:
        """Ask until nothing more is due, and have handed over what can be read by it."""
        jobs: dict[asyncio.Task[None], str] = {}  # -> the sender, "" for devices
        events: set[str] = set()
        try:
            while True:
                self._start(jobs, events)
                if not jobs:
                    return
                self._news.clear()
                woken = asyncio.create_task(self._news.wait())
                try:
                    await asyncio.wait({*jobs, woken}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    woken.cancel()
                if done := [job for job in jobs if job.done()]:
                    for job in done:
                        del jobs[job]
                        events.discard(job.get_name())
                        job.result()
                    await hand_over()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    def _start(self, jobs: dict[asyncio.Task[None], str], events: set[str]) -> None:
        busy = set(jobs.values())
        if "" not in busy and (lacking := self._waiting.wanted("device")):
            jobs[asyncio.create_task(self._learn(lacking))] = ""
        for wanted in self._waiting.wanted("file"):
            if len(events) >= _FILES_AT_ONCE:
                return
            if wanted.sender not in busy and wanted.event not in self._fetched:
                busy.add(wanted.sender)
                events.add(wanted.event)
                jobs[asyncio.create_task(self._fetch(wanted), name=wanted.event)] = wanted.sender

    async def _learn(self, lacking: list[Wanted]) -> None:
        try:
            await self._exchange.learn(dict.fromkeys(wanted.sender for wanted in lacking))
        except (RetryLater, Refused):
            pass  # another time
        else:
            for wanted in lacking:
                self._waiting.knows_more(wanted.session)
        for wanted in lacking:
            self._waiting.tried(wanted.event)

    async def _fetch(self, wanted: Wanted) -> None:
        raw = self._waiting.raw(wanted.event)
        file = None if raw is None else self._file_of(wanted.room, raw)
        carriers: msgspec.Raw | None = None
        if file is not None:
            try:
                async with asyncio.timeout(FETCH_S):
                    carriers = await encryption_media.fetch_carriers(self._account, file)
            except (RetryLater, Refused, TimeoutError):
                self._waiting.tried(wanted.event)
                return
        self._fetched[wanted.event] = carriers
        if len(self._fetched) > _FETCHED_MOST:
            del self._fetched[next(iter(self._fetched))]
        self._waiting.knows_more(wanted.session)
