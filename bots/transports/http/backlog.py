"""What was read and is not taken yet, bounded over all who read."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

BACKLOG_MOST: Final = 1 << 20  # bytes


class Backlog:
    """At most ``most`` bytes for all who share it, or one piece that is larger. Who has to wait is served in turn."""

    def __init__(self, most: int = BACKLOG_MOST) -> None:
        self._most = most
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0

    async def hold(self, size: int) -> None:
        """Take so many bytes, once there is space for them."""
        if not self._waiting and self._fits(size):
            self.held += size
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            given = turn.done() and not turn.cancelled()
            self.free(size if given else 0)
            raise

    def free(self, size: int) -> None:
        """Give so many bytes back."""
        self.held -= size
        while self._waiting and (self._waiting[0][1].done() or self._fits(self._waiting[0][0])):
            wanted, turn = self._waiting.popleft()
            if not turn.done():
                self.held += wanted
                turn.set_result(None)

    def _fits(self, size: int) -> bool:
        return not self.held or self.held + size <= self._most
