"""Parts that run side by side, until one of them ends."""

from __future__ import annotations

import asyncio

import pytest

from bots.parts import until_one_ends


class Part:
    """Goes on until it is told to end, and notes how it ended."""

    def __init__(self) -> None:
        self.began, self.told = asyncio.Event(), asyncio.Event()
        self.how = ""

    async def run(self) -> None:
        self.how = "going"
        self.began.set()
        try:
            await self.told.wait()
        except asyncio.CancelledError:
            self.how = "canceled"
            raise
        self.how = "ended"

    async def fail(self) -> None:
        await self.told.wait()
        raise ValueError("a part failed")


async def test_the_others_still_go_on_while_the_last_is_done() -> None:
    first, second = Part(), Part()
    seen: list[tuple[str, str]] = []

    async def last() -> None:
        seen.append((first.how, second.how))

    running = asyncio.ensure_future(until_one_ends(first.run(), second.run(), last=last))
    await second.began.wait()
    assert not seen
    first.told.set()
    await running
    assert seen == [("ended", "going")]
    assert second.how == "canceled"


async def test_what_a_part_raised_is_raised_and_nothing_else_is_done() -> None:
    first, second = Part(), Part()
    seen: list[str] = []

    async def last() -> None:
        seen.append("last")

    second.told.set()
    with pytest.raises(ValueError, match="a part failed"):
        await until_one_ends(first.run(), second.fail(), last=last)
    assert (first.how, seen) == ("canceled", [])


async def test_no_part_outlives_a_last_that_fails() -> None:
    first, second = Part(), Part()

    async def last() -> None:
        raise ValueError("not done")

    first.told.set()
    with pytest.raises(ValueError, match="not done"):
        await until_one_ends(first.run(), second.run(), last=last)
    assert second.how == "canceled"


async def test_who_cancels_all_cancels_each() -> None:
    parts = [Part(), Part()]
    running = asyncio.ensure_future(until_one_ends(*(part.run() for part in parts)))
    for part in parts:
        await part.began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [part.how for part in parts] == ["canceled", "canceled"]
