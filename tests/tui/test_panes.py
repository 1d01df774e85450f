"""The panes in a terminal: keys, mouse, reordering, and life without colours or Unicode."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from textual.geometry import Offset

from clawnet_proto.families import presence
from tests.proto import samples
from tests.proto.authoring import NOW_MS, Author
from tests.tui.one_pane import (
    EVIL,
    LARGE,
    SMALL,
    OnePane,
    agents,
    harmless,
    screen,
    seen,
    showing,
    snapshot,
    task_row,
)
from tests.tui.watched import Errand
from tui.glyphs import ASCII, BLOCK, BRAILLE, Glyphs
from tui.model import Model
from tui.views import AgentRow, Selection
from tui.widgets.agents import AgentsPane
from tui.widgets.inspector import InspectorPane
from tui.widgets.rows import Rows
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane

# -- every pane -------------------------------------------------------------------------------------------------

PANES: dict[str, Callable[[], Rows]] = {
    "agents": AgentsPane,
    "tasks": TasksPane,
    "timeline": TimelinePane,
    "inspector": InspectorPane,
}


def hostile_errand() -> Errand:
    room, eve = Errand(), Author("eve")
    card = presence.ModelCard(name=EVIL, kinds=("echo",))
    room.say(eve, samples.announce(eve, name=EVIL, description=EVIL, models=(card,)))
    room.say(eve, samples.request(title=EVIL))
    room.words(EVIL * 50)
    return room


@pytest.mark.parametrize("size", [SMALL, LARGE, (20, 6), (3, 3)])
@pytest.mark.parametrize("glyphs, colours", [(BRAILLE, True), (BLOCK, False), (ASCII, False)])
@pytest.mark.parametrize("name", PANES)
async def test_every_pane_draws_at_every_size_with_all_glyphs_and_without_colours(
    name: str, glyphs: Glyphs, colours: bool, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    room, pane = hostile_errand(), PANES[name]()
    pane.glyphs = glyphs
    app = OnePane(pane)
    assert app.no_color is not colours
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        entry = Selection(about="entry", entry=room.forged.seq)
        for about in (Selection(), entry, Selection(about="agent", agent=room.ada.did)):
            await showing(pilot, pane, room.snapshot(), about, room.model)
            await pilot.press("j", "j", "enter")
            pane.show(room.snapshot(), about, model=room.model)
            await pilot.pause()
            harmless(app)
        if glyphs is ASCII:
            assert {c for c in seen(app) if not c.isascii()} <= {"…"}


async def test_without_colours_every_state_can_still_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    room = Errand()
    for glyphs in (BRAILLE, ASCII):
        timeline = TimelinePane(glyphs=glyphs)
        app = OnePane(timeline)
        async with app.run_test(size=LARGE) as pilot:
            await pilot.pause()
            await showing(pilot, timeline, room.snapshot(), Selection(entry=room.forged.seq), room.model)
            for verdict in ("bound", "invalid", "relayed", "unbound", "unsigned"):
                assert f"{glyphs.verdicts[verdict]} {verdict}" in seen(app)
            (cursor,) = [line for line in screen(app) if "signature.invalid" in line]
            assert cursor[1] == ("▌" if glyphs is BRAILLE else ">")


async def test_nothing_is_repainted_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Errand()
    for make in PANES.values():
        pane = make()
        app = OnePane(pane)
        async with app.run_test(size=LARGE) as pilot:
            await pilot.pause()
            picture, chosen = room.snapshot(), Selection(about="agent", agent=room.ada.did)
            await showing(pilot, pane, picture, chosen, room.model)
            painted: list[object] = []
            monkeypatch.setattr(pane, "refresh", lambda *regions, painted=painted, **_: painted.append(regions))
            for _ in range(3):
                pane.show(picture, chosen, model=room.model)
            assert painted == []


# -- lists ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_cursor_moves_by_arrows_letters_pages_and_to_the_ends(size: tuple[int, int]) -> None:
    pane = AgentsPane()
    app = OnePane(pane)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(agents=agents(100)), Selection(), Model())
        steps = [
            (("down",), 0), (("down",), 1), (("j", "j"), 3), (("k",), 2), (("up",), 1), (("G",), 99), (("g",), 0),
            (("end",), 99), (("home",), 0), (("pagedown",), pane.page - 1), (("pageup",), 0), (("up",), 0),
        ]  # fmt: skip
        for keys, expected in steps:
            await pilot.press(*keys)
            assert pane.cursor == f"did:{expected:03}", keys
            assert f"agent {expected:03}" in seen(app)
        assert app.chosen[-1] == ("agent", "did:000", False)
        await pilot.press("enter")
        assert app.chosen[-1] == ("agent", "did:000", True)


async def test_a_click_chooses_and_two_open_and_the_wheel_scrolls_without_choosing() -> None:
    pane = AgentsPane()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(agents=agents(100)), Selection(), Model())
        await pilot.click(offset=Offset(10, 4))
        assert app.chosen == [("agent", "did:002", False)]
        await pilot.click(offset=Offset(10, 5), times=2)
        assert app.chosen[1:] == [("agent", "did:003", False), ("agent", "did:003", True)]
        pane.roll(30)
        await pilot.pause()
        assert "agent 030" in seen(app) and "agent 003" not in seen(app) and len(app.chosen) == 3
        for offset in (Offset(10, 0), Offset(10, 1), Offset(0, 5)):
            await pilot.click(offset=offset)
        assert len(app.chosen) == 3


async def test_the_cursor_stays_with_its_row_when_rows_are_reordered_and_in_sight() -> None:
    pane = AgentsPane()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        rows = agents(60)
        await showing(pilot, pane, snapshot(agents=rows), Selection(), Model())
        await pilot.press("down", "down", "down")
        assert pane.cursor == "did:002"
        # It has gone: it goes to the end of the list.
        changed = (*rows[:2], msgspec.structs.replace(rows[2], state="left"), *rows[3:])
        await showing(pilot, pane, snapshot(agents=changed), Selection(), Model())
        assert pane.cursor == "did:002" and pane.index_of("did:002") == 59
        assert "agent 002" in seen(app)


async def test_what_is_chosen_elsewhere_is_brought_into_sight_without_choosing_it_again() -> None:
    pane = AgentsPane()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        picture = snapshot(agents=agents(100))
        await showing(pilot, pane, picture, Selection(agent="did:070"), Model())
        assert pane.cursor == "did:070" and "agent 070" in seen(app) and app.chosen == []
        await pilot.press("j")
        # A frame that does not know of it yet does not take it back.
        await showing(pilot, pane, picture, Selection(agent="did:070"), Model())
        assert pane.cursor == "did:071"


async def test_agents_come_in_order_and_can_be_sorted_by_each_column() -> None:
    rows = (
        AgentRow(did="did:1", name="zoe", kind="ai", state="live", running=1, slots=1, rtt_ms=80, heard_ms=NOW_MS),
        AgentRow(did="did:2", name="amy", kind="ai", state="left", rtt_ms=20, heard_ms=NOW_MS - 5000),
        AgentRow(did="did:3", name="bob", kind="human", state="live", role="asker", rtt_ms=-1, slots=4),
        AgentRow(did="did:4", name="me", kind="hybrid", state="expired", me=True, models=("gemma",)),
    )
    pane = AgentsPane()
    app = OnePane(pane)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(agents=rows), Selection(), Model())

        def order() -> list[str]:
            return [pane.key_at(index)[-1] for index in range(4)]

        assert order() == ["4", "3", "1", "2"]
        orders = {"name": "2341", "state": "3142", "role": "3241", "models": "4231", "load": "1234", "rtt": "2134"}
        for column, expected in (orders | {"seen": "1234"}).items():
            assert pane.sort_by_next() == column
            await pilot.pause()
            assert order() == list(expected), column
            assert f"{column}↓" in seen(app)
        assert pane.sort_by_next() == ""
        pane.sort_by("rtt")
        assert order() == list("2134")


async def test_an_agents_row_tells_load_round_trip_trust_and_keys() -> None:
    row = AgentRow(
        did="did:1", name="ada", kind="ai", role="writer", state="live", running=1, waiting=2, slots=2, rtt_ms=41,
        heard_ms=NOW_MS - 11_000, models=("gemma3",), offers=("drafts",), wants=("reviews",), region="eu", rotations=1,
        conflict=True, equivocates=True,
    )  # fmt: skip
    for glyphs in (BRAILLE, ASCII):
        pane = AgentsPane(glyphs=glyphs)
        app = OnePane(pane)
        async with app.run_test(size=(160, 24)) as pilot:
            await pilot.pause()
            await showing(pilot, pane, snapshot(agents=(row,)), Selection(), Model())
            (line,) = [line for line in screen(app) if "ada" in line]
            marks = glyphs.marks["conflict"] + glyphs.marks["equivocates"]
            load = f"{glyphs.bar[0] * 4} 3/2"
            expected = (
                f"{marks} ada key 2",
                "live",
                "writer",
                "gemma3",
                load,
                "41ms",
                "12s",
                "drafts",
                "reviews",
                "eu",
            )
            for text in expected:
                assert text in line, text


# -- tasks ------------------------------------------------------------------------------------------------------


async def test_a_task_shows_its_stages_as_a_pipeline_and_unfolds_into_lines() -> None:
    pane = TasksPane()
    app = OnePane(pane)
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.pause()
        tasks = (task_row(), task_row("u" * 43, state="completed", ended_ms=NOW_MS - 9000))
        await showing(pilot, pane, snapshot(tasks=tasks), Selection(), Model())
        line, other = (line for line in screen(app) if "Write a tale" in line)
        assert "◐ tttttttt Write a tale" in line and "1/3" in line and "21.0" in line and "12s" in line
        assert "draft ✓ did:ada → critique ◐ did:bert 37 tok → revise" in line
        assert "✓ uuuuuuuu" in other and "2s" in other
        assert "1 running, 2 in all" in screen(app)[0]
        await pilot.press("j", "enter")
        assert app.chosen == [("task", "t" * 43, False)]
        assert pane.count() == 5
        await pilot.press("j", "j")
        assert app.chosen[-1] == ("stage", "t" * 43 + "/critique", False)
        (stage,) = [line for line in screen(app) if line[1] == "▌"]
        assert (
            "critique" in stage and "working" in stage and "2." in stage and "37 tok" in stage and "21.0 t/s" in stage
        )
        await pilot.press("enter")
        assert app.chosen[-1] == ("stage", "t" * 43 + "/critique", True)
        await pilot.press("j", "j")
        assert app.chosen[-1] == ("task", "u" * 43, False)
        await pilot.press("g", "enter")
        assert pane.count() == 2


async def test_a_task_that_moves_up_takes_the_cursor_along() -> None:
    pane = TasksPane()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        first, second = task_row(), task_row("u" * 43)
        await showing(pilot, pane, snapshot(tasks=(first, second)), Selection(), Model())
        await pilot.press("j", "j")
        await showing(pilot, pane, snapshot(tasks=(second, first)), Selection(), Model())
        assert pane.cursor == "u" * 43 and pane.index_of(pane.cursor) == 0
        await showing(pilot, pane, snapshot(tasks=(second, first)), Selection(task=first.id, stage="draft"), Model())
        assert pane.cursor == first.id  # its stages are folded away


async def test_where_there_is_no_room_for_the_pipeline_its_signs_still_tell_how_far_it_is() -> None:
    pane = TasksPane()
    app = OnePane(pane)
    async with app.run_test(size=(48, 8)) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(tasks=(task_row(),)), Selection(), Model())
        (line,) = [line for line in screen(app) if "Write a tale" in line]
        assert "✓◐○  1/3" in line and "draft" not in line


async def test_where_it_is_narrow_but_high_the_pipeline_has_a_line_of_its_own() -> None:
    pane = TasksPane()
    app = OnePane(pane)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        other = task_row("u" * 43, title="Another tale")
        await showing(pilot, pane, snapshot(tasks=(task_row(), other)), Selection(), Model())
        first, below, second = screen(app)[2:5]
        assert "◐ Write a tale" in first and " 21.0 " in first and "12s" in first
        assert "draft ✓ did:ada → critique ◐ did:bert 37 tok → revise" in below
        assert "◐ Another tale" in second
        await pilot.click(offset=Offset(5, 5))  # the second line of the second task
        assert pane.cursor == "u" * 43 and app.chosen == [("task", "u" * 43, False)]
        await pilot.press("k", "enter")
        lines = screen(app)[2:]
        assert lines[0][1] == lines[1][1] == "▌" != lines[2][1]
        assert "├─ ✓ draft" in lines[2] and "90 tok" in lines[2] and "│    Once" in lines[3]
        assert "└─ ○ revise" in lines[6] and "reads draft, critique" in lines[7]
        assert "Another tale" in lines[8]


async def test_a_pipeline_that_is_too_long_leaves_out_what_the_finished_stages_were_called() -> None:
    pane = TasksPane()
    app = OnePane(pane)
    async with app.run_test(size=(44, 20)) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(tasks=(task_row(),)), Selection(), Model())
        assert "   ✓ did:ada → critique ◐ did:bert 37 tok" in screen(app)[3]


async def test_rows_of_two_lines_scroll_as_others_do() -> None:
    pane = TasksPane()
    app = OnePane(pane)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        tasks = tuple(task_row(f"{n:043}", title=f"Tale {n}") for n in range(30))
        await showing(pilot, pane, snapshot(tasks=tasks), Selection(), Model())
        assert pane.page == 8
        await pilot.press("G")
        assert "Tale 29" in screen(app)[-4] and "Tale 22" in screen(app)[2] and pane.top == 22
        await pilot.press("pageup")
        assert pane.cursor == tasks[22].id
        await pilot.press("g")
        assert "Tale 0" in screen(app)[2]
        await pilot.resize_terminal(60, 9)
        assert "Tale 0" in screen(app)[2] and "Tale 1" in screen(app)[3]


async def test_a_few_agents_in_a_narrow_pane_say_below_what_they_can_offer_and_want() -> None:
    pane = AgentsPane()
    app = OnePane(pane)
    gone = AgentRow(did="did:9", name="zoe", kind="ai", state="left", region="eu")
    few = agents(2, role="writer", models=("gemma3-270m",), offers=("drafts",), wants=("reviews",), slots=2, running=1)
    async with app.run_test(size=(48, 12)) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(agents=(*few, gone)), Selection(), Model())
        first, below = screen(app)[2:4]
        assert "agent 000" in first and "writer" in first and "━━╌╌ 1/2" in first and "gemma3" not in first
        assert "  gemma3-270m, offers drafts, wants reviews" in below
        assert "zoe" in screen(app)[6] and "  left in eu" in screen(app)[7]
        await showing(
            pilot, pane, snapshot(agents=agents(5, models=("gemma3",), slots=2, running=1)), Selection(), Model()
        )
        lines = screen(app)[2:7]
        assert all(f"agent 00{n}" in lines[n] and "gemma3" in lines[n] and "1/2" in lines[n] for n in range(5))
