"""Every key does what the help says it does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widget import Widget

from clawnet_proto.transcript import Entry, read
from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import said, tampered
from tests.tui.still import NOW_MS, StillFeed, StillSource, lively_feed
from tui.app import ClawTui
from tui.keys import KEYS
from tui.prompt import Prompt
from tui.screens.confirm import ConfirmScreen
from tui.screens.help import HelpScreen
from tui.sources import Key, Link, SourceError
from tui.sources.synthetic import ROOM, Synthetic
from tui.views import Selection
from tui.widgets.agents import AgentsPane
from tui.widgets.foot import Foot
from tui.widgets.inspector import InspectorPane
from tui.widgets.mesh import MeshPane
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane

WIDE, NARROW = (120, 40), (80, 24)


@asynccontextmanager
async def running(
    feed: StillFeed | None = None, size: tuple[int, int] = WIDE, **options: object
) -> AsyncIterator[tuple[ClawTui, Pilot[None]]]:
    """The app with a picture in it."""
    app = ClawTui(feed or lively_feed(), **options)  # type: ignore[arg-type]
    async with app.run_test(size=size) as pilot:
        await settle(app, pilot)
        yield app, pilot


async def settle(app: ClawTui, pilot: Pilot[None]) -> None:
    """Let messages run out and show what came of them, without waiting for the clock."""
    for _ in range(2):
        await pilot.pause()
        if len(app.screen_stack) == 1:
            app.frame()
    await pilot.pause()


async def press(app: ClawTui, pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(app, pilot)


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Let the app go on until something has come about; the test's time limit ends what never does."""
    while not true():
        await pilot.pause()


def text_of(app: ClawTui) -> str:
    """What stands on the screen."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


def foot(app: ClawTui) -> str:
    return text_of(app).splitlines()[-1]


def me() -> Key:
    key = Synthetic(agents=12, seed=1, clock=lambda: NOW_MS).key
    assert key is not None
    return key


class TestPanes:
    @pytest.mark.parametrize(
        "key, pane",
        [("1", MeshPane), ("2", AgentsPane), ("3", TasksPane), ("4", TimelinePane), ("5", InspectorPane)],
    )
    async def test_a_number_goes_to_its_pane(self, key: str, pane: type[Widget]) -> None:
        for size in (WIDE, NARROW):
            async with running(size=size) as (app, pilot):
                await press(app, pilot, key)
                assert isinstance(app.focused, pane)
                assert app.query_one(pane).region.height > 3

    async def test_tab_goes_round_and_back(self) -> None:
        async with running() as (app, pilot):
            seen = []
            for _ in range(5):
                await press(app, pilot, "tab")
                seen.append(type(app.focused).__name__)
            assert seen == ["AgentsPane", "TasksPane", "TimelinePane", "InspectorPane", "MeshPane"]
            await press(app, pilot, "shift+tab")
            assert isinstance(app.focused, InspectorPane)

    async def test_zoom_gives_one_pane_all_the_room(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "4", "z")
            assert app.query_one(TimelinePane).region.size == (120, 38)
            assert not app.query_one(MeshPane).display
            await press(app, pilot, "2")
            assert app.query_one(AgentsPane).region.height == 38
            await press(app, pilot, "z")
            assert app.query_one(MeshPane).display and app.query_one(TimelinePane).display

    async def test_wide_shows_all_and_narrow_two(self) -> None:
        async with running() as (app, pilot):
            panes = (MeshPane, AgentsPane, TasksPane, TimelinePane, InspectorPane)
            assert all(app.query_one(pane).region.area > 200 for pane in panes)
            await pilot.resize_terminal(*NARROW)
            await settle(app, pilot)
            assert [pane for pane in panes if app.query_one(pane).display] == [MeshPane, TimelinePane]
            await press(app, pilot, "3")
            assert app.query_one(TasksPane).region.y < app.query_one(TimelinePane).region.y
            await pilot.resize_terminal(*WIDE)
            await settle(app, pilot)
            assert all(app.query_one(pane).display for pane in panes)

    async def test_too_small_says_what_it_needs(self) -> None:
        async with running(size=(50, 12)) as (app, pilot):
            assert "60x16" in text_of(app) and "50x12" in text_of(app)
            await pilot.resize_terminal(60, 16)
            await settle(app, pilot)
            assert "60x16" not in text_of(app)


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


class TestTime:
    async def test_freeze_holds_the_picture_and_counts(self) -> None:
        feed = lively_feed()
        async with running(feed) as (app, pilot):
            await press(app, pilot, "space")
            author = Author("newcomer")
            for revision in (1, 2, 3):
                feed.add(said(author, samples.announce(author, revision), at_ms=feed.at_ms + 1, room=ROOM))
            await settle(app, pilot)
            assert "+3" in text_of(app).splitlines()[0]
            assert len(app.picture.agents) == 12
            await press(app, pilot, "space")
            assert len(app.picture.agents) == 13
            assert "+3" not in text_of(app).splitlines()[0]

    @pytest.mark.parametrize(
        "key", ["p", "full_stop", "comma", "greater_than_sign", "less_than_sign", "left_square_bracket"]
    )
    async def test_a_live_room_cannot_be_played(self, key: str) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, key)
            assert "live" in foot(app) and "--replay" in foot(app)


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


class TestExport:
    @pytest.mark.parametrize("form", ["svg", "dot", "json", "screen", "recording"])
    async def test_every_form_is_written_once(self, form: str, tmp_path: Path) -> None:
        path = tmp_path / "out"
        async with running() as (app, pilot):
            await press(app, pilot, "colon")
            app.query_one(Prompt).query_one("Input").value = f"export {form} {path}"  # type: ignore[attr-defined]
            await press(app, pilot, "enter")
            assert "Written" in foot(app)
            data = path.read_bytes()
            assert path.stat().st_mode & 0o777 == 0o600
            await press(app, pilot, "colon")
            app.query_one(Prompt).query_one("Input").value = f"export {form} {path}"  # type: ignore[attr-defined]
            await press(app, pilot, "enter")
            assert "exists already" in foot(app)
        assert path.read_bytes() == data
        if form in ("svg", "screen"):
            assert ElementTree.fromstring(data) is not None
            assert b"url(http" not in data and b"@font-face" not in data and b"googleapis" not in data
        if form == "json":
            assert len(json.loads(data)["agents"]) == 12
        if form == "recording":
            lines = [record for _, record in read(data.splitlines(keepends=True))]
            assert sum(isinstance(record, Entry) for record in lines) == len(lines) - 1 > 100

    async def test_the_key_begins_the_command(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "e")
            assert app.query_one(Prompt).query_one("Input").value.startswith("export ")  # type: ignore[attr-defined]

    async def test_where_it_cannot_be_written_it_says_so(self, tmp_path: Path) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "colon")
            words = f"export svg {tmp_path / 'no' / 'where'}"
            app.query_one(Prompt).query_one("Input").value = words  # type: ignore[attr-defined]
            await press(app, pilot, "enter")
            assert "cannot be written" in foot(app)


class TestEverythingElse:
    async def test_help_has_every_key(self) -> None:
        async with running(size=(120, 100)) as (app, pilot):
            await press(app, pilot, "question_mark")
            assert isinstance(app.screen, HelpScreen)
            help_text = text_of(app)
            assert all(key.text in help_text for key in KEYS)
            await press(app, pilot, "escape")
            assert len(app.screen_stack) == 1

    async def test_themes_change(self) -> None:
        async with running() as (app, pilot):
            before = app.theme
            await press(app, pilot, "t")
            assert app.theme != before

    @pytest.mark.parametrize(
        "typed, told",
        [
            ("nonsense", "no command"), ("pane nonsense", "no pane"), ("seek x", "only a recording"),
            ("speed x", "Say how fast"), ("theme nonsense", "no theme"), ("glyphs nonsense", "no glyphs"),
            ("follow nobody-of-that-name", "Nobody here"), ("export nonsense", "Say which"),
        ],
    )  # fmt: skip
    async def test_a_command_that_makes_no_sense_says_what_would(self, typed: str, told: str) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "colon", *("space" if c == " " else c for c in typed), "enter")
            assert told in foot(app)

    async def test_commands_do_what_their_keys_do(self) -> None:
        async with running() as (app, pilot):
            for typed in ("follow bert", "freeze", "zoom", "glyphs ascii", "theme nord", "pane tasks"):
                await press(app, pilot, "colon", *("space" if c == " " else c for c in typed), "enter")
            row = app.picture.agent(app.followed)
            assert row is not None and row.name == "bert"
            assert app.frozen is not None and app.zoomed and app.theme == "nord"
            assert app.query_one(MeshPane).glyphs == "ascii"
            await press(app, pilot, "colon", *"help", "enter")
            assert isinstance(app.screen, HelpScreen)

    async def test_the_palette_finds_an_agent(self) -> None:
        async with running() as (app, pilot):
            await pilot.press("ctrl+p")
            await pilot.pause()
            await pilot.press(*"agent", "space", *"dora")
            await until(pilot, lambda: app.screen.query_one(CommandList).option_count > 0)
            await pilot.press("enter")
            await settle(app, pilot)
            await settle(app, pilot)
            row = app.picture.agent(app.selection.agent)
            assert row is not None and row.name == "dora"

    async def test_quit(self) -> None:
        async with running() as (app, pilot):
            await pilot.press("q")
            await pilot.pause()
            assert not app.is_running or app._exit

    async def test_letters_typed_into_the_prompt_are_letters(self) -> None:
        async with running() as (app, pilot):
            await press(app, pilot, "slash", *"q1z?")
            assert app.is_running and not app.zoomed
            assert app.query_one(Prompt).query_one("Input").value == "q1z?"  # type: ignore[attr-defined]

    async def test_a_keymap_gives_other_keys(self) -> None:
        async with running(keymap={"freeze": "F", "quit": "ctrl+q"}) as (app, pilot):
            await press(app, pilot, "q", "space")
            assert app.is_running and app.frozen is None
            await press(app, pilot, "F")
            assert app.frozen is not None


class TestLink:
    async def test_a_server_that_is_gone_leaves_the_last_picture(self) -> None:
        feed = lively_feed()
        async with running(feed) as (app, pilot):
            feed._told(Link("stale", "The homeserver does not answer."))
            await settle(app, pilot)
            assert "stale" in text_of(app).splitlines()[0]
            assert len(app.picture.agents) == 12

    async def test_a_source_that_cannot_go_on_says_why(self) -> None:
        class Broken(StillSource):
            async def run(self, *_: object) -> None:
                raise SourceError("room.none", "There is no such room.", "Check --room.")

        feed = StillFeed(Broken([]))
        async with running(feed) as (app, pilot):
            await settle(app, pilot)
            assert "There is no such room. Check --room." in foot(app)

    async def test_while_signatures_are_checked_it_says_so(self) -> None:
        feed = lively_feed()
        author = Author("late")
        async with running(feed) as (app, pilot):
            feed.model.expect([said(author, samples.announce(author))])
            await settle(app, pilot)
            assert "verifying 1" in text_of(app).splitlines()[0]
            assert "pending" in text_of(app)


_HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202eevil\u200b\u0301\u0301\u0301\r\n[bold]x[/bold][@click=app.quit]\U000e0041"


class TestHostile:
    @pytest.mark.parametrize("size", [WIDE, NARROW])
    async def test_nothing_a_stranger_writes_disturbs_the_screen(self, size: tuple[int, int]) -> None:
        author = Author("mallory")
        announce = samples.announce(author, name=_HOSTILE[:60], description=_HOSTILE, offers=("x",))
        request = samples.request(title=_HOSTILE, inputs=(samples.text_input(text=_HOSTILE * 100),))
        forged = tampered(said(author, samples.announce(author, 2), room=ROOM))
        odd = msgspec.structs.replace(forged, sender=_HOSTILE, event_id=_HOSTILE)
        feed = lively_feed()
        feed.add(said(author, announce, room=ROOM), said(author, request, room=ROOM), odd)
        async with running(feed, size=size) as (app, pilot):
            app.choose_agent(author.did)
            for key in ("2", "5", "z", "y", "y", "z", "3", "4", "end", "up", "d", "y"):
                await press(app, pilot, key)
                shown = text_of(app)
                assert all(character.isprintable() or character == "\n" for character in shown)
                assert "\u202e" not in shown and "\u200b" not in shown
                assert {len(line) for line in shown.splitlines()} == {size[0]}
            await pilot.press("ctrl+p")
            await pilot.press(*"agent")
            await until(pilot, lambda: app.screen.query_one(CommandList).option_count > 0)
            assert app.is_running


class TestPlain:
    @pytest.mark.parametrize("size", [WIDE, NARROW])
    async def test_no_color_and_ascii_lose_nothing(
        self, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        async with running(size=size, glyphs="ascii") as (app, pilot):
            for key in ("2", "down", "3", "down", "4", "up", "5", "1"):
                await press(app, pilot, key)
                shown = text_of(app)
                assert shown.isascii(), sorted({c for c in shown if not c.isascii()})
            assert "bound" in shown and "live" in shown


class TestFootLine:
    async def test_it_shows_the_keys_that_matter(self) -> None:
        async with running() as (app, _):
            assert "filter" in foot(app) and "help" in foot(app)
            assert app.query_one(Foot).region.height == 1
