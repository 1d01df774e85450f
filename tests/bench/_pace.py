"""When the events of a measurement happen."""

from __future__ import annotations

import time
from typing import Final

START_MS: Final = 1_800_000_000_000
TICK_S: Final = 0.02


class PlayTime:
    """A clock that goes on from the newest arrival: what was signed ahead is of now when it comes."""

    def __init__(self) -> None:
        self._ms = START_MS
        self._at = time.monotonic()

    def __call__(self) -> int:
        return self._ms + int((time.monotonic() - self._at) * 1000)

    def arrived(self, ms: int) -> None:
        """Something came that was received at this time. The clock never goes back."""
        if ms >= self():
            self._ms, self._at = ms, time.monotonic()
