"""The inspector: it follows what is chosen, and its links lead on."""

from __future__ import annotations

import msgspec
from textual.geometry import Offset

from tests.proto.authoring import NOW_MS
from tests.tui.one_pane import (
    LARGE,
    OnePane,
    screen,
    seen,
    showing,
)
from tests.tui.watched import Errand
from tui.views import Selection
from tui.widgets.inspector import InspectorPane


async def test_the_inspector_follows_the_selection_and_its_links_lead_on() -> None:
    room = Errand()
    pane = InspectorPane()
    app = OnePane(pane)
    async with app.run_test(size=(80, 60)) as pilot:
        await pilot.pause()
        assert pane.empty in seen(app)
        picture = room.snapshot()
        chosen = Selection(about="entry", entry=room.award.seq, agent=room.carol.did)
        await showing(pilot, pane, picture, chosen, room.model)
        assert "awards draft to ada" in seen(app) and "inspector message" in screen(app)[0]
        line = next(y for y, text in enumerate(screen(app)) if "answers" in text)
        await pilot.click(offset=Offset(30, line))
        assert app.chosen == []
        await pilot.press("enter")
        assert app.chosen == [("message", room.task_id, True)]
        await showing(pilot, pane, picture, Selection(about="agent", agent=room.ada.did), room.model)
        assert "inspector agent" in screen(app)[0] and "gemma3-270m" in seen(app) and pane.top == 0
        await showing(pilot, pane, picture, Selection(about="task", task=room.task_id), room.model)
        assert "inspector task" in screen(app)[0] and "Why is the sky blue?" in seen(app)


async def test_what_it_was_shown_before_it_had_a_size_is_seen_when_it_has_one() -> None:
    room = Errand()
    pane = InspectorPane()
    pane.display = False
    app = OnePane(pane)
    async with app.run_test(size=(80, 60)) as pilot:
        await pilot.pause()
        assert pane.size.width == 0
        pane.display = True
        pane.show(room.snapshot(), Selection(about="task", task=room.task_id), model=room.model)
        await pilot.pause()
        assert "Why is the sky blue?" in seen(app)


async def test_the_raw_carrier_is_shown_and_hidden_again() -> None:
    room = Errand()
    pane = InspectorPane()
    app = OnePane(pane)
    chosen = Selection(about="entry", entry=room.forged.seq)
    async with app.run_test(size=(80, 60)) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), chosen, room.model)
        assert "Verdict" in seen(app)
        assert pane.toggle_raw()
        await showing(pilot, pane, room.snapshot(), chosen, room.model)
        assert "Carrier" in seen(app) and "Signed text" in seen(app) and "Verdict" not in seen(app)
        assert not pane.toggle_raw()
        await showing(pilot, pane, room.snapshot(), chosen, room.model)
        assert "Verdict" in seen(app)


async def test_a_message_stays_in_the_inspector_when_it_has_left_the_history() -> None:
    room = Errand()
    pane = InspectorPane()
    app = OnePane(pane)
    chosen = Selection(about="entry", entry=room.award.seq)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), chosen, room.model)
        later = msgspec.structs.replace(room.snapshot(), entries=(), now_ms=NOW_MS + 5000)
        await showing(pilot, pane, later, chosen, room.model)
        assert "awards draft to ada" in seen(app)
