"""What is written beside the nodes of the mesh: names, marks and loads, as much as there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from tui.glyphs import Glyphs
from tui.raster import Canvas
from tui.text import cell, name_or_did, width_of
from tui.views import AgentRow

TEXT_STYLES = (
    "rest",
    "faded",
    "label",
    "label.near",
    "system",
    "hybrid",
    "human",
    "ai",
    "me",
    "load",
    "load.high",
    "bad",
    "selected",
)
"""Names of styles, the least important first."""

_BAR = 4  # cells of a load bar
_HIGH = 0.75  # a load that is drawn as high
_NAMES = (20, 8)  # cells of a name where there is room, and where there is little
_BAD = frozenset({"disputed", "revoked", "unbound"})

Cell: TypeAlias = tuple[int, int]


class Span(msgspec.Struct, frozen=True, gc=False):
    """Cells of one row, ``end`` not among them, that belong to an agent."""

    row: int
    start: int
    end: int
    did: str


def write_nodes(
    agents: Iterable[AgentRow],
    canvas: Canvas,
    places: Mapping[str, Cell],
    glyphs: Glyphs,
    *,
    selected: str,
    near: set[str],
    pinned: frozenset[str],
) -> list[Span]:
    """Signs, and names where there is room, for the first of ``agents`` before the last; for the selected always."""
    busy = [bytearray(canvas.width) for _ in range(canvas.height)]
    spans = []
    for did, (x, y) in places.items():
        spans.append(Span(y, x, x + 1, did))
        busy[y][x] = 1
    order = sorted(agents, key=lambda row: row.did != selected)
    for agent in reversed(order):
        sign = glyphs.node("me" if agent.me else agent.kind, live=agent.state == "live")
        canvas.text(*places[agent.did], sign, "selected" if agent.did == selected else _style(agent))
    for agent in order:
        labels = _labels(agent, glyphs, near=agent.did in near, pinned=agent.did in pinned)
        span = None
        if agent.did == selected:
            chosen = [[[(label[0][0][0], "selected")], *label[1:]] for label in labels]
            span = _put(canvas, busy, agent.did, places[agent.did], chosen[:-1])
            span = span or _put(canvas, busy, agent.did, places[agent.did], chosen, forced=True)
        else:
            span = _put(canvas, busy, agent.did, places[agent.did], labels)
        if span is not None:
            spans.append(span)
    return spans


Label: TypeAlias = list[list[tuple[str, str]]]
"""Name, marks and load bar: parts that stand with a space between them, each of texts and their styles."""


def _labels(agent: AgentRow, glyphs: Glyphs, *, near: bool, pinned: bool) -> Iterator[Label]:
    """What may stand beside a node, the fullest first."""
    live = agent.state == "live"
    style = _style(agent)
    signs = "" if live else glyphs.peers[agent.state]
    signs += glyphs.marks["conflict"] if agent.conflict else ""
    signs += glyphs.marks["equivocates"] if agent.equivocates else ""
    signs += glyphs.marks["pinned"] if pinned else ""
    marks = [(signs, "bad" if style == "bad" else "faded")]
    name_style = style if agent.me else "label.near" if near else "label" if live else "faded"
    name = name_or_did(agent.name, agent.did, _NAMES[0])
    rest: Label = [marks] if signs else []
    if live and agent.load:
        filled, empty = glyphs.load_bar(agent.load, _BAR)
        bar = [(filled, "load.high" if agent.load > _HIGH else "load"), (empty, "rest")]
        yield [[(name, name_style)], *rest, bar]
    for width in _NAMES:
        yield [[(cell(name, width, pad=False), name_style)], *rest]
    if signs:
        yield [[(signs[:1], marks[0][1])]]


def _put(
    canvas: Canvas, busy: list[bytearray], did: str, spot: Cell, labels: Iterable[Label], *, forced: bool = False
) -> Span | None:
    """Write the fullest label for which there is room to the right or the left of its node."""
    x, y = spot
    row = busy[y]
    for label in labels:
        width = len(label) - 1 + sum(width_of(text) for part in label for text, _ in part)
        for start, step, first, last in (
            (x + 2, 1, x + 1, x + 3 + width),
            (x - 1 - width, -1, max(0, x - 2 - width), x),
        ):
            if start < 0 or start + width > canvas.width:
                continue
            # A cell to spare at both ends keeps names apart; one of them lies between the name and its node.
            if forced or row.find(1, first, last) < 0:
                row[start : start + width] = b"\1" * width
                _write(canvas, start, y, label[::step])
                canvas.text(x + step, y, " ", label[0][0][1])
                return Span(y, start, start + width, did)
    return None


def _write(canvas: Canvas, x: int, y: int, label: Label) -> None:
    for part in label:
        for text, style in part:
            canvas.text(x, y, text, style)
            x += width_of(text)
        if part is not label[-1]:
            canvas.text(x, y, " ", "rest")
            x += 1


def _style(agent: AgentRow) -> str:
    if agent.state in _BAD or agent.conflict or agent.equivocates:
        return "bad"
    if agent.state != "live":
        return "faded"
    return "me" if agent.me else agent.kind if agent.kind in ("ai", "human", "hybrid", "system") else "label"
