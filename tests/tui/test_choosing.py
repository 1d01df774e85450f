"""What is chosen is told of everywhere."""

from __future__ import annotations

from tests.tui.piloted import foot, press, running, settle, text_of
from tui.views import Selection
from tui.widgets.agents import AgentsPane
from tui.widgets.mesh import MeshPane


class TestChoosing:
    async def test_a_message_chosen_is_followed_everywhere(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "4", "up")
            chosen = app.selection
            entry = next(entry for entry in app.picture.entries if entry.seq == chosen.entry)
            assert chosen.about == "entry"
            assert entry.message is not None and chosen.agent == entry.message.sender
            assert "Verdict" in text_of(app)

    async def test_an_agent_chosen_is_told_of(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "2", "down", "down")
            row = app.picture.agent(app.selection.agent)
            assert row is not None and app.selection.about == "agent"
            await press(app, pilot, "d", "z")
            assert row.did in text_of(app)

    async def test_a_task_chosen_is_told_of(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "3", "down")
            task = app.picture.task(app.selection.task)
            assert task is not None and app.selection.about == "task"
            assert app.selection.agent == task.requester

    async def test_arrows_walk_through_the_mesh(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "1", "down")
            first = app.selection.agent
            await press(app, pilot, *"hjkl", "left", "right", "up", "down")
            assert first and app.selection.agent and app.selection.about == "agent"

    async def test_a_click_in_the_mesh_chooses(self) -> None:
        async with running() as (app, pilot):
            while not app.mesh.settled:  # else whoever is there has moved on before the click comes
                app.mesh.tick(app.feed.now_ms())
            scene = app.mesh._scene
            x, y = next((x, y) for y in range(20) for x in range(70) if scene.at(x, y))
            did = scene.at(x, y)
            await pilot.click(MeshPane, offset=(x + 1, y + 1))
            await settle(app, pilot)
            assert app.selection == Selection(about="agent", agent=did)

    async def test_raw_and_back(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "4", "up", "5", "z", "y")
            assert "Signed text" in text_of(app)
            await press(app, pilot, "y")
            assert "Signed text" not in text_of(app) and "Verdict" in text_of(app)

    async def test_raw_right_after_a_choice_is_of_what_was_chosen(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "4", "up", "5", "z")
            entry = next(entry for entry in app.picture.entries if entry.message is not None)
            app.choose_entry(entry)
            app.action_raw()  # before any frame
            await settle(app, pilot)
            assert "Signed text" in text_of(app)

    async def test_copy(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "c")
            assert "first" in foot(app)
            await press(app, pilot, "2", "down", "c")
            assert app.clipboard == app.selection.agent

    async def test_sort_by_the_next_column(self) -> None:
        async with running() as (app, pilot):

            def order() -> list[str]:
                pane = app.query_one(AgentsPane)
                return [pane.key_at(index) for index in range(pane.count())]

            orders = [order()]
            for _ in range(4):
                await press(app, pilot, "2", "s")
                orders.append(order())
            assert len({frozenset(found) for found in orders}) == 1
            assert len({tuple(found) for found in orders}) > 2

    async def test_pin_needs_an_agent_and_holds_it(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "P")
            assert "first" in foot(app)
            await press(app, pilot, "2", "down", "P")
            assert "Held" in foot(app)
            await press(app, pilot, "P")
            assert "again" in foot(app)

    async def test_escape_takes_back_one_thing_at_a_time(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "2", "down", "f", "z", "space")
            assert app.zoomed and app.followed and app.selection.agent and app.frozen is not None
            await press(app, pilot, "escape")
            assert not app.zoomed and app.followed
            await press(app, pilot, "escape")
            assert not app.followed and app.selection.agent
            await press(app, pilot, "escape")
            assert app.selection == Selection() and app.frozen is not None
            await press(app, pilot, "escape")
            assert app.frozen is None
