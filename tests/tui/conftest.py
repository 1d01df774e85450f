"""Fixtures of everything that is drawn."""

from __future__ import annotations

import asyncio

import pytest
import textual.app
import textual.pilot
from textual._context import active_app
from textual.app import App

_LOOK_S = 0.001
_LONGEST_S = 1.0  # an app that is never at rest


@pytest.fixture(autouse=True)
def _prompt_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pilot goes on when the app has nothing left to do.

    Textual's own waits until the process has hardly worked for a fiftieth of a second, which one that draws fifteen
    times a second seldom has.
    """
    monkeypatch.setattr(textual.app, "wait_for_idle", _at_rest)
    monkeypatch.setattr(textual.pilot, "wait_for_idle", _at_rest)


async def _at_rest(_least_s: float = 0.0, most_s: float = _LONGEST_S) -> None:
    app, resting = active_app.get(), 0
    end = asyncio.get_running_loop().time() + most_s
    # Whoever was woken by the last message may be about to send the next one.
    while resting < 2 and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(_LOOK_S)
        resting = 0 if _at_work(app) else resting + 1


def _at_work(app: App[object]) -> bool:
    """Whether messages are on their way, a new size of the terminal, or what is drawn with the next frame."""
    return (
        app._resize_event is not None
        or any(pump.message_queue_size or pump._next_callbacks for pump in app._registry)
        or any(screen._layout_required or screen._dirty_widgets or screen._callbacks for screen in app.screen_stack)
    )
