"""The mesh pane in an app: it draws what it is shown, moves what moves, and rests when nothing does."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tui.glyphs import GLYPHS
from tui.views import AgentRow, EdgeRow, Pulse, Selection, Snapshot, StageRow, TaskRow
from tui.widgets.mesh import MeshPane

NOW = 1_700_000_000_000
NAMES = ("ada", "bob", "cyd", "dan")
AGENTS = tuple(AgentRow(did=f"did:key:{name}", name=name, kind="ai", state="live") for name in NAMES)
EDGES = tuple(EdgeRow(a=a.did, b=b.did, rtt_ms=9, at_ms=NOW, mutual=True) for a, b in itertools.pairwise(AGENTS))
CALM = Snapshot(now_ms=NOW, agents=AGENTS, edges=EDGES)
STAGE = StageRow(id="answer", kind="chat", state="working", executor=AGENTS[1].did, lease_until_ms=NOW)
BUSY = Snapshot(
    now_ms=NOW,
    agents=AGENTS,
    tasks=(
        TaskRow(
            id="t", title="", state="working", requester=AGENTS[0].did, ours=False, privacy="public", stages=(STAGE,)
        ),
    ),
)


class Watching(App[None]):
    CSS = "MeshPane, MeshPane.-ascii, MeshPane:focus { border: none; }"

    def __init__(self, glyphs: str) -> None:
        super().__init__()
        self.wanted = glyphs
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield MeshPane(glyphs=self.wanted)

    def on_mesh_pane_chosen(self, event: MeshPane.Chosen) -> None:
        self.chosen.append(event.did)


class Watch:
    def __init__(self, app: Watching, pilot: Pilot[None]) -> None:
        self.app, self.pilot, self.pane = app, pilot, app.query_one(MeshPane)

    def segments(self) -> list[Segment]:
        return [
            segment for strip in self.app.screen._compositor.render_strips() for segment in strip if not segment.control
        ]

    async def rows(self) -> list[str]:
        await self.pilot.pause()
        return [self.pane.render_line(y).text for y in range(self.pane.size.height)]

    async def place(self, name: str) -> tuple[int, int]:
        for y, row in enumerate(await self.rows()):
            if name in row:
                return cell_len(row[: row.index(name)]), y
        raise AssertionError(f"{name} is not drawn")


@asynccontextmanager
async def watching(*, size: tuple[int, int] = (70, 24), glyphs: str = "braille") -> AsyncIterator[Watch]:
    app = Watching(glyphs)
    async with app.run_test(size=size) as pilot:
        yield Watch(app, pilot)


@pytest.mark.parametrize("glyphs", GLYPHS)
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (30, 8)])
async def test_everybody_is_drawn_in_every_size_and_with_every_set_of_signs(glyphs: str, size: tuple[int, int]) -> None:
    async with watching(size=size, glyphs=glyphs) as watch:
        watch.pane.show(CALM, Selection())
        rows = await watch.rows()
        assert all(any(name in row for row in rows) for name in NAMES)
        assert [cell_len(row) for row in rows] == [size[0]] * size[1]
        assert sum(row.count(GLYPHS[glyphs].nodes["ai"]) for row in rows) == 4


async def test_what_is_shown_is_drawn_without_a_tick_too() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        x, y = await watch.place("cyd")
        before = watch.pane.render_line(y)
        watch.pane.show(CALM, Selection(agent=AGENTS[2].did))
        await watch.pilot.pause()
        assert watch.pane.render_line(y).crop(x, x + 3) != before.crop(x, x + 3)


async def test_without_changes_nothing_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        for tick in range(200):
            watch.pane.tick(NOW + tick)
        before = await watch.rows()
        drawn: list[object] = []
        monkeypatch.setattr(watch.pane, "refresh", lambda *regions, **_: drawn.extend(regions or ["everything"]))
        for tick in range(200, 300):
            watch.pane.tick(NOW + tick)
        watch.pane.show(CALM, Selection())
        assert drawn == []
        assert await watch.rows() == before


async def test_only_rows_that_changed_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching() as watch:
        pulse = Pulse(AGENTS[0].did, AGENTS[1].did, "task.award", NOW + 1000)
        watch.pane.show(Snapshot(now_ms=NOW, agents=AGENTS, pulses=(pulse,)), Selection())
        for _ in range(200):
            watch.pane.tick(NOW)
        await watch.rows()
        drawn: list[object] = []
        monkeypatch.setattr(watch.pane, "refresh", lambda *regions, **_: drawn.extend(regions or ["everything"]))
        watch.pane.tick(NOW + 1100)
        assert 0 < len(drawn) < 24
        assert "everything" not in drawn
        watch.pane.tick(NOW + 1600)
        watch.pane.tick(NOW + 3000)
        drawn.clear()
        watch.pane.tick(NOW + 3066)
        assert drawn == []


async def test_what_runs_moves_from_tick_to_tick() -> None:
    async with watching() as watch:
        watch.pane.show(BUSY, Selection())
        for _ in range(200):
            watch.pane.tick(NOW)
        before = await watch.rows()
        watch.pane.tick(NOW + 250)
        assert await watch.rows() != before


async def test_a_click_on_a_name_chooses_its_agent_and_one_beside_everything_nobody() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        for _ in range(200):
            watch.pane.tick(NOW)
        await watch.pilot.click(MeshPane, offset=await watch.place("cyd"))
        assert watch.app.chosen == [AGENTS[2].did]
        taken = [await watch.place(name) for name in NAMES]
        empty = next((x, y) for y in range(24) for x in range(70) if all(abs(y - other) > 2 for _, other in taken))
        await watch.pilot.click(MeshPane, offset=empty)
        assert watch.app.chosen == [AGENTS[2].did]


async def test_keys_go_from_agent_to_agent_and_enter_chooses_again() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        await watch.rows()
        watch.pane.focus()
        for key in ("right", "l", "down", "j", "left", "h", "up", "k"):
            await watch.pilot.press(key)
            if watch.app.chosen:
                watch.pane.show(CALM, Selection(agent=watch.app.chosen[-1]))
        assert len(set(watch.app.chosen)) > 2
        last = watch.app.chosen[-1]
        await watch.pilot.press("enter")
        assert watch.app.chosen[-2:] == [last, last]


async def test_with_nobody_there_keys_choose_nobody() -> None:
    async with watching() as watch:
        watch.pane.show(Snapshot(now_ms=NOW), Selection())
        assert any("Nobody has announced itself yet." in row for row in await watch.rows())
        watch.pane.focus()
        await watch.pilot.press("right", "enter")
        assert watch.app.chosen == []


async def test_a_pinned_agent_is_marked_and_held() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        assert watch.pane.pin(AGENTS[1].did)
        assert any(f"bob {GLYPHS['braille'].marks['pinned']}" in row for row in await watch.rows())
        assert not watch.pane.pin(AGENTS[1].did)
        assert not any(GLYPHS["braille"].marks["pinned"] in row for row in await watch.rows())


async def test_the_signs_can_be_changed_while_it_runs() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        assert not "".join(await watch.rows()).isascii()
        watch.pane.glyphs = "ascii"
        assert watch.pane.glyphs == "ascii"
        assert "".join(await watch.rows()).isascii()


async def test_its_border_explains_the_signs_that_are_there() -> None:
    async with watching() as watch:
        person = AgentRow(did="did:key:eve", name="eve", kind="human", state="left")
        watch.pane.show(Snapshot(now_ms=NOW, agents=(*AGENTS, person)), Selection())
        await watch.rows()
        assert watch.pane.border_title == "mesh"
        assert watch.pane.border_subtitle == "● ai  ◆ human"
        watch.pane.glyphs = "ascii"
        await watch.rows()
        assert watch.pane.border_subtitle == "O ai  H human"


async def test_it_follows_the_size_of_the_terminal() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection())
        await watch.rows()
        await watch.pilot.resize_terminal(40, 12)
        rows = await watch.rows()
        assert [cell_len(row) for row in rows] == [40] * 12
        assert all(any(name in row for row in rows) for name in NAMES)


async def test_a_theme_changes_its_colours() -> None:
    async with watching() as watch:
        watch.pane.show(CALM, Selection(agent=AGENTS[0].did))
        await watch.rows()
        dark = {str(segment.style) for segment in watch.segments()}
        watch.app.theme = "textual-light"
        await watch.pilot.pause()
        await watch.rows()
        assert not dark & {str(segment.style) for segment in watch.segments()}


async def test_without_colours_every_cell_has_a_style_and_the_selected_one_stands_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with watching() as watch:
        watch.pane.show(BUSY, Selection(agent=AGENTS[0].did))
        await watch.rows()
        found = watch.segments()
        assert all(segment.style is not None for segment in found)
        chosen = [segment for segment in found if "ada" in segment.text]
        others = [segment for segment in found if "dan" in segment.text]
        assert all(segment.style and segment.style.reverse for segment in chosen)
        assert not any(segment.style and segment.style.reverse for segment in others)
        colours = {segment.style.color for segment in found if segment.style is not None}
        assert all(len(set(colour.get_truecolor())) == 1 for colour in colours if colour is not None)
