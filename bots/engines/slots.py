"""Bounded concurrency: at most ``count`` generations at once, the rest wait in the order they came."""

from __future__ import annotations

import asyncio
import math

from bots.errors import EngineError

MAX_WAITING = 64


class Slot:
    """The right to run one generation. ``release`` gives it to whoever waits longest; idempotent."""

    def __init__(self, slots: Slots, queued_ms: int) -> None:
        self._slots: Slots | None = slots
        self.queued_ms = queued_ms

    def release(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots._give_back()


class Slots:
    """``count`` slots, and a queue of at most ``max_waiting`` who wait for one, first come first served."""

    def __init__(self, count: int, *, max_waiting: int = MAX_WAITING) -> None:
        if count < 1:
            raise ValueError("an engine needs at least one slot")
        self.count = count
        self.max_waiting = max_waiting
        self.running = 0
        self.waiting = 0
        self._free = asyncio.Semaphore(count)

    async def take(self, *, deadline: float) -> Slot:
        """Wait for a slot until ``deadline``, a time of the running loop's clock in seconds.

        Raises EngineError ``engine.busy`` if too many wait already, ``engine.timeout`` at the deadline.
        """
        if self._free.locked() and self.waiting >= self.max_waiting:
            raise EngineError("engine.busy", f"The engine is busy and {self.waiting} requests wait already.")
        loop = asyncio.get_running_loop()
        asked = loop.time()
        self.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError:
            waited = math.ceil(loop.time() - asked)
            raise EngineError("engine.timeout", f"No slot of the engine came free in {waited} s.") from None
        finally:
            self.waiting -= 1
        self.running += 1
        return Slot(self, queued_ms=round((loop.time() - asked) * 1000))

    def _give_back(self) -> None:
        self.running -= 1
        self._free.release()
