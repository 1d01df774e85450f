"""Space that readers share."""

from __future__ import annotations

import asyncio

from bots.transports.http.backlog import Backlog


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_is_served_in_turn() -> None:
    backlog = Backlog(10)
    await backlog.hold(8)
    large, small = asyncio.ensure_future(backlog.hold(9)), asyncio.ensure_future(backlog.hold(1))
    await settled()
    assert not large.done()
    assert not small.done()
    backlog.free(8)
    await settled()
    assert large.done()
    assert small.done()
    assert backlog.held == 10


async def test_who_waits_no_more_keeps_nobody_waiting() -> None:
    backlog = Backlog(10)
    await backlog.hold(8)
    first, second, third = (asyncio.ensure_future(backlog.hold(size)) for size in (9, 2, 5))
    await settled()
    first.cancel()
    await settled()
    assert second.done()
    # One is given his turn and cancelled before he could take it.
    backlog.free(10)
    third.cancel()
    await settled()
    assert backlog.held == 0


async def test_what_is_larger_than_all_space_goes_alone() -> None:
    backlog = Backlog(10)
    await backlog.hold(50)
    waiting = asyncio.ensure_future(backlog.hold(1))
    await settled()
    assert not waiting.done()
    backlog.free(50)
    await waiting
