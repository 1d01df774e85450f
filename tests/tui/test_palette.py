"""The palette finds by typing, and takes no name for markup."""

from __future__ import annotations

import time

import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Input

from tests.proto import samples
from tests.proto.authoring import Author
from tests.tui.arriving import said
from tests.tui.piloted import foot, running, settle, text_of, until
from tests.tui.still import StillFeed, StillSource
from tui.app import ClawTui
from tui.palette import found

ALICE, MALLORY = Author("alice"), Author("mallory")
MARKUP = ["[@click=app.quit]zz", "zz[/]", "[bold]zz[/bold]", "zz\\", "[link=x]zz", "zz[reverse", "$zz [not bold"]


def room(name: str) -> StillFeed:
    """Alice is here, and somebody who gave itself this name."""
    return StillFeed(
        StillSource([said(ALICE, samples.announce(ALICE)), said(MALLORY, samples.announce(MALLORY, name=name))])
    )


async def search(pilot: Pilot[None], words: str) -> CommandList:
    await pilot.press("ctrl+p")
    await pilot.pause()
    await pilot.press(*("space" if character == " " else character for character in words))
    await until(pilot, lambda: bool(options(pilot.app)))
    return pilot.app.screen.query_one(CommandList)


def options(app: object) -> list[str]:
    assert isinstance(app, ClawTui)
    palette = app.screen.query(CommandList)
    shown = palette.first() if palette else None
    return [str(shown.get_option_at_index(at).prompt) for at in range(shown.option_count)] if shown is not None else []


class TestNamesAreNoMarkup:
    @pytest.mark.parametrize("name", MARKUP)
    async def test_such_a_name_is_found_and_drawn_as_it_is(self, name: str) -> None:
        async with running(room(name)) as (app, pilot):
            await search(pilot, "zz")
            await until(pilot, lambda: len(options(app)) == 1)
            assert options(app)[0].startswith(f"agent {name}\n")
            assert name in text_of(app)

    @pytest.mark.parametrize("name", MARKUP)
    async def test_all_others_are_found_beside_it(self, name: str) -> None:
        async with running(room(name)) as (app, pilot):
            await search(pilot, "agent")
            await until(pilot, lambda: any(text.startswith("agent alice") for text in options(app)))
            assert any(text.startswith(f"agent {name}") for text in options(app))

    async def test_a_click_on_it_chooses_the_agent_and_nothing_else(self) -> None:
        async with running(room(MARKUP[0])) as (app, pilot):
            await search(pilot, "zz")
            await until(pilot, lambda: MARKUP[0] in text_of(app))
            y = next(y for y, text in enumerate(text_of(app).splitlines()) if f"agent {MARKUP[0]}" in text)
            x = text_of(app).splitlines()[y].index("zz") + 1
            await pilot.click(offset=(x, y))
            await until(pilot, lambda: len(app.screen_stack) == 1)
            await settle(app, pilot)
            assert app.is_running and not app._exit
            assert app.selection.agent == MALLORY.did

    async def test_before_anything_is_typed_they_stand_there_too(self) -> None:
        async with running(room(MARKUP[1])) as (app, pilot):
            await pilot.press("ctrl+p")
            await until(pilot, lambda: any(text.startswith(f"agent {MARKUP[1]}") for text in options(app)))


class TestChoosing:
    async def test_an_agent_that_is_gone_meanwhile_is_missed_with_a_sentence(self) -> None:
        async with running(room("zz")) as (app, pilot):
            await search(pilot, "alice")
            await until(pilot, lambda: len(options(app)) == 1)
            feed = room("zz")
            feed.model.mesh.peers.clear()
            app.feed = feed
            app.frame()
            assert app.picture.agent(ALICE.did) is None
            await pilot.press("enter")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            await until(pilot, lambda: "Nobody here" in foot(app))
            assert app.is_running

    async def test_a_command_that_takes_words_opens_the_prompt(self) -> None:
        async with running() as (app, pilot):
            await search(pilot, ":filter")
            await until(pilot, lambda: len(options(app)) == 1)
            await pilot.press("enter")
            await until(pilot, lambda: app.prompt.is_open)
            await settle(app, pilot)
            await pilot.press("x")
            await settle(app, pilot)
            assert app.focused is not None and app.focused.id == "words"
            assert app.prompt.query_one(Input).value == "filter x"


class TestFinding:
    @pytest.mark.parametrize(
        "query, text, places",
        [
            ("dora", "agent Dora", ["Dora"]),
            ("agent d", "agent dora", ["agent d"]),
            ("dora agent", "agent dora", ["dora", "agent"]),
            ("dora bob", "agent dora", []),
            ("[/]", "agent [/]", ["[/]"]),
            ("i", "İstanbul i", ["İ"]),
        ],
    )
    def test_every_word_must_occur(self, query: str, text: str, places: list[str]) -> None:
        assert [text[place] for place in found(query, text)] == places

    def test_no_name_makes_it_slow(self) -> None:
        name = "".join(letter * 8 for letter in "recording")
        before = time.thread_time()
        assert found("recording", name) == []
        assert time.thread_time() - before < 0.1
