"""The figures as one picture: small panels, agents on a logarithmic axis, in colours for light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import msgspec

_WIDTH, _HEIGHT = 300, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 40, 30
_COLUMNS = 3
_COLOURS = ("#3b82c4", "#d9822b", "#c0392b", "#2e9e6b")
_INK = "#7a8290"

Line = Sequence[tuple[float, float]]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One graph: lines by name, over the number of agents. Its y axis begins at 0 unless it is logarithmic."""

    title: str
    lines: Mapping[str, Line]
    logarithmic: bool = False


def svg(panels: Sequence[Panel]) -> str:
    """The picture as SVG text."""
    rows = -(-len(panels) // _COLUMNS)
    width, height = _WIDTH * min(_COLUMNS, len(panels)), _HEIGHT * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="11">'
    ]
    for number, panel in enumerate(panels):
        left, top = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        parts.append(f'<g transform="translate({left} {top})">{_panel(panel)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel) -> str:
    points = [point for line in panel.lines.values() for point in line]
    marks = sorted({x for x, _ in points})
    low_x, high_x = math.log10(marks[0]), math.log10(marks[-1])
    bottom, ticks = _ticks([y for _, y in points], logarithmic=panel.logarithmic)
    span = _scaled(ticks[-1], panel.logarithmic) - bottom

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low_x) / ((high_x - low_x) or 1)
        up = (_scaled(y, panel.logarithmic) - bottom) / (span or 1)
        return (
            round(_LEFT + across * (_WIDTH - _LEFT - _RIGHT), 1),
            round(_HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM), 1),
        )

    parts = [f'<text x="{_LEFT}" y="14" fill="{_INK}" font-weight="600">{escape(panel.title)}</text>']
    for tick in ticks:
        _, y = place(marks[0], tick)
        parts.append(f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="{_INK}" stroke-opacity=".25"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4}" text-anchor="end" fill="{_INK}">{tick:,g}</text>')
    for mark in marks:
        x, _ = place(mark, ticks[0])
        parts.append(f'<text x="{x}" y="{_HEIGHT - 12}" text-anchor="middle" fill="{_INK}">{mark:,g}</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [place(x, y) for x, y in line]
        path = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
        if len(panel.lines) > 1:
            parts.append(f'<text x="{_LEFT + 80 * number}" y="30" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)


def _scaled(y: float, logarithmic: bool) -> float:
    return math.log10(y) if logarithmic else y


def _ticks(values: Sequence[float], *, logarithmic: bool) -> tuple[float, list[float]]:
    """Where the axis begins (scaled), and what is written on it."""
    if logarithmic:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return low, [10.0**power for power in range(low, max(high, low + 1) + 1)]
    most = max(values) or 1.0
    step = 10.0 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.25, 0.5, 1.0, 2.0) if step * part * 5 >= most)
    return 0.0, [step * number for number in range(math.ceil(most / step) + 1)]
