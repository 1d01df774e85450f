"""The mesh as a drawing: an SVG that needs no fonts, scripts or files but itself, and no colours to be understood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC
from html import escape
from math import cos, hypot, isfinite, pi, sin

from tui.exports.screen import LOCAL_FONTS
from tui.flows import flows
from tui.moments import date_and_clock
from tui.text import cell, name_or_did
from tui.views import AgentRow, Snapshot

Point = tuple[float, float]

WIDTH, HEIGHT = 1200, 800
_TOP, _BOTTOM, _SIDE = 80, 90, 90  # room for the title, the legend, and labels at the border
_RADIUS = 12
_INK, _PALE, _PAPER, _WORK = "#1f2328", "#8b949e", "#ffffff", "#0969da"
_FILLS = {"human": "#fff8c5", "ai": "#ddf4ff", "hybrid": "#fbefff", "system": "#eaeef2", "": "#ffffff"}
_HALO = f'stroke="{_PAPER}" stroke-width="3" paint-order="stroke"'  # keeps text legible over lines
_WARNING = frozenset({"disputed", "revoked"})


def svg(snapshot: Snapshot, positions: Mapping[str, Point], *, title: str = "A ClawNet mesh") -> str:
    """A drawing of the agents at ``positions`` (did to x, y from 0 to 1), their handshakes and the work they do.

    An agent without a position lies on a circle around the others.
    """
    places = _places(snapshot, positions)
    return "\n".join([*_head(snapshot, title), *_edges(snapshot, places), *_work(snapshot, places),
                      *_nodes(snapshot, places), *_legend(snapshot), "</svg>", ""])  # fmt: skip


def _places(snapshot: Snapshot, positions: Mapping[str, Point]) -> dict[str, Point]:
    places = {}
    dids = [row.did for row in snapshot.agents]
    homeless = [did for did in dids if not all(map(isfinite, positions.get(did, (float("nan"),))))]
    for number, did in enumerate(homeless):
        angle = 2 * pi * number / len(homeless)
        places[did] = _place(0.5 + 0.5 * cos(angle), 0.5 + 0.5 * sin(angle))
    for did in dids:
        if did not in places:
            places[did] = _place(*positions[did])
    return places


def _place(x: float, y: float) -> Point:
    across, down = WIDTH - 2 * _SIDE, HEIGHT - _TOP - _BOTTOM - 60
    return _SIDE + across * min(1.0, max(0.0, x)), _TOP + 30 + down * min(1.0, max(0.0, y))


def _head(snapshot: Snapshot, title: str) -> Iterator[str]:
    live = sum(row.state == "live" for row in snapshot.agents)
    told = f"{live} of {len(snapshot.agents)} agents live, {len(snapshot.tasks)} tasks"
    told = f"{date_and_clock(snapshot.now_ms, UTC)} UTC, {told}"
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="{LOCAL_FONTS}" font-size="13" fill="{_INK}">'
    )
    yield f"<title>{_text(title)}</title>"
    yield f"<desc>{_text(told)}</desc>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{_WORK}"/></marker></defs>'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>'
    yield f'<text x="24" y="36" font-size="20" font-weight="bold">{_text(title)}</text>'
    yield f'<text x="24" y="58" fill="{_PALE}">{_text(f"{snapshot.room}  {told}".strip(), 140)}</text>'


def _edges(snapshot: Snapshot, places: Mapping[str, Point]) -> Iterator[str]:
    yield f'<g id="handshakes" stroke="{_PALE}">'
    for edge in snapshot.edges:
        if edge.a in places and edge.b in places:
            dashes = "" if edge.mutual else ' stroke-dasharray="5 4"'
            (x1, y1), (x2, y2) = places[edge.a], places[edge.b]
            yield (
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{dashes}>'
                f"<title>handshake, {edge.rtt_ms} ms</title></line>"
            )
    yield "</g>"


def _nodes(snapshot: Snapshot, places: Mapping[str, Point]) -> Iterator[str]:
    yield '<g id="agents" text-anchor="middle">'
    for row in snapshot.agents:
        x, y = places[row.did]
        pale = "" if row.state == "live" else ' opacity="0.6"'
        yield f'<g transform="translate({x:.1f} {y:.1f})"{pale}>'
        yield f"<title>{_text(f'{name_or_did(row.name, row.did)} {row.did} {row.state}: {row.description}')}</title>"
        yield _shape(row)
        yield from _load(row)
        name = ("me: " if row.me else "") + name_or_did(row.name, row.did, 24)
        state = "" if row.state == "live" else f" ({row.state})"
        yield f'<text y="36" {_HALO}>{_text(name + state)}</text>'
        yield f'<text y="50" font-size="11" fill="{_PALE}" {_HALO}>{_text(row.role, 24)}</text>'
        yield "</g>"
    yield "</g>"


def _shape(row: AgentRow) -> str:
    """What is behind an agent gives the shape; a dashed outline is not live, a thick one ours."""
    fill = _FILLS.get(row.kind, _PAPER)
    ink = "#cf222e" if row.state in _WARNING or row.conflict else _INK
    dashes = "" if row.state == "live" else ' stroke-dasharray="3 2"'
    paint = f'fill="{fill}" stroke="{ink}" stroke-width="{3 if row.me else 1.5}"{dashes}'
    r = _RADIUS
    if row.kind == "human":
        return f'<path d="M{-r} 0L0 {-r}L{r} 0L0 {r}z" {paint}/>'
    if row.kind == "system":
        return f'<rect x="{-r}" y="{-r}" width="{2 * r}" height="{2 * r}" {paint}/>'
    if row.kind == "hybrid":
        return f'<path d="M{-r} 0L{-r / 2} {-r}L{r / 2} {-r}L{r} 0L{r / 2} {r}L{-r / 2} {r}z" {paint}/>'
    return f'<circle r="{r}" {paint}/>'


def _load(row: AgentRow) -> Iterator[str]:
    if row.slots:
        width = 2 * _RADIUS
        yield f'<rect x="{-_RADIUS}" y="18" width="{width}" height="4" fill="#d0d7de"/>'
        yield f'<rect x="{-_RADIUS}" y="18" width="{width * row.load:.1f}" height="4" fill="{_INK}"/>'


def _work(snapshot: Snapshot, places: Mapping[str, Point]) -> Iterator[str]:
    yield f'<g id="work" fill="none" stroke="{_WORK}" stroke-width="2" text-anchor="middle" font-size="11">'
    drawn: dict[Point, int] = {}  # labels at one place go below each other
    for work in flows(snapshot):
        path, place = _arrow(places[work.requester], places[work.executor])
        line = drawn[place] = drawn.get(place, -1) + 1
        label = _text(work.label + (", waits for an answer" if work.state == "input_required" else ""), 60)
        yield f'<path d="{path}" marker-end="url(#tip)"/>'
        yield (f'<text x="{place[0]:.1f}" y="{place[1] + 13 * line:.1f}" fill="{_WORK}" {_HALO}>{label}</text>')
    yield "</g>"


def _arrow(start: Point, end: Point) -> tuple[str, Point]:
    """A bent line from the border of one node to that of another, or around one node; where its label goes."""
    (x1, y1), (x2, y2) = start, end
    apart = hypot(x2 - x1, y2 - y1)
    if apart < 1:
        top, high = f"{y1 - _RADIUS:.1f}", f"{y1 - _RADIUS - 46:.1f}"
        loop = f"M{x1 - 6:.1f} {top}C{x1 - 34:.1f} {high} {x1 + 34:.1f} {high} {x1 + 6:.1f} {top}"
        return loop, (round(x1, 1), round(y1 - _RADIUS - 40, 1))
    across, down = (x2 - x1) / apart, (y2 - y1) / apart
    gap, bend = min(_RADIUS + 4, apart / 3), 0.12 * apart
    middle_x, middle_y = (x1 + x2) / 2 - down * bend, (y1 + y2) / 2 + across * bend
    path = (
        f"M{x1 + across * gap:.1f} {y1 + down * gap:.1f}"
        f"Q{middle_x:.1f} {middle_y:.1f} {x2 - across * gap:.1f} {y2 - down * gap:.1f}"
    )
    return path, (round((middle_x + (x1 + x2) / 2) / 2, 1), round((middle_y + (y1 + y2) / 2) / 2, 1))


def _legend(snapshot: Snapshot) -> Iterator[str]:
    y = HEIGHT - _BOTTOM + 40
    yield f'<g id="legend" font-size="12" transform="translate(24 {y})">'
    kinds = (("ai", "ai"), ("human", "human"), ("hybrid", "hybrid"), ("system", "system"), ("", "not announced"))
    for place, (kind, told) in enumerate(kinds):
        yield f'<g transform="translate({16 + 100 * place} 0)">'
        yield _shape(AgentRow(did="", name="", kind=kind, state="live" if kind else "unheard"))
        yield f'<text x="22" y="4">{told}</text></g>'
    lines = (
        (560, f'stroke="{_PALE}"', "handshake both announce"),
        (790, f'stroke="{_PALE}" stroke-dasharray="5 4"', "one announces it"),
        (980, f'stroke="{_WORK}" stroke-width="2" marker-end="url(#tip)"', "work in hand"),
    )
    for x, paint, told in lines:
        yield f'<g transform="translate({x} 0)"><line x2="24" {paint}/>'
        yield f'<text x="32" y="4">{told}</text></g>'
    counts = snapshot.counts
    told = f"{counts.messages} messages, {counts.invalid} invalid, {counts.pending} still to be checked"
    signs = "dashed and pale: not live; bar: load; thick: the key held here"
    yield f'<text y="32" fill="{_PALE}">{signs}; {told}</text></g>'


def _text(text: str, width: int = 200) -> str:
    """Text of strangers as content of an element."""
    return escape(cell(text, width, pad=False), quote=False)
