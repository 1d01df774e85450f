"""Log lines about what others did: whoever floods a room does not flood the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping

OF_ONE_PER_MINUTE = 20
PER_MINUTE = 100
_MINUTE_MS = 60_000
_COUNTED = 256  # addresses that are told apart among what was left out


class Complaints:
    """Writes to ``log`` so many lines a minute, and then how many there would have been. ``now_ms`` is any clock."""

    def __init__(self, log: logging.Logger, now_ms: Callable[[], int]) -> None:
        self._log = log
        self._now_ms = now_ms
        self._since_ms = now_ms()
        self._written: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def say(self, level: int, address: str, text: str, *values: object, extra: Mapping[str, object]) -> None:
        """A line about somebody with this address."""
        if not self._log.isEnabledFor(level):
            return
        if not 0 <= self._now_ms() - self._since_ms < _MINUTE_MS:
            self._sum_up()
        if self._written[address] < OF_ONE_PER_MINUTE and self._written.total() < PER_MINUTE:
            self._written[address] += 1
            self._log.log(level, text, *values, extra=extra)
        else:
            known = address in self._left_out or len(self._left_out) < _COUNTED
            self._left_out[address if known else "others"] += 1

    def _sum_up(self) -> None:
        if self._left_out:
            ((loudest, most),) = self._left_out.most_common(1)
            total = self._left_out.total()
            self._log.warning("%d more lines were left out, %d of them about %s", total, most, loudest)
        self._since_ms = self._now_ms()
        self._written.clear()
        self._left_out.clear()
