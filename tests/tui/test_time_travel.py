"""A recording in the app: played, stepped through, leapt about in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui.piloted import foot, press, settle, text_of
from tests.tui.still import lively
from tests.tui.watched import write_recording
from tui.app import ClawTui
from tui.feeds import ReplayFeed
from tui.sources import SourceError

COUNT = 150


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording of the made-up mesh."""
    found = tmp_path / "today.jsonl"
    write_recording(found, lively(COUNT))
    return found


@asynccontextmanager
async def replaying(path: Path) -> AsyncIterator[tuple[ClawTui, Pilot[None], ReplayFeed]]:
    feed = ReplayFeed.open(path)
    app = ClawTui(feed)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(app, pilot, lambda: feed.player.status.checked == feed.player.status.total)
        yield app, pilot, feed


async def until(app: ClawTui, pilot: Pilot[None], true: Callable[[], bool]) -> None:
    while not true():
        await settle(app, pilot)


async def seek(app: ClawTui, pilot: Pilot[None], feed: ReplayFeed, words: str) -> int:
    await press(app, pilot, "colon", *"seek", "space", *words, "enter")
    await until(app, pilot, lambda: feed.player.status.position == feed.player.status.target)
    await settle(app, pilot)
    return feed.player.status.position


async def test_it_plays_from_the_start_and_pauses(path: Path) -> None:
    async with replaying(path) as (app, pilot, feed):
        assert feed.player.playing
        await press(app, pilot, "p")
        assert not feed.player.playing
        held = feed.player.status.position
        await settle(app, pilot)
        assert feed.player.status.position == held
        assert f"{COUNT}" in text_of(app).splitlines()[-2]


async def test_seeking_shows_what_the_room_was_then(path: Path) -> None:
    async with replaying(path) as (app, pilot, feed):
        await press(app, pilot, "p")
        assert await seek(app, pilot, feed, "100%") == COUNT
        everything = app.picture
        assert len(everything.agents) == 12 and len(everything.tasks) > 10
        assert await seek(app, pilot, feed, "5") == 5
        assert len(app.picture.agents) < 6 and not app.picture.tasks
        assert await seek(app, pilot, feed, "50%") == COUNT // 2
        assert await seek(app, pilot, feed, "100%") == COUNT
        assert (app.picture.agents, app.picture.tasks) == (everything.agents, everything.tasks)


async def test_steps_and_leaps(path: Path) -> None:
    async with replaying(path) as (app, pilot, feed):
        await press(app, pilot, "p")
        await seek(app, pilot, feed, "80")

        async def at(key: str) -> int:
            await press(app, pilot, key)
            await until(app, pilot, lambda: feed.player.status.position == feed.player.status.target)
            return feed.player.status.position

        assert [await at(key) for key in ("full_stop", "full_stop", "comma")] == [81, 82, 81]
        assert await at("right_square_bracket") == 81 + COUNT // 20
        assert await at("left_square_bracket") == 81
        assert not feed.player.playing


async def test_speed(path: Path) -> None:
    async with replaying(path) as (app, pilot, feed):
        await press(app, pilot, "greater_than_sign", "greater_than_sign", "less_than_sign")
        assert feed.player.speed == 2
        await press(app, pilot, "colon", *"speed", "space", "8", "enter")
        assert feed.player.speed == 8
        assert "8x" in text_of(app).splitlines()[-2]


async def test_a_time_of_the_day(path: Path) -> None:
    from datetime import datetime

    async with replaying(path) as (app, pilot, feed):
        await press(app, pilot, "p")
        at = datetime.fromtimestamp(feed.player.status.begin_ms / 1000 + 10).astimezone()
        position = await seek(app, pilot, feed, f"{at:%H:%M:%S}")
        assert 0 < position < COUNT
        assert abs(feed.player.status.at_ms - at.timestamp() * 1000) < 2000


async def test_nothing_can_be_asked_of_the_past(path: Path) -> None:
    async with replaying(path) as (app, pilot, _):
        await press(app, pilot, "a")
        assert "view only" in foot(app)


async def test_a_damaged_recording_is_shown_up_to_the_fault_and_says_where(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[60] = lines[60].replace(b"m.notice", b"m.motice", 1)
    path.write_bytes(b"".join(lines))
    async with replaying(path) as (app, pilot, feed):
        assert await seek(app, pilot, feed, "100%") == 59
        assert "line 61" in text_of(app).splitlines()[-2]


async def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary\n")
    with pytest.raises(SourceError) as caught:
        ReplayFeed.open(tmp_path / "notes.txt")
    assert "clawtui record" in caught.value.hint


async def test_a_part_of_it_can_be_written_anew(path: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl"
    async with replaying(path) as (app, pilot, feed):
        await press(app, pilot, "p")
        await seek(app, pilot, feed, "40")
        app.export(f"recording {part}")
        await until(app, pilot, lambda: "Written" in foot(app))
    again = ReplayFeed.open(part)
    assert again.player.status.total == 40
    again.player.close()
