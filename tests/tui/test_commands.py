"""Nothing that a person types, or a recording holds, ends the app: it says what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from math import inf
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import said
from tests.tui.piloted import foot, me, press, running, settle, text_of, until
from tests.tui.still import NOW_MS, StillFeed, StillSource, lively, lively_feed
from tests.tui.watched import write_recording
from tui.app import ClawTui
from tui.feeds import ReplayFeed
from tui.screens.confirm import ConfirmScreen
from tui.sources import Key
from tui.views import Selection

FAR_MS = 2**53 - 1


async def command(app: ClawTui, pilot: Pilot[None], words: str) -> str:
    """Give a command; what the foot says then."""
    await press(app, pilot, "colon")
    app.prompt.query_one(Input).value = words
    await press(app, pilot, "enter")
    return foot(app)


class TestTravelling:
    @pytest.mark.parametrize(
        "words, told",
        [
            ("seek 12:00", "No calendar"),
            ("seek 12:00:00", "No calendar"),
            ("seek 99:99:99", "no 99:99:99"),
            ("seek 24:00", "no 24:00:00"),
            ("seek ²", "Say where"),
            ("seek ²%", "Say where"),
            ("seek .%", "Say where"),
            ("speed nan", "Say how fast"),
            ("speed 0", "Say how fast"),
            ("speed -1", "Say how fast"),
            ("speed -inf", "Say how fast"),
            ("speed ²", "Say how fast"),
        ],
    )
    async def test_what_makes_no_sense_is_refused(self, words: str, told: str, tmp_path: Path) -> None:
        arrivals = [msgspec.structs.replace(arrival, received_ms=FAR_MS) for arrival in lively(5)]
        feed = ReplayFeed.open(write_recording(tmp_path / "far.jsonl", arrivals))
        async with ClawTui(feed).run_test(size=(120, 40)) as pilot:
            app = pilot.app
            assert isinstance(app, ClawTui)
            assert told in await command(app, pilot, words)
            assert feed.player.speed == 1

    async def test_as_fast_as_it_goes(self, tmp_path: Path) -> None:
        feed = ReplayFeed.open(write_recording(tmp_path / "fast.jsonl", lively(50)))
        async with ClawTui(feed).run_test(size=(120, 40)) as pilot:
            app = pilot.app
            assert isinstance(app, ClawTui)
            await command(app, pilot, "speed inf")
            assert feed.player.speed == inf
            await until(pilot, lambda: feed.player.position == 50)


class TestExport:
    @pytest.mark.parametrize("form", ["svg", "recording"])
    @pytest.mark.parametrize(
        "name, told",
        [("~nosuchuser/x", "write the whole path"), ("a\0b", "cannot be written"), ("x" * 4000, "cannot be written")],
    )
    async def test_where_nothing_can_be_written_it_says_so(
        self, form: str, name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        async with running() as (app, pilot):
            said: list[str] = []
            monkeypatch.setattr(app, "say", lambda text, *_: said.append(text))
            await command(app, pilot, f"export {form} {name}")
            await settle(app, pilot)
            assert said and told in said[-1]
        assert not list(tmp_path.iterdir())


def meeting(*names: str, gone: str = "") -> tuple[StillFeed, list[Author]]:
    """An agent of each name; one of the name ``gone`` announced itself from an address of another."""
    authors = [Author(f"author{place}") for place in range(len(names))]
    arrivals = [said(author, samples.announce(author, name=name)) for author, name in zip(authors, names, strict=True)]
    if gone:
        authors.append(Author("gone"))
        announce = said(authors[-1], samples.announce(authors[-1], name=gone))
        arrivals.append(msgspec.structs.replace(announce, sender="matrix:u/elsewhere:example.org"))
    return StillFeed(StillSource(arrivals)), authors


class TestNames:
    async def test_several_of_one_name_are_told_apart_by_their_ids(self) -> None:
        feed, authors = meeting("alice", "alice", "bob")
        async with running(feed) as (app, pilot):
            told = await command(app, pilot, "follow alice")
            assert "2 are called alice" in told
            assert all(f"...{author.did[-8:]}" in told for author in authors[:2])
            assert not app.followed and app.selection == Selection()
            await command(app, pilot, f"follow ...{authors[1].did[-8:]}")
            assert app.followed == authors[1].did

    async def test_what_looks_the_same_is_the_same(self) -> None:
        feed, _ = meeting("alice", "Ali\u200bce")
        async with running(feed) as (app, pilot):
            assert "2 are called alice" in await command(app, pilot, "follow alice")

    async def test_one_that_is_proven_goes_first(self) -> None:
        feed, authors = meeting("alice", gone="alice")
        async with running(feed) as (app, pilot):
            assert [row.state for row in app.picture.agents if row.did == authors[1].did] == ["unbound"]
            await command(app, pilot, "follow alice")
            assert app.followed == authors[0].did

    async def test_a_whole_name_goes_before_one_that_only_begins_so(self) -> None:
        feed, authors = meeting("alice2", "alice", "bertram")
        async with running(feed) as (app, pilot):
            await command(app, pilot, "follow alice")
            assert app.followed == authors[1].did
            await command(app, pilot, "follow ber")
            assert app.followed == authors[2].did
            assert "2 are called so and more: ali" in await command(app, pilot, "follow ali")
            assert app.followed == authors[2].did


class TestFollowing:
    async def test_another_is_followed_at_once(self) -> None:
        feed, authors = meeting("alice", "bert")
        async with running(feed) as (app, pilot):
            await command(app, pilot, "follow alice")
            await command(app, pilot, "follow bert")
            assert app.followed == authors[1].did
            await command(app, pilot, "follow")
            assert not app.followed

    async def test_who_is_gone_is_still_followed_by_name(self) -> None:
        feed, _ = meeting("alice", "bert")
        async with running(feed) as (app, pilot):
            await command(app, pilot, "follow alice")
            app.feed = StillFeed(StillSource([]))
            await settle(app, pilot)
            assert not app.picture.agents
            assert "following alice" in text_of(app).splitlines()[0]


class TestFiltersOfWhatChanges:
    async def test_what_becomes_bound_appears(self) -> None:
        author = Author("late")
        early = msgspec.structs.replace(said(author, samples.request()), sender=author.address)
        feed = StillFeed(StillSource([early]))
        async with running(feed) as (app, pilot):
            app.set_filter("verdict:bound")
            await settle(app, pilot)
            assert app.timeline.count() == 0
            feed.add(said(author, samples.announce(author)))
            await settle(app, pilot)
            app.review(1e9)
            assert app.timeline.count() == 2

    async def test_it_is_asked_once_a_second_and_only_if_something_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        feed = lively_feed()
        async with running(feed) as (app, _):
            reviews: list[int] = []
            monkeypatch.setattr(app.timeline, "review", lambda: reviews.append(1))
            monkeypatch.setattr(app, "frame", lambda: None)
            app.review(2e9)
            assert not reviews  # there is no filter
            app.set_filter("verdict:bound")
            app.review(2e9)
            feed.model.changes += 1
            app.review(2e9 + 0.5)
            assert len(reviews) == 1
            app.review(2e9 + 1)
            app.review(2e9 + 9)
            assert len(reviews) == 2

    async def test_who_reads_further_up_stays_there(self) -> None:
        feed = lively_feed()
        async with running(feed) as (app, pilot):
            app.set_filter("-verdict:invalid")
            await press(app, pilot, "4", "home")
            await press(app, pilot, "down", "down", "pagedown")
            pane = app.timeline
            key = pane.key_at(pane.top)
            pane.review()
            assert pane.key_at(pane.top) == key and not pane.following


class Slow(StillSource):
    """Never answers; whoever goes is ``left``."""

    left = False

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        try:
            yield "5fJxAbcdefgh"
            await asyncio.Event().wait()
        finally:
            self.left = True


class TestQuitting:
    @pytest.mark.parametrize("how", ["q", "ctrl+q", ":quit"])
    async def test_with_a_question_under_way_it_asks_first(self, how: str) -> None:
        source = Slow(lively(20), me())
        async with running(StillFeed(source, NOW_MS)) as (app, pilot):
            await press(app, pilot, "a", *"why?", "enter")
            if how == ":quit":
                await command(app, pilot, "quit")
            else:
                await press(app, pilot, how)
            assert isinstance(app.screen, ConfirmScreen)
            await until(pilot, lambda: "5fJxAbcd" in text_of(app))
            await press(app, pilot, "ctrl+q", "q")
            assert len(app.screen_stack) == 1 and not source.left and app._exit is False
            await press(app, pilot, "q")
            await pilot.press("y")
            await pilot.pause()
            assert app._exit
        assert source.left

    async def test_without_one_it_just_quits(self) -> None:
        async with running() as (app, pilot):
            await pilot.press("ctrl+q")
            await pilot.pause()
            assert app._exit


class Broken(StillSource):
    """Fails as no source should."""

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise KeyError("oops")
        yield ""

    async def cancel(self, task: str) -> str:
        raise RuntimeError("oops")


class TestFaults:
    async def test_asking_ends_with_a_sentence(self) -> None:
        async with running(StillFeed(Broken(lively(20), me()))) as (app, pilot):
            await press(app, pilot, "a", *"why?", "enter")
            assert "KeyError" in foot(app) and app.is_running
            await pilot.press("q")
            await pilot.pause()
            assert app._exit

    async def test_canceling_ends_with_a_sentence(self) -> None:
        author = Author("other")
        feed = StillFeed(Broken([said(author, samples.request())], Key(author.did, ())), NOW_MS + 1000)
        async with running(feed) as (app, pilot):
            app.choose_task(app.picture.tasks[0].id)
            await press(app, pilot, "x")
            await press(app, pilot, "y")
            assert "RuntimeError" in foot(app) and app.is_running
