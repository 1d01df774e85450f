"""The pictures in docs/pictures: what clawtui draws of a made-up room, at a moment that is always the same.

``python -m tests.tui.pictures`` writes them anew, and test_pictures says whether those that are there are right.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tests.tui.arriving import tampered
from tests.tui.piloted import me, press, running, settle
from tests.tui.still import StillFeed, StillSource, lively
from tui import exports
from tui.app import ClawTui

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
_EVENTS: Final = 285
_ROOM: Final = "#clawnet:example.org"
_RATE_MS: Final = 2000  # over how much time the head line counts messages


def _mesh(app: ClawTui) -> str:
    return exports.svg(app.picture, app.mesh.positions(), title=_ROOM)


def _screen(app: ClawTui) -> str:
    drawn = exports.without_web_fonts(app.export_screenshot(title="clawtui"))
    # The name of its parts hangs on all that the picture holds; one that stays keeps changes small.
    return re.sub(r"terminal-\d+", "clawtui", drawn)


class _Picture(msgspec.Struct, frozen=True):
    """One file: how large the terminal is, which keys are pressed, and how the outcome is drawn."""

    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    draw: Callable[[ClawTui], str] = _screen


PICTURES: Final[Mapping[str, _Picture]] = {
    "clawtui.svg": _Picture((120, 40), ("3", "down", "enter")),
    "narrow.svg": _Picture((80, 24)),
    "invalid.svg": _Picture((100, 32), ("slash", *"verdict:invalid", "enter", "4", "end", "5", "z")),
    "mesh.svg": _Picture((120, 40), draw=_mesh),
}


@contextmanager
def in_utc() -> Iterator[None]:
    """Clocks show UTC, whatever zone this machine is in."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


async def draw(name: str) -> str:
    """The text of a picture's file; see ``in_utc``."""
    picture = PICTURES[name]
    arrivals = lively(_EVENTS)
    now_ms = arrivals[-1].received_ms
    result = next(one for one in reversed(arrivals) if '\\"type\\":\\"task.result\\"' in one.event)
    arrivals.insert(-1, msgspec.structs.replace(tampered(result), received_ms=now_ms))
    last = next(place for place, one in enumerate(arrivals) if one.received_ms > now_ms - _RATE_MS)
    source = StillSource(arrivals[:last], me())
    source.title = _ROOM
    feed = StillFeed(source, arrivals[last].received_ms)
    async with running(feed, size=picture.size) as (app, pilot):
        _rest(app)
        feed.add(*arrivals[last:])
        app.frame()
        _rest(app)
        await press(app, pilot, *picture.keys)
        await settle(app, pilot)
        return picture.draw(app)


def _rest(app: ClawTui) -> None:
    """Let everybody in the mesh find a place."""
    while not app.mesh.settled:
        app.mesh.tick(app.feed.now_ms())


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    with in_utc():
        for name in PICTURES:
            (FOLDER / name).write_text(asyncio.run(draw(name)), "utf-8")


if __name__ == "__main__":
    main()
