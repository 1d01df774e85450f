"""Encrypted events that could not be read: held back for a moment, since the key often comes right after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tui.arrivals import Arrival

HOLD_S = 5.0
_MOST = 200


class Unread:
    """Hands over what nobody could read within ``HOLD_S``, in order of arrival."""

    def __init__(self, deliver: Callable[[Sequence[Arrival]], None]) -> None:
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._held: dict[str, tuple[float, Arrival]] = {}  # by event id, with when to hand it over
        self._due: asyncio.TimerHandle | None = None

    def hold(self, arrival: Arrival) -> None:
        """This event could not be read yet."""
        self._held.setdefault(arrival.event_id, (self._loop.time() + HOLD_S, arrival))
        if len(self._held) > _MOST:
            self._hand_over(next(iter(self._held.values()))[0])
        elif self._due is None:
            self._due = self._loop.call_at(self._loop.time() + HOLD_S, self._look)

    def was_read(self, event_id: str) -> None:
        """This event is read after all."""
        self._held.pop(event_id, None)

    def hand_over(self) -> None:
        """Wait no longer for any key."""
        self._hand_over(float("inf"))

    def close(self) -> None:
        """Hand over nothing more."""
        self._held.clear()
        if self._due is not None:
            self._due.cancel()

    def _look(self) -> None:
        self._hand_over(self._loop.time())
        first = next(iter(self._held.values()), None)
        self._due = None if first is None else self._loop.call_at(first[0], self._look)

    def _hand_over(self, now: float) -> None:
        due = [arrival for at, arrival in self._held.values() if at <= now]
        for arrival in due:
            del self._held[arrival.event_id]
        if due:
            self._deliver(due)
