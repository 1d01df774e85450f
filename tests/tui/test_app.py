"""Every key does what the help says it does."""

from __future__ import annotations

import msgspec
import pytest
from textual.command import CommandList
from textual.widget import Widget

from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import said, tampered
from tests.tui.piloted import NARROW, WIDE, foot, press, running, settle, text_of, until
from tests.tui.still import StillFeed, StillSource, lively_feed
from tui.keys import KEYS
from tui.prompt import Prompt
from tui.screens.help import HelpScreen
from tui.sources import Link, SourceError
from tui.sources.synthetic import ROOM
from tui.widgets.agents import AgentsPane
from tui.widgets.foot import Foot
from tui.widgets.inspector import InspectorPane
from tui.widgets.mesh import MeshPane
from tui.widgets.tasks import TasksPane
from tui.widgets.timeline import TimelinePane


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
