"""A feed in which nothing moves by itself: what is drawn from it is the same every time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice

from tui.arrivals import Arrival
from tui.checking import check
from tui.feeds import LiveFeed
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always
from tui.sources.synthetic import events

NOW_MS = 1_800_000_000_000


class StillSource:
    """Delivers what it is given, then waits. What is asked of it is written down in ``asked`` and ``canceled``."""

    title = "#still:example.org"
    room = ""

    def __init__(self, arrivals: Iterable[Arrival], key: Key | None = None, told: Sequence[str] = ()) -> None:
        self.arrivals = list(arrivals)
        self.key = key
        self.told = told
        self.asked: list[str] = []
        self.canceled: list[str] = []

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        told(Link("live"))
        await asyncio.Event().wait()

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        self.asked.append(question)
        if not self.told:
            raise SourceError("ask.refused", "Nobody is there.", "Try later.")
        for sentence in self.told:
            yield sentence

    async def cancel(self, task: str) -> str:
        self.canceled.append(task)
        return f"Task {task[:8]} is canceled."


class StillFeed(LiveFeed):
    """Everything is folded already, and the clock stands at ``now_ms`` until somebody moves it."""

    def __init__(self, source: StillSource, now_ms: int = NOW_MS) -> None:
        super().__init__(source, clock=lambda: self.at_ms)
        self.at_ms = now_ms
        for arrival in source.arrivals:
            self.model.fold(check(arrival, source.key))

    def add(self, *arrivals: Arrival) -> None:
        """More has arrived."""
        for arrival in arrivals:
            self.at_ms = max(self.at_ms, arrival.received_ms)
            self.model.fold(check(arrival, self.source.key))


def lively(count: int = 150, agents: int = 12) -> list[Arrival]:
    """The first events of the made-up mesh."""
    return list(islice(events(agents=agents, seed=1, start_ms=NOW_MS), count))


def lively_feed(count: int = 150, key: Key | None = None, told: Sequence[str] = ()) -> StillFeed:
    arrivals = lively(count)
    return StillFeed(StillSource(arrivals, key, told), arrivals[-1].received_ms)
