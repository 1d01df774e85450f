"""Arrivals checked in a process of its own, so that this one can draw meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from clawnet_proto.worker import Worker, WorkerDied
from tui.arrivals import Arrival, Checked, Outcome
from tui.checking import all_outcomes, judged, outcomes
from tui.sources import Key


class Apart:
    """The process, which starts at once. Should it die or not start at all, whoever calls does its work."""

    def __init__(self, key: Key | None) -> None:
        self._key = key
        self._worker: Worker | None = None
        with contextlib.suppress(WorkerDied):
            self._worker = Worker("tui.checking:all_outcomes")

    def check(self, arrivals: Sequence[Arrival]) -> list[Checked]:
        """All of them, in order. Blocks; any thread may call."""
        found = self._found(arrivals)
        found = [self._reopened(*pair) for pair in zip(arrivals, found, strict=True)]
        return [judged(*pair) for pair in zip(arrivals, found, strict=True)]

    def _found(self, arrivals: Sequence[Arrival]) -> list[tuple[Outcome, ...]]:
        try:
            found: list[tuple[Outcome, ...]] = self._worker(arrivals) if self._worker else all_outcomes(arrivals)
        except Exception:  # the process is gone, or out of memory
            return all_outcomes(arrivals)
        return found

    def _reopened(self, arrival: Arrival, proven: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        # What is sealed to us is opened here: no key leaves this process.
        return outcomes(arrival, self._key) if self._key is not None and arrival.plane == "direct" else proven

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._worker is not None:
            self._worker.close()
