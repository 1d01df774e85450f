"""Keys that come in one write: each is obeyed before the next is looked at."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from tests.tui.piloted import me, running, settle
from tests.tui.still import lively_feed
from tui.app import ClawTui
from tui.keys import KEYS
from tui.screens.help import HelpScreen

_NAMES = {"/": "slash", ":": "colon", "?": "question_mark", " ": "space"}


def post(app: ClawTui, keys: str) -> None:
    """All of them at once, as a slow line or a terminal multiplexer hands them over."""
    for character in keys:
        app.post_message(events.Key(_NAMES.get(character, character), character))


def typed(app: ClawTui) -> str:
    return app.prompt.query_one(Input).value


class TestInOneWrite:
    async def test_a_filter(self) -> None:
        async with running() as (app, pilot):
            post(app, "/qztask 12 :?")
            await settle(app, pilot)
            assert typed(app) == "qztask 12 :?"
            assert app.is_running and not app.zoomed and len(app.screen_stack) == 1

    async def test_a_command(self) -> None:
        async with running() as (app, pilot):
            post(app, ":freeze")
            await settle(app, pilot)
            assert typed(app) == "freeze" and app.frozen is None

    async def test_a_question(self) -> None:
        async with running(lively_feed(key=me())) as (app, pilot):
            post(app, "aquiz")
            await settle(app, pilot)
            assert typed(app) == "quiz"

    async def test_an_export(self) -> None:
        async with running() as (app, pilot):
            post(app, "eq")
            await settle(app, pilot)
            assert typed(app) == "export svg q"

    async def test_what_comes_before_is_obeyed_before(self) -> None:
        async with running() as (app, pilot):
            post(app, "4kz/dora")
            await settle(app, pilot)
            assert app.zoomed == "timeline" and app.selection.about == "entry"
            assert typed(app) == "dora" and app.focused is app.prompt.query_one(Input)

    async def test_pane_after_pane(self) -> None:
        async with running() as (app, pilot):
            post(app, "2jz")
            await settle(app, pilot)
            assert app.zoomed == "agents" and app.selection.about == "agent"

    async def test_a_screen_above_takes_what_follows(self) -> None:
        async with running() as (app, pilot):
            post(app, "?z")
            await settle(app, pilot)
            assert isinstance(app.screen, HelpScreen) and not app.zoomed


def test_no_action_has_two_names() -> None:
    assert len({key.id for key in KEYS}) == len(KEYS)
