"""The timeline: following, filters, leaps in time, and what each line tells."""

from __future__ import annotations

import msgspec
from textual.geometry import Offset

from clawnet_proto.families import task
from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.one_pane import (
    LARGE,
    SMALL,
    OnePane,
    entries,
    screen,
    seen,
    showing,
    snapshot,
)
from tests.tui.watched import Errand
from tui.model import Model
from tui.moments import clock
from tui.views import Entry, Selection
from tui.widgets.timeline import TimelinePane


async def test_the_timeline_shows_the_end_until_one_scrolls_up_and_then_counts_what_is_new() -> None:
    pane, model = TimelinePane(), Model()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        everything = entries(140)
        await showing(pilot, pane, snapshot(entries=everything[:100]), Selection(), model)
        assert "words number 100" in seen(app) and pane.following
        await pilot.press("k")
        assert app.chosen == [("entry", "100", False)] and not pane.following
        await pilot.press("k", "k")
        await showing(pilot, pane, snapshot(entries=everything[:137]), Selection(), model)
        assert "words number 100" in seen(app) and "words number 137" not in seen(app)
        assert "↓ 37 new" in seen(app) and pane.cursor == "98"
        await pilot.press("G")
        assert "words number 137" in seen(app) and pane.following and "new" not in screen(app)[1]
        await showing(pilot, pane, snapshot(entries=everything), Selection(), model)
        assert "words number 140" in seen(app)


async def test_scrolling_back_down_to_the_end_goes_on_following() -> None:
    pane, model = TimelinePane(), Model()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(entries=entries(100)), Selection(), model)
        pane.roll(-3)
        assert not pane.following
        pane.roll(3)
        assert pane.following
        await pilot.press("k", "down", "down")
        assert pane.following


async def test_what_one_reads_stays_where_it_is_while_old_lines_are_dropped() -> None:
    pane, model = TimelinePane(), Model()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        everything = entries(300)
        await showing(pilot, pane, snapshot(entries=everything[:100]), Selection(), model)
        pane.roll(-20)
        await pilot.pause()
        before = screen(app)[2:-1]
        await showing(pilot, pane, snapshot(entries=everything[40:140]), Selection(), model)
        assert screen(app)[2:-1] == before
        assert "↓ 40 new" in seen(app)
        await showing(pilot, pane, snapshot(entries=everything[200:]), Selection(), model)
        assert "words number 201" in seen(app)  # it is gone: the oldest there is


async def test_an_entry_that_is_chosen_elsewhere_is_shown() -> None:
    pane, model = TimelinePane(), Model()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(entries=entries(100)), Selection(about="entry", entry=7), model)
        assert "words number 7 " in seen(app) and not pane.following and app.chosen == []
        await showing(pilot, pane, snapshot(entries=entries(100)), Selection(), model)
        assert pane.cursor == ""


async def test_a_filter_looks_at_each_entry_once() -> None:
    pane, model = TimelinePane(), Model()
    app = OnePane(pane)
    looked: list[int] = []

    def passes(entry: Entry) -> bool:
        looked.append(entry.seq)
        return entry.seq % 10 == 0

    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        everything = entries(400)
        await showing(pilot, pane, snapshot(entries=everything[:100]), Selection(), model)
        pane.set_filter(passes)
        assert pane.count() == 10 and looked == list(range(1, 101))
        await showing(pilot, pane, snapshot(entries=everything[:155]), Selection(), model)
        assert pane.count() == 15 and looked == list(range(1, 156))
        await showing(pilot, pane, snapshot(entries=everything[100:300]), Selection(), model)
        assert [pane.key_at(0), pane.key_at(pane.count() - 1)] == ["110", "300"] and looked == list(range(1, 301))
        assert "20 of 200" in screen(app)[0]
        # Travel in time: other entries under the same numbers.
        other = entries(50, 281)
        looked.clear()
        await showing(pilot, pane, snapshot(entries=other), Selection(), model)
        assert looked == list(range(281, 331)) and pane.count() == 5
        pane.set_filter(None)
        assert pane.count() == 50


async def test_a_leap_in_time_shows_the_other_entries_though_their_numbers_are_the_same() -> None:
    pane, model = TimelinePane(), Model()
    app = OnePane(pane)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        await showing(pilot, pane, snapshot(entries=entries(50)), Selection(), model)
        other = tuple(msgspec.structs.replace(entry, words=f"other {entry.seq}") for entry in entries(50))
        await showing(pilot, pane, snapshot(entries=other), Selection(), model)
        assert "other 50" in seen(app) and "words number" not in seen(app)
        await showing(pilot, pane, snapshot(entries=()), Selection(), model)
        assert pane.empty in seen(app)


async def test_what_waits_for_its_signature_is_shown_and_cannot_be_chosen() -> None:
    room = Errand()
    room.model.expect([room.arrivals[0], room.arrivals[1]])
    pane = TimelinePane()
    app = OnePane(pane)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), Selection(), room.model)
        assert seen(app).count("its signature is still to be checked") == 2
        await pilot.click(offset=Offset(20, 1 + pane.count()))
        assert app.chosen == []
        await pilot.press("k")
        assert app.chosen == [("entry", str(room.unbound.seq), False)]


async def test_a_verdict_changes_when_an_announce_comes() -> None:
    room, dora = Errand(), Author("dora")
    pane = TimelinePane()
    app = OnePane(pane)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), Selection(), room.model)
        assert "unbound" in screen(app)[1 + pane.count()]
        line = 1 + pane.count()
        room.say(dora, samples.announce(dora, 5))
        await showing(pilot, pane, room.snapshot(), Selection(), room.model)
        assert "relayed" in screen(app)[line] and "dora" in screen(app)[line]


async def test_a_line_tells_time_verdict_type_sender_and_what_it_says() -> None:
    room = Errand()
    pane = TimelinePane()
    app = OnePane(pane)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), Selection(), room.model)
        (line,) = [line for line in screen(app) if "awards draft" in line]
        parts = (clock(room.award.at_ms), "✓ bound", "task.award", "carol", "awards draft to ada")
        assert [line.index(part) for part in parts] == sorted(line.index(part) for part in parts)
        assert "lee:example.org" in seen(app) and "Has anybody seen my cat?" in seen(app)
        assert "signature.invalid: the signature does not verify" in seen(app)


async def test_in_a_rush_what_does_not_count_is_told_as_soon_as_it_is_over() -> None:
    room = Errand()
    award = task.Award(stage="draft", attempt=1, lease_ms=30_000)
    for _ in range(3):
        room.say(room.bob, award, to=room.ada.did, thread=room.task_id, answers=room.task_id)
    pane = TimelinePane()
    app = OnePane(pane)
    async with app.run_test(size=(120, 12)) as pilot:
        await pilot.pause()
        await showing(pilot, pane, room.snapshot(), Selection(), room.model)
        assert "bound" in seen(app) and "task.not_permitted" not in seen(app)
        pane.calm()
        await pilot.pause()
        assert seen(app).count("task.not_permitted awards draft") == 3


async def test_where_it_is_narrow_the_type_is_its_last_word() -> None:
    room = Errand()
    for width, shown in ((70, " award   "), (160, " task.award ")):
        pane = TimelinePane()
        app = OnePane(pane)
        async with app.run_test(size=(width, 24)) as pilot:
            await pilot.pause()
            await showing(pilot, pane, room.snapshot(), Selection(), room.model)
            (line,) = [line for line in screen(app) if "awards draft" in line]
            assert shown in line and " bound " in line
