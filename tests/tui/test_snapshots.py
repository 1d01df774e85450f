"""What stands on the screen, to the last character.

After a wanted change run it with CLAWNET_SNAPSHOTS=write, and read the difference.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.piloted import press, running, text_of
from tests.tui.still import lively_feed

_FOLDER = Path(__file__).parent / "snapshots"

_SCREENS = {
    "room-120x40": ((120, 40), "braille", ()),
    "room-80x24": ((80, 24), "braille", ()),
    "room-120x40-block": ((120, 40), "block", ()),
    "room-120x40-ascii": ((120, 40), "ascii", ()),
    "room-80x24-ascii": ((80, 24), "ascii", ()),
    "message-120x40": ((120, 40), "braille", ("4", "up", "up")),
    "message-80x24": ((80, 24), "braille", ("4", "up", "up", "5")),
    "invalid-120x40": ((120, 40), "braille", ("slash", *"verdict:invalid", "enter", "4", "end", "5", "z")),
    "agents-120x40": ((120, 40), "braille", ("2", "down", "down", "z")),
    "agents-80x24": ((80, 24), "braille", ("2", "down", "down")),
    "task-120x40": ((120, 40), "braille", ("3", "down", "enter", "z")),
    "task-80x24": ((80, 24), "braille", ("3", "down", "d")),
    "filter-120x40": ((120, 40), "braille", ("slash", *"from:ada")),
    "frozen-80x24": ((80, 24), "braille", ("space",)),
    "help-120x40": ((120, 40), "braille", ("question_mark",)),
    "help-80x24": ((80, 24), "braille", ("question_mark",)),
    "toosmall-50x10": ((50, 10), "braille", ()),
}


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", _SCREENS)
async def test_the_screen_is_as_it_was(name: str) -> None:
    size, glyphs, keys = _SCREENS[name]
    async with running(lively_feed(), size=size, glyphs=glyphs) as (app, pilot):
        while app.mesh.display and not app.mesh.settled:
            app.mesh.tick(app.feed.now_ms())
        for key in keys:
            await press(app, pilot, key)
        screen = "\n".join(line.rstrip() for line in text_of(app).splitlines()) + "\n"
    path = _FOLDER / f"{name}.txt"
    if os.environ.get("CLAWNET_SNAPSHOTS") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(screen)
    assert screen == path.read_text()
