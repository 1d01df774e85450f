"""An event loop in which waiting takes no time: when nothing can happen now, the clock leaps to what comes next."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

DEADLINE_S = 3600.0  # virtual
_STEP_S = 0.01


class _Leaping(selectors.DefaultSelector):
    """A selector that never sleeps. ``now`` is the loop's time, in seconds."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise RuntimeError("Nothing is left that could ever happen.")
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The same program takes the same course in it, however fast the machine is."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a ``VirtualTimeLoop``; it has ``DEADLINE_S`` of its time."""

    async def in_time(*args: P.args, **kwargs: P.kwargs) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(in_time(*args, **kwargs))

    return run


async def until(condition: Callable[[], object], within_s: float = 120.0) -> None:
    """Let time pass until something is so. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the state of a fold is no event
            await asyncio.sleep(_STEP_S)
