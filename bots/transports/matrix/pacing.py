"""How often something may be done, or said, for one room."""

from __future__ import annotations

import logging
import time

_KEYS_MOST = 1_000


class Pace:
    """A token bucket for each key: ``most`` at once, ``per_minute`` in the long run."""

    def __init__(self, most: int, per_minute: float) -> None:
        self._most = most
        self._per_s = per_minute / 60.0
        self._levels: dict[str, tuple[float, float]] = {}  # (level, when)

    def take(self, key: str) -> bool:
        """Whether it may be done once more for this key now."""
        now = time.monotonic()
        level, at = self._levels.pop(key, (float(self._most), now))
        level = min(self._most, level + (now - at) * self._per_s)
        allowed = level >= 1.0
        self._levels[key] = (level - allowed, now)
        if len(self._levels) > _KEYS_MOST:
            del self._levels[next(iter(self._levels))]
        return allowed


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
