"""Arrivals checked in a process of its own, so that this one can draw meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from clawnet_proto.worker import Worker, WorkerDied
from tui.arrivals import Arrival, Checked, Outcome
from tui.checking import all_outcomes, judged, outcomes
from tui.sources import Key


class Apart:
    """The process, which starts at once. Should it die, whoever calls does its work."""

    def __init__(self, key: Key | None) -> None:
        self._key = key
        self._worker = Worker("tui.checking:all_outcomes")

    def check(self, arrivals: Sequence[Arrival]) -> list[Checked]:
        """All of them, in order. Blocks; any thread may call."""
        try:
            found = self._worker(arrivals)
        except WorkerDied:
            found = all_outcomes(arrivals)
        found = [self._reopened(*pair) for pair in zip(arrivals, found, strict=True)]
        return [judged(*pair) for pair in zip(arrivals, found, strict=True)]

    def _reopened(self, arrival: Arrival, proven: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        # What is sealed to us is opened here: no key leaves this process.
        return outcomes(arrival, self._key) if self._key is not None and arrival.plane == "direct" else proven

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._worker.close()
