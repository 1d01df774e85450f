"""Whether our wall clock agrees with that of the server we talk to.

A server is not trusted with our time: nothing is set by what it says. People are told, and whoever waits in vain for
others learns the likely reason.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from statistics import median_low

from bots.clock import Clock

log = logging.getLogger(__name__)

OFF_MS = 30_000  # half of the shortest life that a message of ours has
_SAMPLES = 9
_ENOUGH = 3
_TOOK_MOST_S = 4.0  # an answer that took longer may have been dated at any moment of that
_DATE_CHARACTERS = 64
_UNITS = ((172_800_000, 86_400_000, "days"), (7_200_000, 3_600_000, "hours"), (120_000, 60_000, "minutes"))


class ClockWatch:
    """Compares ``clock`` with the dates of a server's answers; ``tell`` takes a sentence for people.

    What is remembered is how far the server is ahead of our monotonic clock. So what is found is of this moment, also
    if nothing was heard since somebody set our wall clock.
    """

    def __init__(self, clock: Clock, tell: Callable[[str], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._found: deque[int] = deque(maxlen=_SAMPLES)
        self._told = False

    def answered(self, date: str, took_s: float) -> None:
        """An answer that came just now, ``took_s`` seconds after we asked, had this ``Date`` (RFC 9110)."""
        if took_s > _TOOK_MOST_S or len(date) > _DATE_CHARACTERS:
            return
        try:
            dated_ms = round(parsedate_to_datetime(date).timestamp() * 1000)
        except (ValueError, OverflowError):
            return
        # It was cut to whole seconds, somewhere between question and answer.
        self._found.append(dated_ms + 500 - (self._clock.monotonic_ms() - round(took_s * 500)))

    @property
    def ahead_ms(self) -> int | None:
        """How far our clock is ahead of the server's, less than 0 if behind; None before enough was heard."""
        if len(self._found) < _ENOUGH:
            return None
        # A few answers that were held up, or dated by somebody else on the way, change nothing.
        return self._clock.now_ms() - self._clock.monotonic_ms() - median_low(self._found)

    @property
    def fault(self) -> str:
        """What is wrong with our clock and what to do, a sentence each, "" if nothing is known to be."""
        return fault_of(self.ahead_ms)

    def look(self) -> None:
        """Tell people when the clocks come apart, and when they agree again: called a few times a second."""
        fault = self.fault
        if bool(fault) == self._told:
            return
        self._told = bool(fault)
        text = fault or "The clock of this machine agrees with the homeserver's again."
        log.log(logging.WARNING if fault else logging.INFO, "%s", text)
        self._tell(text)


def fault_of(ahead_ms: int | None) -> str:
    """The same for a clock that is so far ahead of the homeserver's, None if that is not known."""
    if ahead_ms is None or abs(ahead_ms) <= OFF_MS:
        return ""
    where = "ahead of" if ahead_ms > 0 else "behind"
    return (
        f"The clock of this machine is {_span(abs(ahead_ms))} {where} the homeserver's, so others may not act on what "
        "it signs. If it is the wrong one, set it (timedatectl set-ntp true); nothing has to be started again."
    )


def _span(ms: int) -> str:
    for least, unit, name in _UNITS:
        if ms >= least:
            return f"{round(ms / unit)} {name}"
    return f"{round(ms / 1000)} seconds"
