"""The app with a picture in it: its keys are pressed and its screen is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from tests.tui.still import NOW_MS, StillFeed, lively_feed
from tui.app import ClawTui
from tui.sources import Key
from tui.sources.synthetic import Synthetic

WIDE, NARROW = (120, 40), (80, 24)


@asynccontextmanager
async def running(
    feed: StillFeed | None = None, size: tuple[int, int] = WIDE, **options: object
) -> AsyncIterator[tuple[ClawTui, Pilot[None]]]:
    """The app with a picture in it."""
    app = ClawTui(feed or lively_feed(), **options)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        yield app, pilot


async def settle(app: ClawTui, pilot: Pilot[None]) -> None:
    """Let messages run out and show what came of them, without waiting for the clock."""
    for _ in range(2):
        await pilot.pause()
        if len(app.screen_stack) == 1:
            app.frame()
    await pilot.pause()


async def press(app: ClawTui, pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(app, pilot)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Let the app go on until something has come about; the test's time limit ends what never does."""
    while not true():
        await pilot.pause()


def text_of(app: ClawTui) -> str:
    """What stands on the screen."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def foot(app: ClawTui) -> str:
    return text_of(app).splitlines()[-1]


def me() -> Key:
    key = Synthetic(agents=12, seed=1, clock=lambda: NOW_MS).key
    assert key is not None
    return key
