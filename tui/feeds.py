"""What keeps a model going: a live source whose arrivals are checked as they come, or a recording being played."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from tui.arrivals import Arrival
from tui.model import Model
from tui.player import Player
from tui.recording import Recording
from tui.sharing import share_names
from tui.sources import Key, Link, Source
from tui.verifier import Verifier

log = logging.getLogger(__name__)

# Folding in slices keeps keys and drawing prompt while a long history comes in.
_SLICE_S = 0.002
# What comes at once is folded at once: waking up costs more than a fold. The more comes, the longer that may take.
_GATHER_S, _GATHER_LONG_S = 0.1, 0.5
_LIVELY = 50  # arrivals within the shorter time, more than anybody reads
_ENOUGH = 500  # arrivals that are waited for no longer
_ADVANCE_S = 0.02
_WAITING_MOST = 1000  # arrivals: a source that can wait is asked to


class Feed(Protocol):
    """A model that goes on by itself while ``run`` runs."""

    title: str
    link: Link

    @property
    def model(self) -> Model:
        """The state now; another object after a leap in time, or when the room was replaced by another."""

    @property
    def key(self) -> Key | None:
        """Who we are, if we hold a key."""

    def now_ms(self) -> int:
        """The time the picture is of, Unix milliseconds."""

    def arrivals(self) -> Iterable[Arrival]:
        """What made the picture, oldest first, as far as it is still there."""

    async def run(self) -> None:
        """Go on until there is nothing more. Raises SourceError."""


class LiveFeed:
    """Arrivals of a source, checked and folded in slices. ``clock`` gives Unix milliseconds."""

    def __init__(self, source: Source, *, room: str = "", clock: Callable[[], int]) -> None:
        self.source = source
        self.title = source.title
        self.link = Link("connecting")
        self._clock = clock
        self._model = Model(room=room, me=source.key.did if source.key else "")
        self._delivered: list[Arrival] = []  # not handed on for checking yet
        self._former = 0  # arrivals of a room that was replaced, which are still to be checked
        self._eased = asyncio.Event()  # no more is waiting than is good
        self._eased.set()

    @property
    def model(self) -> Model:
        return self._model

    @property
    def key(self) -> Key | None:
        return self.source.key

    def now_ms(self) -> int:
        return self._clock()

    def arrivals(self) -> Iterable[Arrival]:
        return self._model.arrivals()

    async def run(self) -> None:
        loop, woken, idle, enough = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(), asyncio.Event()
        idle.set()

        def ready() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: so are we
                loop.call_soon_threadsafe(woken.set)

        verifier = Verifier(self.source.key, ready)

        def deliver(arrivals: Sequence[Arrival]) -> None:
            self._enter()
            idle.clear()
            self._model.expect(arrivals)
            self._delivered += arrivals
            if self._model.waiting > _WAITING_MOST:
                self._eased.clear()
            if self._model.waiting >= _ENOUGH:
                enough.set()
            woken.set()

        async def eased() -> None:
            await self._eased.wait()

        receiving = asyncio.ensure_future(self.source.run(deliver, self._told, eased))
        folding = asyncio.ensure_future(self._fold(verifier, woken, idle, enough))
        try:
            await asyncio.wait((receiving, folding), return_when=asyncio.FIRST_COMPLETED)
            if not folding.done():
                receiving.result()
                await asyncio.wait((asyncio.ensure_future(idle.wait()), folding), return_when=asyncio.FIRST_COMPLETED)
            if folding.done():
                folding.result()
        finally:
            receiving.cancel()
            folding.cancel()
            await asyncio.gather(receiving, folding, return_exceptions=True)
            verifier.close()

    def _enter(self) -> None:
        """The model is of the room that the source watches: where that was replaced by another, all begins anew."""
        room, known = self.source.room, self._model.room
        if room and known and room != known:
            self._former += self._model.waiting
            self._model = Model(room=room, me=self._model.me)
        elif room:
            self._model.enter(room)

    def _told(self, link: Link) -> None:
        self._enter()
        self.title, self.link = self.source.title, link
        self._model.changes += 1

    async def _fold(self, verifier: Verifier, woken: asyncio.Event, idle: asyncio.Event, enough: asyncio.Event) -> None:
        while True:
            await woken.wait()
            woken.clear()
            enough.clear()
            came, self._delivered = self._delivered, []
            verifier.submit(came)
            end = time.perf_counter() + _SLICE_S
            while (checked := verifier.take()) is not None:
                try:
                    if self._former:
                        self._former -= 1
                    else:
                        self._model.fold(share_names(checked))
                except Exception:
                    # A fault of ours must not let one message hide all that follow.
                    log.exception("%s from %s", checked.arrival.event_id, checked.arrival.sender)
                if time.perf_counter() > end:
                    self._ease(idle)
                    await asyncio.sleep(0)
                    end = time.perf_counter() + _SLICE_S
            self._ease(idle)
            if not self._model.waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_LONG_S if len(came) >= _LIVELY else _GATHER_S):
                        await enough.wait()

    def _ease(self, idle: asyncio.Event) -> None:
        if self._model.waiting <= _WAITING_MOST:
            self._eased.set()
        if not self._model.waiting:
            idle.set()


class ReplayFeed:
    """A recording, played from its beginning."""

    def __init__(self, player: Player, title: str, key: Key | None = None) -> None:
        self.player = player
        self.key = key
        self.fault = ""  # where the recording is damaged, known once it was played to there
        self.title = title
        self.link = Link("replay")

    @classmethod
    def open(cls, path: Path, *, room: str = "", key: Key | None = None) -> ReplayFeed:
        """``key`` opens what was sealed to us, ``room`` is a URI. Raises SourceError."""
        return cls(Player(Recording.open(path), key, room), path.name, key)

    @property
    def model(self) -> Model:
        return self.player.model

    def now_ms(self) -> int:
        return self.player.status.at_ms

    def arrivals(self) -> Iterable[Arrival]:
        return self.player.arrivals()

    async def run(self) -> None:
        self.player.play()
        try:
            while True:
                underway = self.player.advance(time.monotonic())
                await asyncio.sleep(0 if underway else _ADVANCE_S)
        finally:
            fault = self.player.status.fault
            self.fault = f"line {fault.line}: {fault.text}" if fault is not None else ""
            self.player.close()

    def seek_clock(self, hour: int, minute: int, second: int) -> None:
        """To a time of the day, of this machine's zone, on the day the recording begins. Raises ValueError."""
        if not (hour < 24 and minute < 60 and second < 60):
            raise ValueError(f"A day has no {hour:02}:{minute:02}:{second:02}; say 00:00:00 to 23:59:59.")
        try:
            begin = datetime.fromtimestamp(self.player.status.begin_ms / 1000).astimezone()
            wanted = begin.replace(hour=hour, minute=minute, second=second, microsecond=999_999).timestamp()
        except (ValueError, OverflowError, OSError):
            raise ValueError("No calendar has the days of this recording; go to a part of it: :seek 50%.") from None
        self.player.seek_time(int(wanted * 1000))
