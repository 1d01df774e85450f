"""How often something may be done, or said, for one room."""

from __future__ import annotations

import logging
import time

from bots.serving.limits import Allowance, Meters

_KEYS_MOST = 1_000


class Pace:
    """For each key ``most`` at once, ``per_minute`` in the long run."""

    def __init__(self, most: int, per_minute: float) -> None:
        self._meters = Meters(Allowance(most, per_minute / 60.0), _KEYS_MOST)

    def take(self, key: str) -> bool:
        """Whether it may be done once more for this key now."""
        return not self._meters.wait_s(key, 1.0, time.monotonic())


class Warnings:
    """Warnings that strangers can cause: for each room some, then their number with the next one."""

    def __init__(self, log: logging.Logger, pace: Pace) -> None:
        self._log = log
        self._pace = pace
        self._unsaid: dict[str, int] = {}

    def say(self, room: str, message: str) -> None:
        """Log this of a room, or count it."""
        if not self._pace.take(room):
            if room in self._unsaid or len(self._unsaid) < _KEYS_MOST:
                self._unsaid[room] = self._unsaid.get(room, 0) + 1
            return
        unsaid = self._unsaid.pop(room, 0)
        self._log.warning("%s%s", message, f" (and {unsaid} more like it before)" if unsaid else "")
