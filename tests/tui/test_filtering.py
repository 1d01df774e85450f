"""A filter applies to all that is shown."""

from __future__ import annotations

from tests.tui.piloted import foot, press, running, settle, text_of
from tui.prompt import Prompt
from tui.widgets.agents import AgentsPane
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane


class TestFilter:
    async def test_it_applies_while_one_types(self) -> None:
        async with running() as (app, pilot):
            everything = app.query_one(TimelinePane).count()
            await press(app, pilot, "slash", *"type:task.close")
            pane = app.query_one(TimelinePane)
            assert 0 < pane.count() < everything
            await press(app, pilot, "enter")
            assert not app.query_one(Prompt).is_open
            assert "type:task.close" in text_of(app).splitlines()[0]
            await press(app, pilot, "escape")
            assert pane.count() == everything

    async def test_a_faulty_one_says_so_and_changes_nothing(self) -> None:
        async with running() as (app, pilot):
            before = app.query_one(TimelinePane).count()
            await press(app, pilot, "colon", *"filter", "space", *"verdict:nonsense", "enter")
            assert "verdict" in foot(app)
            assert app.query_one(TimelinePane).count() == before

    async def test_agents_and_tasks_are_filtered_too(self) -> None:
        async with running() as (app, pilot):
            app.set_filter("from:ada")
            await settle(app, pilot)
            assert app.query_one(AgentsPane).count() == 1
            assert 0 < app.query_one(TasksPane).count() < len(app.picture.tasks)
            assert len(app.picture.agents) == 12

    async def test_follow_shows_what_concerns_one_agent(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "f")
            assert "first" in foot(app)
            app.choose_agent("bert")
            await press(app, pilot, "f")
            pane = app.query_one(TimelinePane)
            shown = {pane.key_at(index) for index in range(pane.count())}
            for entry in app.picture.entries:
                message = entry.message
                concerned = message is not None and (
                    message.sender == app.followed or app.followed in (message.envelope.recipients or ())
                )
                assert (str(entry.seq) in shown) == concerned
            assert "following bert" in text_of(app)
