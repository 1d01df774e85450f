"""What is done beside receiving, each errand until it is done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from bots.errors import Fatal, Refused, RetryLater, StoreError

log = logging.getLogger(__name__)


class Errands:
    """Errands by name; ``delay_s`` gives the pause after so many tries that came to nothing."""

    def __init__(self, delay_s: Callable[[int], float]) -> None:
        self._delay_s = delay_s
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, errand: Callable[[], Awaitable[object]]) -> None:
        """Begin an errand, unless one of this name is under way."""
        if name not in self._tasks:
            task = self._tasks[name] = asyncio.create_task(self._patiently(name, errand), name=f"matrix {name}")
            task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def end(self) -> None:
        """Leave undone what is not done."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _patiently(self, name: str, errand: Callable[[], Awaitable[object]]) -> None:
        tries = 0
        while True:
            try:
                await errand()
                return
            except RetryLater as error:
                if tries == 0:
                    log.warning("%s: %s Trying again.", name, error)
                await asyncio.sleep(error.after_s or self._delay_s(tries))
                tries += 1
            except (Fatal, StoreError):
                return  # receiving meets the same, and says so
            except Refused as error:
                log.warning("%s: %s", name, error)
                return
            except Exception:
                log.exception("%s came to nothing", name)
                return
