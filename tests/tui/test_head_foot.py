"""The head line and the foot: what they tell, and how they fold."""

from __future__ import annotations

import pytest

from tests.proto.authoring import NOW_MS
from tests.tui.one_pane import (
    EVIL,
    SMALL,
    OnePane,
    agents,
    harmless,
    screen,
    seen,
    snapshot,
    task_row,
)
from tui.glyphs import ASCII, GLYPHS
from tui.model import Model
from tui.moments import clock
from tui.spans import text_of
from tui.text import width_of
from tui.views import Counts, Selection
from tui.widgets.foot import Foot, Playback, keys_line, replay_line
from tui.widgets.head import Head


async def test_the_head_tells_the_link_the_counts_and_what_is_held_back() -> None:
    head = Head()
    app = OnePane(head)
    async with app.run_test(size=(160, 5)) as pilot:
        await pilot.pause()
        for second in range(4):
            counts = Counts(messages=50 * second, invalid=3, pending=1234)
            picture = snapshot(now_ms=NOW_MS + 1000 * second, agents=agents(3), tasks=(task_row(),), counts=counts)
            head.tell(room="#mesh", link="stale", detail="trying again", filter="/type:task.*", buffered=37)
            head.show(picture, Selection(), model=Model())
        await pilot.pause()
        line = screen(app)[0]
        expected = (
            "ClawNet", "#mesh", "◑ stale", "FROZEN +37 buffered", "trying again", "3/3 agents", "1 running",
            "50 msg/s", "✗ 3 invalid", "verifying 1,234", "/type:task.*", clock(NOW_MS + 3000),
        )  # fmt: skip
        assert [line.index(part) for part in expected] == sorted(line.index(part) for part in expected)
        # Time went back: no rate is known.
        head.show(snapshot(now_ms=NOW_MS), Selection(), model=Model())
        assert head.rate == 0


@pytest.mark.parametrize("width", [1, 20, 60, 80, 120])
async def test_the_head_folds_and_keeps_what_matters_most(width: int) -> None:
    head = Head()
    app = OnePane(head)
    async with app.run_test(size=(width, 3)) as pilot:
        await pilot.pause()
        head.tell(room=EVIL, link="live", filter="x" * 200, buffered=3, detail="d" * 100)
        head.show(snapshot(agents=agents(3), counts=Counts(invalid=2)), Selection(), model=Model())
        await pilot.pause()
        harmless(app)
        if width >= 80:
            assert "● live" in screen(app)[0] and "FROZEN +3" in screen(app)[0]


async def test_the_foot_shows_keys_then_a_message_for_some_seconds_then_keys_again() -> None:
    foot = Foot()
    app = OnePane(foot)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        foot.keys([("?", "help"), ("/", "filter")])
        foot.tick(1000)
        await pilot.pause()
        assert "? help  / filter" in seen(app)
        foot.message("It is done." + EVIL, "warning")
        foot.tick(2000)
        await pilot.pause()
        assert "It is done." in seen(app) and "help" not in seen(app)
        harmless(app)
        foot.tick(7999)
        await pilot.pause()
        assert "It is done." in seen(app)
        foot.tick(8000)
        await pilot.pause()
        assert "? help" in seen(app)


async def test_a_replay_has_a_line_of_its_own() -> None:
    foot = Foot()
    app = OnePane(foot)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        foot.keys([("p", "play")])
        playback = Playback(playing=True, speed=2, at_ms=NOW_MS, position=3400, total=100_000, checked=0.4)
        foot.replay(playback)
        await pilot.pause()
        line = screen(app)[0]
        assert "▶ playing 2x" in line and clock(NOW_MS) in line and "3,400/100,000" in line and "40 % checked" in line
        assert "p play" in screen(app)[1]
        foot.replay(None)
        await pilot.pause()
        assert "p play" in screen(app)[0]


def test_the_replay_bar_fills_with_the_position_and_fits_every_width() -> None:
    for glyphs in GLYPHS.values():
        for width in range(1, 160):
            for position in (0, 1, 50, 100):
                playback = Playback(
                    playing=False, speed=0.5, at_ms=NOW_MS, position=position, total=100, checked=0.5, fault=EVIL * 9
                )
                assert width_of(text_of(replay_line(playback, width, glyphs))) == width
    done = text_of(replay_line(Playback(playing=False, speed=1, at_ms=0, position=9, total=9), 80, ASCII))
    assert "=====" in done and "." not in done and "checked" not in done


def test_only_whole_keys_are_shown() -> None:
    keys = [("?", "help"), ("/", "filter"), ("space", "freeze")]
    for width in range(1, 60):
        line = text_of(keys_line(keys, width))
        assert width_of(line) == width
        assert line.strip() in ("", "? help", "? help  / filter", "? help  / filter  space freeze")
