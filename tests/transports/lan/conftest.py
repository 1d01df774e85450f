"""A local network on loopback, and people on it who are no agents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.transports.worlds import LanWorld


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[LanWorld]:
    async with AsyncExitStack() as stack:
        yield LanWorld(stack, tmp_path)


@pytest.fixture
async def by_dns(tmp_path: Path) -> AsyncIterator[LanWorld]:
    """Who comes is found by nothing but multicast."""
    async with AsyncExitStack() as stack:
        yield LanWorld(stack, tmp_path, by_dns=True)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened
