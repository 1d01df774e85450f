"""Questions go out, and tasks of ours are canceled."""

from __future__ import annotations

import pytest

from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import said
from tests.tui.piloted import foot, me, press, running
from tests.tui.still import NOW_MS, StillFeed, StillSource, lively_feed
from tui.prompt import Prompt
from tui.screens.confirm import ConfirmScreen
from tui.sources import Key


class TestAsking:
    async def test_without_a_key_it_is_a_view_only(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "a")
            assert "view only" in foot(app)
            assert not app.query_one(Prompt).is_open
            await press(app, pilot, "x")
            assert "view only" in foot(app)

    async def test_a_question_goes_out_and_is_watched(self) -> None:
        feed = lively_feed(key=me())
        source = feed.source
        assert isinstance(source, StillSource)
        task_id = feed.model.snapshot(feed.at_ms).tasks[0].id
        source.told = (task_id, "It is on its way.")
        async with running(feed) as (app, pilot):
            await press(app, pilot, "a", *"why?", "enter")
            assert source.asked == ["why?"]
            assert app.selection.task == task_id
            assert "on its way" in foot(app)

    async def test_what_is_refused_is_told(self) -> None:
        feed = lively_feed(key=me())
        async with running(feed) as (app, pilot):
            await press(app, pilot, "a", *"why?", "enter")
            assert "Nobody is there. Try later." in foot(app)

    async def test_escape_asks_nothing(self) -> None:
        feed = lively_feed(key=me(), told=("x",))
        async with running(feed) as (app, pilot):
            await press(app, pilot, "a", *"why?", "escape")
            assert isinstance(feed.source, StillSource) and feed.source.asked == []
            assert not app.query_one(Prompt).is_open

    @pytest.mark.parametrize("answer, canceled", [("y", True), ("n", False), ("escape", False)])
    async def test_a_task_of_ours_is_canceled_once_confirmed(self, answer: str, canceled: bool) -> None:
        author = Author("other")
        ours = StillFeed(StillSource([said(author, samples.request())], Key(author.did, ())), NOW_MS + 1000)
        assert isinstance(ours.source, StillSource)
        async with running(ours) as (app, pilot):
            await press(app, pilot, "x")
            assert "Choose a task of ours" in foot(app)
            task_id = app.picture.tasks[0].id
            app.choose_task(task_id)
            await press(app, pilot, "x")
            assert isinstance(app.screen, ConfirmScreen)
            await press(app, pilot, answer)
            assert ours.source.canceled == ([task_id] if canceled else [])

    async def test_a_task_of_others_cannot_be_canceled(self) -> None:
        feed = lively_feed(key=Key("did:key:nobody", ()))
        async with running(feed) as (app, pilot):
            app.choose_task(app.picture.tasks[0].id)
            await press(app, pilot, "x")
            assert "others' cannot be canceled" in foot(app)
