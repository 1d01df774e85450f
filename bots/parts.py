"""The parts of what runs: they go on side by side, and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until_one_ends(*parts: Awaitable[object], last: Callable[[], Awaitable[None]] | None = None) -> None:
    """Run ``parts`` until one of them ends, then ``last`` while the others still go on, then cancel these.

    Raises what one of them raised; ``last`` is left out then. Whoever wants to be asked to stop makes the waiting for
    it a part.
    """
    going = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
        for part in going:
            if part.done():
                part.result()
        if last is not None:
            await last()
    finally:
        for part in going:
            part.cancel()
        await asyncio.gather(*going, return_exceptions=True)
