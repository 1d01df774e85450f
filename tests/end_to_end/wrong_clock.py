"""``clawbot`` on a machine whose wall clock is wrong: the first argument says how many milliseconds it is ahead.

SIGUSR1 puts it right, as somebody might while the agent runs.
"""

from __future__ import annotations

import signal
import sys
import time

from bots.cli import main


def begin(ahead_ms: int) -> None:
    """Let the wall clock of this process be so far ahead from now on."""
    true_s, true_ns, off_ns = time.time, time.time_ns, ahead_ms * 1_000_000

    def set_right(*_: object) -> None:
        nonlocal off_ns
        off_ns = 0

    time.time_ns = lambda: true_ns() + off_ns
    time.time = lambda: true_s() + off_ns / 1e9
    signal.signal(signal.SIGUSR1, set_right)


if __name__ == "__main__":
    begin(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
