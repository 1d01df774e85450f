"""The mesh as a drawing: signs, names, lines, what moves, and where one clicks."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from rich.cells import cell_len

from tui.glyphs import GLYPHS
from tui.labels import TEXT_STYLES
from tui.layout import Layout
from tui.picture import LINE_STYLES, MOST, PULSE_MS, Scene, animate, compose, shown
from tui.raster import Canvas, Runs
from tui.views import AgentRow, EdgeRow, PeerState, Pulse, Selection, Snapshot, StageRow, TaskRow

NOW = 1_700_000_000_000


class Drawing:
    """A snapshot drawn on a canvas, its layout at rest."""

    def __init__(
        self, snapshot: Snapshot, *, selected: str = "", size: tuple[int, int] = (70, 24), glyphs: str = "braille"
    ) -> None:
        self.layout = Layout()
        selection = Selection(agent=selected)
        self.layout.update(
            [row.did for row in shown(snapshot, selection)], [(edge.a, edge.b) for edge in snapshot.edges]
        )
        while self.layout.step():
            pass
        self.glyphs = GLYPHS[glyphs]
        self.canvas = Canvas(*size, self.glyphs.dots, LINE_STYLES, TEXT_STYLES)
        self.scene: Scene = compose(snapshot, self.layout, self.canvas, glyphs=self.glyphs, selection=selection)

    def at(self, now_ms: int) -> list[Runs]:
        animate(self.scene, self.canvas, now_ms)
        return self.canvas.rows()

    @property
    def text(self) -> str:
        return "\n".join("".join(text for text, _ in runs) for runs in self.canvas.rows())

    def styles(self, now_ms: int = NOW) -> set[str]:
        return {style for runs in self.at(now_ms) for _, style in runs}

    def style_of(self, text: str) -> str:
        return next(style for runs in self.canvas.rows() for run, style in runs if text in run)

    def beside(self, did: str) -> str:
        """The row of text at an agent."""
        return self.text.split("\n")[self.scene.places[did][1]]


def agent(name: str, state: PeerState = "live", **more: object) -> AgentRow:
    return msgspec.structs.replace(AgentRow(did=f"did:key:{name}", name=name, kind="ai", state=state), **more)


def did(name: str) -> str:
    return f"did:key:{name}"


def edge(a: str, b: str, *, mutual: bool = True) -> EdgeRow:
    return EdgeRow(a=did(min(a, b)), b=did(max(a, b)), rtt_ms=20, at_ms=NOW, mutual=mutual)


def room(*agents: AgentRow, **more: object) -> Snapshot:
    return msgspec.structs.replace(Snapshot(now_ms=NOW, agents=agents), **more)


def working(requester: str, executor: str, state: str = "working") -> TaskRow:
    stage = StageRow(id="answer", kind="chat", state=state, executor=did(executor), lease_until_ms=NOW)
    return TaskRow(
        id="task", title="", state=state, requester=did(requester), ours=False, privacy="public", stages=(stage,)
    )


TRIO = (agent("ada"), agent("bob"), agent("cyd"))


class TestNodes:
    def test_have_the_sign_of_their_kind_and_their_name(self) -> None:
        kinds = ("ai", "human", "hybrid", "system")
        drawing = Drawing(room(*(agent(f"an-{kind}", kind=kind) for kind in kinds), agent("myself", me=True)))
        for kind in kinds:
            assert drawing.glyphs.nodes[kind] in drawing.beside(did(f"an-{kind}"))
            assert f"an-{kind}" in drawing.text
        assert drawing.glyphs.nodes["me"] in drawing.beside(did("myself"))
        assert drawing.style_of("myself") == "me"

    @pytest.mark.parametrize("glyphs", GLYPHS)
    @pytest.mark.parametrize("state", ["expired", "left", "unbound", "unheard", "disputed", "revoked"])
    def test_that_are_not_live_say_why_and_fade(self, state: PeerState, glyphs: str) -> None:
        drawing = Drawing(room(agent("ada", state)), glyphs=glyphs)
        row = drawing.beside(did("ada"))
        assert f"ada {drawing.glyphs.peers[state]}" in row
        assert drawing.glyphs.faded["ai"] in row
        assert drawing.style_of("ada") == "faded"

    @pytest.mark.parametrize("mark", ["conflict", "equivocates"])
    def test_that_one_should_not_trust_are_marked(self, mark: str) -> None:
        drawing = Drawing(room(msgspec.structs.replace(agent("ada"), **{mark: True})))
        assert f"ada {drawing.glyphs.marks[mark]}" in drawing.text
        assert drawing.style_of(drawing.glyphs.marks[mark]) == "bad"

    def test_that_work_show_how_much(self) -> None:
        drawing = Drawing(
            room(agent("ada", running=1, slots=2), agent("bob", running=4, slots=4), agent("cyd", slots=4))
        )
        assert "ada ━━╌╌" in drawing.text or "━━╌╌ ada" in drawing.text
        assert "bob ━━━━" in drawing.text or "━━━━ bob" in drawing.text
        assert drawing.style_of("━━━━") == "load.high"
        assert drawing.text.count("━") == 6

    def test_that_are_pinned_are_marked(self) -> None:
        drawing = Drawing(room(*TRIO))
        drawing.layout.pin(did("bob"))
        compose(room(*TRIO), drawing.layout, drawing.canvas, glyphs=drawing.glyphs, selection=Selection())
        assert f"bob {drawing.glyphs.marks['pinned']}" in drawing.text

    def test_without_a_name_show_the_end_of_their_did(self) -> None:
        nameless = msgspec.structs.replace(agent("z6MkabcdefGH"), name="\u200b\u202e")
        assert "abcdefGH" in Drawing(room(nameless)).text

    @pytest.mark.parametrize(
        "name",
        ["\x1b[2J\x07evil", "a\u202eb", "宽" * 40, "\u0301" * 5000, "x" * 10_000_000, "a\nb\tc"],
        ids=["escape", "override", "wide", "combining", "huge", "lines"],
    )
    def test_never_let_a_name_disturb_the_screen(self, name: str) -> None:
        named = msgspec.structs.replace(agent("ada"), name=name)
        drawing = Drawing(room(named, agent("bob")), selected=did("ada"), size=(40, 10))
        rows = drawing.text.split("\n")
        assert [cell_len(row) for row in rows] == [40] * 10
        assert all(row.isprintable() for row in rows)

    def test_beyond_what_can_be_drawn_are_counted_and_the_selected_one_is_drawn(self) -> None:
        many = tuple(agent(f"n{index:04d}") for index in range(MOST + 7))
        last = many[-1].did
        drawing = Drawing(room(*many), selected=last)
        assert "+7 not drawn" in drawing.text
        assert len(drawing.scene.places) == MOST
        assert last in drawing.scene.places

    def test_are_missed_in_words_where_there_are_none(self) -> None:
        drawing = Drawing(room(), size=(40, 5))
        assert "Nobody has announced itself yet." in drawing.text
        assert drawing.scene.at(20, 2) == drawing.scene.towards("", 1, 0) == ""


class TestLabels:
    MANY = tuple(agent(f"agent-{index:03d}", running=1, slots=2) for index in range(150))

    def test_never_overlap_nor_hide_another_node(self) -> None:
        scene = Drawing(room(*self.MANY)).scene
        taken: dict[tuple[int, int], str] = {}
        for span in scene.spans:
            for column in range(span.start, span.end):
                assert taken.setdefault((column, span.row), span.did) == span.did

    def test_give_way_where_it_is_crowded(self) -> None:
        few, many = Drawing(room(*self.MANY[:10])), Drawing(room(*self.MANY))
        assert few.text.count("agent-") == 10
        assert few.text.count("━") == 10 * 2
        assert 10 < many.text.count("agent-") < 150
        assert sum(span.end - span.start == 1 for span in many.scene.spans) == 150

    @pytest.mark.parametrize("index", range(0, 150, 10))
    def test_of_the_selected_one_is_always_there(self, index: int) -> None:
        drawing = Drawing(room(*self.MANY), selected=self.MANY[index].did, size=(40, 12))
        assert self.MANY[index].name in drawing.text
        assert drawing.style_of(self.MANY[index].name) == "selected"

    def test_fit_into_the_smallest_pane(self) -> None:
        for size in ((30, 8), (5, 2), (1, 1), (2, 1)):
            drawing = Drawing(room(*self.MANY[:12]), selected=self.MANY[3].did, size=size)
            assert [cell_len(row) for row in drawing.text.split("\n")] == [size[0]] * size[1]
        assert Drawing(room(*self.MANY[:2]), size=(0, 0)).scene.places == {}


class TestEdges:
    def test_are_full_lines_if_both_know_each_other_and_sparse_ones_if_not(self) -> None:
        def dots(*, mutual: bool) -> int:
            text = Drawing(room(*TRIO, edges=(edge("ada", "bob", mutual=mutual),))).text
            return sum((ord(sign) - 0x2800).bit_count() for sign in text if 0x2800 < ord(sign) < 0x2900)

        assert dots(mutual=True) > 2 * dots(mutual=False) > 0

    def test_to_those_who_are_not_drawn_are_left_out(self) -> None:
        assert Drawing(room(agent("ada"), edges=(edge("ada", "bob"),))).styles() <= {"", "ai", "label"}

    def test_of_the_selected_one_stand_out_and_so_do_its_neighbours(self) -> None:
        drawing = Drawing(room(*TRIO, edges=(edge("ada", "bob"), edge("bob", "cyd"))), selected=did("ada"))
        assert {"edge.near", "edge.mutual"} <= drawing.styles()
        assert drawing.style_of("bob") == "label.near"
        assert drawing.style_of("cyd") == "label"

    @pytest.mark.parametrize("glyphs", GLYPHS)
    def test_get_sparser_where_they_would_fill_everything(self, glyphs: str) -> None:
        names = [f"n{index:02d}" for index in range(60)]
        edges = tuple(edge(a, b) for index, a in enumerate(names) for b in names[:index])
        drawing = Drawing(room(*map(agent, names), edges=edges), glyphs=glyphs, size=(60, 20))
        assert drawing.text.count("⣿") + drawing.text.count("█") < 400


@pytest.mark.parametrize("glyphs", GLYPHS)
class TestWhatMoves:
    def test_a_running_task_flows_from_its_requester_to_its_executor(self, glyphs: str) -> None:
        drawing = Drawing(room(*TRIO, tasks=(working("ada", "bob"),)), glyphs=glyphs)
        assert drawing.scene.moving(NOW)
        assert {"edge.active", "flow"} <= drawing.styles()
        frames = [drawing.at(NOW + passed) for passed in range(0, 1000, 250)]
        assert all(frame != other for frame, other in itertools.pairwise(frames))

    @pytest.mark.parametrize("state", ["completed", "failed", "canceled", "lapsed", "rejected", "submitted"])
    def test_a_task_that_does_not_run_does_not_flow(self, glyphs: str, state: str) -> None:
        drawing = Drawing(room(*TRIO, tasks=(working("ada", "bob", state),)), glyphs=glyphs)
        assert not drawing.scene.moving(NOW)
        assert drawing.at(NOW) == drawing.at(NOW + 333)

    @pytest.mark.parametrize(
        "kind, style",
        [("task.award", "pulse.award"), ("task.result", "pulse.result"), ("handshake.hello", "pulse")],
    )
    def test_a_message_runs_from_its_sender_and_is_gone(self, glyphs: str, kind: str, style: str) -> None:
        drawing = Drawing(room(*TRIO, pulses=(Pulse(did("ada"), did("bob"), kind, NOW),)), glyphs=glyphs)
        assert style in drawing.styles(NOW + PULSE_MS // 2)
        assert drawing.scene.moving(NOW + PULSE_MS - 1)
        assert not drawing.scene.moving(NOW + PULSE_MS)
        assert style not in drawing.styles(NOW + PULSE_MS)
        assert style not in drawing.styles(NOW - 1)

    def test_a_message_nears_whom_it_is_for(self, glyphs: str) -> None:
        drawing = Drawing(room(*TRIO, pulses=(Pulse(did("ada"), did("bob"), "task.award", NOW),)), glyphs=glyphs)

        def middle(now_ms: int) -> float:
            found = [
                (column + len(text) / 2, row)
                for row, runs in enumerate(drawing.at(now_ms))
                for column, (text, style) in zip(_columns(runs), runs, strict=True)
                if style == "pulse.award"
            ]
            x, y = drawing.scene.places[did("bob")]
            return min(abs(column - x) + abs(row - y) for column, row in found)

        ways = [middle(NOW + passed) for passed in (200, 500, 800, 1000)]
        assert ways == sorted(ways, reverse=True)
        assert ways[0] > ways[-1]

    def test_a_message_to_everybody_spreads_around_its_sender(self, glyphs: str) -> None:
        drawing = Drawing(room(*TRIO, pulses=(Pulse(did("ada"), "", "presence.announce", NOW),)), glyphs=glyphs)
        assert "ripple" in drawing.styles(NOW + 300)
        assert drawing.at(NOW + 300) != drawing.at(NOW + 900)

    def test_a_message_of_somebody_who_is_not_drawn_is_not_drawn(self, glyphs: str) -> None:
        still = Drawing(room(*TRIO), glyphs=glyphs)
        pulses = (Pulse(did("eve"), did("bob"), "task.award", NOW), Pulse(did("ada"), did("eve"), "task.award", NOW))
        assert Drawing(room(*TRIO, pulses=pulses), glyphs=glyphs).at(NOW + 300) == still.at(NOW + 300)


def _columns(runs: Runs) -> list[int]:
    columns, column = [], 0
    for text, _ in runs:
        columns.append(column)
        column += cell_len(text)
    return columns


class TestFinding:
    def test_a_click_on_a_sign_or_a_name_finds_its_agent(self) -> None:
        scene = Drawing(room(*TRIO)).scene
        for row in TRIO:
            x, y = scene.places[row.did]
            assert scene.at(x, y) == row.did
        for span in scene.spans:
            assert scene.at(span.start, span.row) == scene.at(span.end - 1, span.row) == span.did

    def test_a_click_far_from_everything_finds_nobody(self) -> None:
        scene = Drawing(room(agent("ada"))).scene
        x, y = scene.places[did("ada")]
        assert scene.at(x, y + 6) == ""
        assert scene.at(x - 12, y) == ""

    def test_a_key_goes_to_the_nearest_in_its_direction(self) -> None:
        places = {"mid": (20, 10), "up": (21, 5), "far": (20, 0), "down": (18, 14), "right": (40, 11), "left": (3, 10)}
        scene = Scene(places, (), (), ())
        assert scene.towards("mid", 0, -1) == "up"
        assert scene.towards("mid", 0, 1) == "down"
        assert scene.towards("mid", 1, 0) == "right"
        assert scene.towards("mid", -1, 0) == "left"
        assert scene.towards("left", -1, 0) == "left"
        assert scene.towards("nobody", 1, 0) == "far"

    def test_every_agent_can_be_reached_by_keys(self) -> None:
        scene = Drawing(room(*TestLabels.MANY[:40])).scene
        reached, ahead = {TestLabels.MANY[0].did}, [TestLabels.MANY[0].did]
        while ahead:
            here = ahead.pop()
            found = {scene.towards(here, dx, dy) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))} - reached
            reached |= found
            ahead += found
        assert reached == set(scene.places)
