"""Two clocks: one that tells the time of day and may be wrong, and one that nobody sets.

What is signed or kept for a later run goes by the wall clock: others, and who starts the agent again, have no other.
What is waited for within one run goes by the monotonic clock: a wall clock that is put right in the middle of it would
end all waiting at once, or stretch it.
"""

from __future__ import annotations

import time
from typing import Protocol

# It goes on while the machine sleeps, as the others do.
_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What tells an agent the time."""

    def now_ms(self) -> int:
        """The wall clock: Unix milliseconds. Somebody may set it, forward or back."""

    def monotonic_ms(self) -> int:
        """Milliseconds since some moment, always the same one in a run; only differences mean anything."""


class SystemClock:
    """The clocks of this machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.clock_gettime_ns(_MONOTONIC) // 1_000_000


SYSTEM = SystemClock()
