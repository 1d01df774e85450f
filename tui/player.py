"""Time travel in a recording: play, pause, step and seek.

The whole recording is checked once, from its beginning: a model that runs ahead folds it and leaves copies of itself
behind. A seek starts from the copy before it. Nothing is shown that was not verified, and whatever is folded again
is verified again.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Final

import msgspec

from tui.apart import Apart
from tui.arrivals import Arrival
from tui.model import Model
from tui.readahead import ReadAhead
from tui.recording import Fault, Recording
from tui.sources import Key

SPEEDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, inf)
"""The last one is as fast as it goes."""
SILENCE_S: Final = 2.0
"""No silence lasts longer than this, however long it lasted."""

_BUDGET_S = 0.004
_REFILL = 200  # events before a place that fill the timeline
_EVERY = 1000  # events between copies, at first
_COPIES_MOST = 128
_THREADS = 2  # one reads while the other waits
_PAUSE_MOST_S = 0.5  # nobody watched for longer than that between two calls
_AHEAD_MOST = 2000  # events that time may be ahead of their folding


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Where the player is. Positions are numbers of events."""

    position: int
    total: int  # up to the fault, if there is one
    checked: int  # from the start
    target: int  # where it goes; ``position`` if it is there
    playing: bool
    speed: float
    at_ms: int  # the recorded time that is shown
    begin_ms: int  # of the first event
    silence_ms: int = 0  # how long the silence is that is being shortened
    fault: Fault | None = None

    @property
    def waiting(self) -> bool:
        """It goes where it is not checked yet; what is shown is as far as it is."""
        return self.target > self.checked


class Player:
    """Plays a recording, which it closes. ``advance`` is to be called all the time; all else returns at once."""

    def __init__(self, recording: Recording, key: Key | None = None, room: str = "") -> None:
        self._recording = recording
        self._apart = Apart(key)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="recording")
        self._model = Model(room=room, me=key.did if key else "")
        self._scout = Model(room=room, me=key.did if key else "", history=_REFILL)
        self._every = _EVERY
        self._copies: list[tuple[int, Model]] = [(0, self._model.copy())]
        self._ahead = self._read_from(0, depth=16)
        self._reading = self._read_from(0)  # for the model that is shown
        self._travel: Model | None = None  # takes the place of the model that is shown when it has arrived
        self._total = len(recording)
        self._position = 0
        self._target = 0
        self._clock_ms = float(recording.received_ms(0)) if len(recording) else 0.0
        self._now = inf
        self._speed = 1.0
        self.playing = False

    def close(self) -> None:
        """End what checks, then close the recording."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._apart.close()
        self._pool.shutdown()
        self._recording.close()

    # -- what is shown ---------------------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """The room at ``position``; another object after a seek."""
        return self._scout if self._awaited else self._model

    @property
    def position(self) -> int:
        return self._checked if self._awaited else self._position

    @property
    def status(self) -> Status:
        total = len(self._recording)
        return Status(
            position=self.position,
            total=total,
            checked=self._checked,
            target=self._target,
            playing=self.playing,
            speed=self._speed,
            at_ms=self._time_at(self._checked) if self._awaited else int(self._clock_ms),
            begin_ms=self._time_at(1),
            silence_ms=self._silence_ms() if self.playing else 0,
            fault=self._recording.fault,
        )

    def arrivals(self) -> Iterator[Arrival]:
        """The recording up to the position there is now."""
        start, stop = 0, self.position
        while start < stop and (part := self._recording.slice(start, self._recording.reach(start, 200))).arrivals:
            yield from part.arrivals[: stop - start]
            start += len(part.arrivals)

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._speed = speed if speed == inf else min(max(speed, SPEEDS[0]), SPEEDS[-2])

    def faster(self, by: int) -> None:
        """So many of the ``SPEEDS`` on."""
        self._speed = SPEEDS[min(max(bisect_right(SPEEDS, self._speed) - 1 + by, 0), len(SPEEDS) - 1)]

    @property
    def _checked(self) -> int:
        return min(self._ahead.position, len(self._recording))

    @property
    def _awaited(self) -> bool:
        """It goes where it is not checked yet."""
        return self._target > self._checked

    def _time_at(self, position: int) -> int:
        """When the last event before a position arrived."""
        return self._recording.received_ms(max(0, position - 1)) if len(self._recording) else 0

    # -- what is asked for -----------------------------------------------------------------------------------

    def play(self) -> None:
        """Go on; at the end, from the beginning."""
        if self._target >= len(self._recording):
            self.seek(0)
        self.playing = True

    def pause(self) -> None:
        self.playing = False
        if self._travel is None and not self._awaited:
            self._target = self._position

    def step(self, by: int) -> None:
        """Pause, so many events on or back."""
        self.pause()
        self.seek(self._target + by)

    def seek_time(self, ms: int) -> None:
        """To what the room was at that time, Unix milliseconds."""
        self.seek(self._recording.position_at(ms))

    def seek(self, position: int) -> None:
        """To any place; beyond the end is the end. ``advance`` goes there."""
        self._travel = None
        self._target = min(max(position, 0), len(self._recording))
        self._clock_ms = float(self._time_at(self._target))
        if not self._awaited:
            self._depart()

    def _depart(self) -> None:
        """Choose where to start from: here, or from a copy with as much before the goal as the timeline shows."""
        filled = max(0, self._target - _REFILL)
        place, copy = self._copies[bisect_right(self._copies, filled, key=lambda kept: kept[0]) - 1]
        if place <= self._position <= self._target:
            place = self._position
        else:
            self._travel = copy.copy()
        if self._reading.position != place:
            self._reading.cancel()
            self._reading = self._read_from(place)

    def _read_from(self, position: int, depth: int = 4) -> ReadAhead:
        return ReadAhead(self._recording, self._apart, self._pool, position, depth=depth)

    # -- what goes on ----------------------------------------------------------------------------------------

    def advance(self, now: float, budget_s: float = _BUDGET_S) -> bool:
        """Do what is due, for about ``budget_s``. ``now`` is in seconds, of a clock that only goes on.

        True: it is on its way, and should be called again at once; otherwise in some hundredths of a second.
        """
        end = time.perf_counter() + budget_s
        elapsed_s = min(max(0.0, now - self._now), _PAUSE_MOST_S)
        self._now = now
        awaited = self._awaited
        if self.playing and not awaited and self._travel is None:
            self._pass(elapsed_s)
        if not awaited:
            self._go(end)
        if awaited or not self._under_way:
            self._check_ahead(end, wait=awaited)
        if self._total != len(self._recording):
            self._heed_fault()
        elif awaited and not self._awaited:
            self._depart()
        return self._under_way

    @property
    def _under_way(self) -> bool:
        return self._travel is not None or self._position != self._target

    def _pass(self, seconds: float) -> None:
        """Let time pass in the recording: the goal is what has arrived by then."""
        if self._speed == inf:
            self._target = self._checked
            self._clock_ms = float(self._time_at(self._target))
        while seconds > 0 and self._target < min(self._checked, self._position + _AHEAD_MOST):
            left_ms = max(0.0, self._recording.received_ms(self._target) - self._clock_ms)
            rate = max(self._speed * 1000, self._silence_ms() / SILENCE_S)
            if left_ms > rate * seconds:
                self._clock_ms += rate * seconds
                break
            self._clock_ms += left_ms
            seconds -= left_ms / rate
            self._target += 1
        if self._position == len(self._recording) == self._checked:
            self.playing = False

    def _silence_ms(self) -> int:
        """How long it is silent now, if that is to be shortened."""
        if self._speed == inf or not 0 < self._target < self._checked:
            return 0
        silence_ms = self._recording.received_ms(self._target) - self._time_at(self._target)
        return silence_ms if silence_ms > self._speed * 1000 * SILENCE_S else 0

    def _go(self, end: float) -> None:
        """Fold what lies before the goal."""
        until = len(self._recording) if self.playing else self._target
        while self._reading.position < self._target:
            checked = self._reading.next(until, end - time.perf_counter())
            if checked is None:
                return
            if self._travel is not None:
                self._travel.fold(checked)
            else:
                self._model.fold(checked)
                self._position += 1
            if time.perf_counter() > end:
                return
        if self._travel is not None:
            self._model, self._travel, self._position = self._travel, None, self._target

    def _check_ahead(self, end: float, *, wait: bool) -> None:
        """Fold what was verified meanwhile, and leave copies behind."""
        while self._ahead.position < len(self._recording):
            checked = self._ahead.next(len(self._recording), end - time.perf_counter() if wait else 0)
            if checked is None:
                return
            self._scout.fold(checked)
            if self._ahead.position % self._every == 0:
                self._copies.append((self._ahead.position, self._scout.copy()))
            if len(self._copies) > _COPIES_MOST:
                self._every *= 2
                self._copies = [kept for kept in self._copies if kept[0] % self._every == 0]
            if time.perf_counter() > end:
                return

    def _heed_fault(self) -> None:
        """The recording ends earlier than it seemed: go back to where it is whole."""
        self._total = len(self._recording)
        self._copies = [kept for kept in self._copies if kept[0] <= self._total]
        if max(self._target, self._position) > self._total:
            self.seek(self._total)
