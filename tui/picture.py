"""The mesh as a drawing: who is there, who knows whom, what runs, what goes by.

``compose`` draws what stands still and says where everything is; ``animate`` puts over it what moves with time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import cos, pi, sin

import msgspec

from tui.flows import flows
from tui.glyphs import Dots, Glyphs
from tui.labels import Cell, Span, write_nodes
from tui.layout import Layout
from tui.raster import Canvas, path
from tui.text import cell
from tui.views import AgentRow, Pulse, Selection, Snapshot

LINE_STYLES = (
    "edge",
    "edge.mutual",
    "edge.active",
    "edge.near",
    "ripple",
    "pulse",
    "flow",
    "pulse.award",
    "pulse.result",
)
"""Names of styles, the least important first."""

PULSE_MS = 1200
MOST = 400  # nodes drawn
MOST_PULSES = 40  # drawn at once, the newest

# The part of all dots that lines may fill before they get sparser.
_CROWD: Mapping[Dots, float] = {"braille": 0.2, "block": 0.3, "ascii": 0.7}
_SPACING, _SPEED, _DROP = 7, 8, 2  # of a flow: cells from drop to drop, cells a second, cells of a drop
_TAIL = 0.3  # of a comet, in parts of its way
_CIRCLE = tuple((cos(step * pi / 24), sin(step * pi / 24)) for step in range(48))
_RADIUS = 8  # how far a ripple goes, in dots of braille
_NEARBY = tuple((dx, dy) for dy in (0, -1, 1, -2, 2) for dx in (0, 2, -2, 4, -4, 1, -1, 3, -3))
_PULSES: Mapping[str, str] = {"task.award": "pulse.award", "task.result": "pulse.result"}


class Scene(msgspec.Struct, frozen=True):
    """What is where, in cells from the top left, and what moves."""

    places: dict[str, Cell]
    spans: tuple[Span, ...]  # text, and whose it is
    flows: tuple[tuple[str, str], ...]  # requester and executor of what runs
    pulses: tuple[Pulse, ...]

    def at(self, x: int, y: int) -> str:
        """The did of the agent whose sign or name is at a cell or right beside it, "" if there is none."""
        near = [(max(span.start - x, x + 1 - span.end, 0) + 2 * abs(span.row - y), span.did) for span in self.spans]
        distance, did = min(near, default=(9, ""))
        return did if distance <= 2 else ""

    def towards(self, did: str, dx: int, dy: int) -> str:
        """The did of the nearest agent in a direction; the same one if there is none."""
        if did not in self.places:
            return min(self.places, key=lambda other: (self.places[other][1], self.places[other][0]), default="")
        x, y = self.places[did]
        best, least = did, float("inf")
        for other, (column, row) in self.places.items():
            right, down = column - x, 2 * (row - y)  # a cell is twice as high as wide
            ahead = right * dx + down * dy
            aside = abs(right * dy) + abs(down * dx)
            if ahead > 0 and aside <= 2 * ahead and ahead + 2 * aside < least:
                best, least = other, ahead + 2 * aside
        return best

    def moving(self, now_ms: int) -> bool:
        """Something in it changes with time alone."""
        return bool(self.flows) or any(0 <= now_ms - pulse.at_ms < PULSE_MS for pulse in self.pulses)


NOTHING = Scene({}, (), (), ())


def shown(snapshot: Snapshot, selection: Selection) -> tuple[AgentRow, ...]:
    """The agents that are drawn: all, or of very many the most interesting."""
    if len(snapshot.agents) <= MOST:
        return snapshot.agents

    def interest(row: AgentRow) -> tuple[bool, bool, bool, str]:
        return row.did != selection.agent, not row.me, row.state != "live", row.did

    return tuple(sorted(snapshot.agents, key=interest)[:MOST])


def compose(snapshot: Snapshot, layout: Layout, canvas: Canvas, *, glyphs: Glyphs, selection: Selection) -> Scene:
    """Draw what stands still. ``layout`` knows the agents that ``shown`` gives."""
    canvas.clear()
    agents = shown(snapshot, selection)
    if not canvas.width or not canvas.height:
        return NOTHING
    if not agents:
        note = cell("Nobody has announced itself yet.", canvas.width, pad=False)
        canvas.text((canvas.width - len(note)) // 2, canvas.height // 2, note, "rest")
        return NOTHING
    places = _spread(agents, layout, canvas)
    work = tuple(sorted(set(_between(snapshot, places))))
    near = _draw_edges(snapshot, canvas, places, work, selection.agent)
    canvas.keep()
    active = {did for pair in work for did in pair}
    order = sorted(
        agents, key=lambda row: (not row.me, row.did not in near, row.did not in active, row.state != "live", row.did)
    )
    spans = write_nodes(order, canvas, places, glyphs, selected=selection.agent, near=near, pinned=layout.pinned)
    hidden = len(snapshot.agents) - len(agents)
    if hidden:
        canvas.text(0, canvas.height - 1, f"+{hidden} not drawn", "rest")
    return Scene(places, tuple(spans), work, snapshot.pulses[-MOST_PULSES:])


def animate(scene: Scene, canvas: Canvas, now_ms: int) -> None:
    """Draw what moves as it is at that time, over what ``compose`` drew."""
    canvas.restore()
    for requester, executor in scene.flows:
        _draw_flow(canvas, _path(canvas, scene.places[requester], scene.places[executor]), now_ms)
    for pulse in scene.pulses:
        age = (now_ms - pulse.at_ms) / PULSE_MS
        if 0 <= age < 1 and pulse.sender in scene.places:
            if pulse.to in scene.places:
                way = _path(canvas, scene.places[pulse.sender], scene.places[pulse.to])
                _draw_comet(canvas, way, age, _PULSES.get(pulse.type, "pulse"))
            elif not pulse.to:
                _draw_ripple(canvas, scene.places[pulse.sender], age)


def _between(snapshot: Snapshot, places: Mapping[str, Cell]) -> Iterator[tuple[str, str]]:
    """Requester and executor of what flows from one node to another."""
    for flow in flows(snapshot):
        if flow.requester != flow.executor and {flow.requester, flow.executor} <= places.keys():
            yield flow.requester, flow.executor


def _spread(agents: Iterable[AgentRow], layout: Layout, canvas: Canvas) -> dict[str, Cell]:
    """A cell for each agent, its own wherever there is a free one near by."""
    right, bottom = canvas.width - 1, canvas.height - 1
    places: dict[str, Cell] = {}
    taken: set[Cell] = set()
    for agent in agents:
        x, y = layout.place(agent.did)
        column, row = round(x * right), round(y * bottom)
        for dx, dy in _NEARBY:
            spot = (column + dx, row + dy)
            if spot not in taken and 0 <= spot[0] <= right and 0 <= spot[1] <= bottom:
                break
        else:
            spot = (column, row)
        taken.add(spot)
        places[agent.did] = spot
    return places


def _dot(canvas: Canvas, spot: Cell) -> tuple[int, int]:
    grain = canvas.grain
    return spot[0] * grain.wide + grain.wide // 2, spot[1] * grain.high + grain.high // 2


def _path(canvas: Canvas, start: Cell, end: Cell) -> list[tuple[int, int]]:
    return path((*_dot(canvas, start), *_dot(canvas, end)))


def _draw_edges(
    snapshot: Snapshot, canvas: Canvas, places: Mapping[str, Cell], work: Iterable[tuple[str, str]], selected: str
) -> set[str]:
    """Lines between those who know each other. Gives the neighbours of the selected one."""
    near = set()
    edges = [edge for edge in snapshot.edges if edge.a in places and edge.b in places]
    mutual, single = _sparse(canvas, [(places[edge.a], places[edge.b]) for edge in edges])
    for edge in edges:
        style, every = ("edge.mutual", mutual) if edge.mutual else ("edge", single)
        if selected in (edge.a, edge.b):
            style, every = "edge.near", 1 if edge.mutual else 3
            near |= {edge.a, edge.b}
        canvas.line(*_dot(canvas, places[edge.a]), *_dot(canvas, places[edge.b]), style, every)
    for requester, executor in work:
        canvas.line(*_dot(canvas, places[requester]), *_dot(canvas, places[executor]), "edge.active", single)
        if selected in (requester, executor):
            near |= {requester, executor}
    return near


def _sparse(canvas: Canvas, lines: list[tuple[Cell, Cell]]) -> tuple[int, int]:
    """Every so manieth dot is drawn, of edges both announce and of others: the fewer the fuller it gets."""
    wide, high = canvas.grain.wide, canvas.grain.high
    dots = sum(max(abs(a[0] - b[0]) * wide, abs(a[1] - b[1]) * high) for a, b in lines)
    crowd = max(1, round(dots / (canvas.width * canvas.height * wide * high * _CROWD[canvas.dots])))
    return crowd + (canvas.dots == "block"), 3 * crowd


def _draw_flow(canvas: Canvas, way: list[tuple[int, int]], now_ms: int) -> None:
    """Drops that go on by the width of a cell: work flows for minutes, and every step of it has to be drawn."""
    wide = canvas.grain.wide
    for head in range(now_ms * _SPEED // 1000 % _SPACING * wide, len(way), _SPACING * wide):
        for x, y in way[max(0, head - _DROP * wide) : head]:
            canvas.dot(x, y, "flow")


def _draw_comet(canvas: Canvas, way: list[tuple[int, int]], age: float, style: str) -> None:
    """From the first dot at age 0 to the last at 1, slow at both ends."""
    eased = age * age * (3 - 2 * age) * (1 + _TAIL)
    head, tail = round(eased * len(way)), round((eased - _TAIL) * len(way))
    lead = head - max(1, (head - tail) // 3)
    for index in range(max(0, tail), min(head, len(way))):
        x, y = way[index]
        if index >= lead:
            _thick(canvas, x, y, style)
        else:
            canvas.dot(x, y, style, "o")


def _thick(canvas: Canvas, x: int, y: int, style: str) -> None:
    canvas.dot(x, y, style)
    if canvas.grain.wide > 1:
        canvas.dot(x + 1, y, style)
        canvas.dot(x, y + 1, style)
        canvas.dot(x + 1, y + 1, style)


def _draw_ripple(canvas: Canvas, spot: Cell, age: float) -> None:
    x, y = _dot(canvas, spot)
    radius = 2 + age * _RADIUS
    across, down = canvas.grain.wide / 2, canvas.grain.high / 4
    for right, below in _CIRCLE[:: 1 + round(2 * age)]:
        canvas.dot(x + round(right * radius * across), y + round(below * radius * down), "ripple", ".")
