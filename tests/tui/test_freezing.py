"""A frozen picture stays as it is, whatever is learnt meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import said
from tests.tui.piloted import press, running, settle, text_of
from tests.tui.still import StillFeed, StillSource
from tests.tui.test_time_travel import COUNT, path, replaying, seek
from tui.exports import data

__all__ = ["path"]

ALICE, BOB = Author("alice"), Author("bob")


def learning() -> StillFeed:
    """Bob asked before he announced himself: nothing is known of him yet."""
    return StillFeed(StillSource([said(ALICE, samples.announce(ALICE)), said(BOB, samples.request())]))


def learn(feed: StillFeed) -> None:
    feed.add(said(ALICE, samples.announce(ALICE, 2, name="renamed")), said(BOB, samples.announce(BOB)))


def below_the_head(shown: str) -> list[str]:
    return shown.splitlines()[1:]


async def test_names_and_verdicts_stay() -> None:
    feed = learning()
    async with running(feed) as (app, pilot):
        await press(app, pilot, "4", "up", "space")
        before = text_of(app)
        learn(feed)
        await settle(app, pilot)
        assert below_the_head(text_of(app)) == below_the_head(before)
        assert "FROZEN +2" in text_of(app).splitlines()[0]
        assert "renamed" not in data(app.picture, app.judge)
        await press(app, pilot, "space")
        assert "renamed" in text_of(app) and "FROZEN" not in text_of(app)


async def test_the_name_of_the_room_stays() -> None:
    feed = learning()
    async with running(feed) as (app, pilot):
        await press(app, pilot, "space")
        feed.title = "#replaced:example.org"
        learn(feed)
        await settle(app, pilot)
        assert "#still:example.org" in text_of(app).splitlines()[0]
        await press(app, pilot, "space")
        assert "#replaced:example.org" in text_of(app).splitlines()[0]


async def test_one_can_look_around_in_it() -> None:
    feed = learning()
    async with running(feed) as (app, pilot):
        await press(app, pilot, "space")
        learn(feed)
        await press(app, pilot, "4", "up")
        assert app.selection.about == "entry"
        assert "renamed" not in text_of(app)
        await press(app, pilot, "slash", *"renamed", "enter")
        assert app.timeline.count() == 0
        await press(app, pilot, "escape", "slash", *"alice", "enter")
        assert app.timeline.count() == 1


async def test_going_back_in_a_replay_leaves_it_frozen(path: Path) -> None:
    async with replaying(path) as (app, pilot, feed):
        await press(app, pilot, "p")
        await seek(app, pilot, feed, "100%")
        await press(app, pilot, "space")
        picture = app.picture
        await seek(app, pilot, feed, "10")
        assert app.picture is picture and len(picture.entries) >= COUNT
        assert "FROZEN +0" in text_of(app).splitlines()[0]
        await press(app, pilot, "space")
        assert len(app.picture.entries) < COUNT
