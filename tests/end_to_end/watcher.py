"""Looking at a room through a source, as clawtui does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from clawnet_proto.mesh import Mesh as Fold
from clawnet_proto.message import Message
from tui.arrivals import Arrival, Words
from tui.checking import check
from tui.sources import Link, Source, SourceError
from tui.sources.live import LiveOptions, open_source

SEEN_S = 45.0
_LOOK_S = 0.02


class Watcher:
    """What one sees through a source: raw events, those that verify, and their fold."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.arrivals: list[Arrival] = []
        self.links: list[Link] = []
        self.messages: list[tuple[Message, str]] = []  # with the plane
        self.words: list[str] = []  # of people
        self.codes: list[str] = []  # of what does not verify
        self.fold: Fold | None = None

    def deliver(self, arrivals: Sequence[Arrival]) -> None:
        for arrival in arrivals:
            self.arrivals.append(arrival)
            for outcome in check(arrival, self.source.key).outcomes:
                if isinstance(outcome, Message):
                    self.fold = self.fold or Fold(outcome.envelope.room)
                    self.fold.add(outcome, arrival.sender)
                    self.messages.append((outcome, arrival.plane))
                elif isinstance(outcome, Words):
                    self.words.append(outcome.text)
                elif isinstance(outcome, Exception):
                    self.codes.append(outcome.code)

    @property
    def states(self) -> list[str]:
        """How the link went, each state once in a row."""
        states: list[str] = []
        for link in self.links:
            if not states or states[-1] != link.state:
                states.append(link.state)
        return states

    def live(self) -> set[str]:
        """Names of the peers that are bound and live."""
        peers = self.fold.peers.values() if self.fold else ()
        return {peer.name for peer in peers if peer.bound and peer.live(self.arrivals[-1].received_ms)}

    def closed(self, task_id: str) -> bool:
        view = self.fold.task(task_id) if self.fold else None
        return view is not None and view.state == "completed"

    def about(self, task_id: str, plane: str) -> list[Message]:
        """The messages of a task that came on one plane."""
        found = [message for message, on in self.messages if on == plane]
        return [message for message in found if task_id in (message.id, message.envelope.thread)]

    async def until(self, condition: Callable[[], object], timeout_s: float = SEEN_S) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the state of a fold is no event
                await asyncio.sleep(_LOOK_S)

    def all_bound(self, task_id: str) -> bool:
        assert self.fold is not None
        return {self.fold.binding(message) for message in self.about(task_id, "room")} == {"bound"}


@asynccontextmanager
async def watching(options: LiveOptions) -> AsyncIterator[Watcher]:
    watcher = Watcher(open_source(options))
    running = asyncio.ensure_future(watcher.source.run(watcher.deliver, watcher.links.append))
    try:
        yield watcher
        assert not running.done(), running.exception()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def refused(options: LiveOptions) -> SourceError:
    """What a source says that cannot go on."""
    with pytest.raises(SourceError) as caught:
        async with asyncio.timeout(SEEN_S):
            await open_source(options).run(lambda arrivals: None, lambda link: None)
    return caught.value
