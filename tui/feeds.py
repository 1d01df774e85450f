"""What keeps a model going: a live source whose arrivals are checked as they come, or a recording being played."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tui.arrivals import Arrival
from tui.model import Model
from tui.sources import Key, Link, Source
from tui.verifier import Verifier

# Folding in slices keeps keys and drawing prompt while a long history comes in.
_SLICE_S = 0.004
_GATHER_S = 0.02


class Feed(Protocol):
    """A model that goes on by itself while ``run`` runs."""

    title: str
    link: Link

    @property
    def model(self) -> Model:
        """The state now; another object after a leap in time."""

    @property
    def key(self) -> Key | None:
        """Who we are, if we hold a key."""

    def now_ms(self) -> int:
        """The time the picture is of, Unix milliseconds."""

    async def run(self) -> None:
        """Go on until there is nothing more. Raises SourceError."""


class LiveFeed:
    """Arrivals of a source, checked in a thread, folded in slices. ``clock`` gives Unix milliseconds."""

    def __init__(self, source: Source, *, room: str = "", clock: Callable[[], int]) -> None:
        self.source = source
        self.title = source.title
        self.link = Link("connecting")
        self._clock = clock
        self._model = Model(room=room, me=source.key.did if source.key else "")

    @property
    def model(self) -> Model:
        return self._model

    @property
    def key(self) -> Key | None:
        return self.source.key

    def now_ms(self) -> int:
        return self._clock()

    async def run(self) -> None:
        loop, woken, idle = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        idle.set()

        def ready() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: so are we
                loop.call_soon_threadsafe(woken.set)

        verifier = Verifier(self.source.key, ready)

        def deliver(arrivals: Sequence[Arrival]) -> None:
            idle.clear()
            self._model.expect(arrivals)
            verifier.submit(arrivals)

        folding = asyncio.ensure_future(self._fold(verifier, woken, idle))
        try:
            await self.source.run(deliver, self._told)
            await idle.wait()
        finally:
            folding.cancel()
            await asyncio.gather(folding, return_exceptions=True)
            verifier.close()

    def _told(self, link: Link) -> None:
        self.link = link
        self._model.changes += 1

    async def _fold(self, verifier: Verifier, woken: asyncio.Event, idle: asyncio.Event) -> None:
        while True:
            await woken.wait()
            woken.clear()
            end = time.perf_counter() + _SLICE_S
            while (checked := verifier.take()) is not None:
                self._model.fold(checked)
                if time.perf_counter() > end:
                    await asyncio.sleep(0)
                    end = time.perf_counter() + _SLICE_S
            if not self._model.waiting:
                idle.set()
            await asyncio.sleep(_GATHER_S)
