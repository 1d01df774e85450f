"""How the tests take a generation: whole, or as the error it ends in; and how they wait for an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from bots.engines import Completion
from bots.errors import EngineError

TIMEOUT_S = 60.0


async def completed(stream: AsyncIterator[str | Completion]) -> tuple[list[str], Completion]:
    """The pieces, and the completion that came last and once."""
    *pieces, last = [item async for item in stream]
    assert isinstance(last, Completion)
    texts = [piece for piece in pieces if isinstance(piece, str)]
    assert len(texts) == len(pieces)
    return texts, last


async def failed(stream: AsyncIterator[str | Completion]) -> EngineError:
    """The error that a generation ends in."""
    with pytest.raises(EngineError) as caught:
        await completed(stream)
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop's other tasks run until something is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - an engine's health is no event
            await asyncio.sleep(0)
