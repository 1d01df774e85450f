"""The columns of a table, fitted to a width: the least important vanish first, the rest is shared by weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from tui.spans import Span, Spans, fit, merged

GAP = 1


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column. Widths are cells; of two columns the one of lower ``priority`` vanishes first."""

    key: str
    title: str = ""
    least: int
    most: int = 0  # 0: no bound
    weight: int = 0  # its share of what is left over
    priority: int = 0
    right: bool = False


class Place(msgspec.Struct, frozen=True):
    """A column that is shown, so many cells wide."""

    column: Column
    width: int


@lru_cache(maxsize=256)
def places(columns: tuple[Column, ...], width: int) -> tuple[Place, ...]:
    """The columns that fit, in their order, with gaps of one cell between them; never wider than ``width``.

    The most important column stays, narrower than its least width if it must be.
    """
    if width < 1:
        return ()
    shown = list(columns)
    while len(shown) > 1 and _least(shown) > width:
        # Of equals the rightmost goes.
        shown.remove(min(reversed(shown), key=lambda column: column.priority))
    widths = [column.least for column in shown]
    if len(shown) == 1:
        widths = [min(widths[0], width)]
    _share(shown, widths, width - sum(widths) - GAP * (len(shown) - 1))
    return tuple(Place(column, wide) for column, wide in zip(shown, widths, strict=True))


def _least(columns: Sequence[Column]) -> int:
    return sum(column.least for column in columns) + GAP * (len(columns) - 1)


def _share(columns: Sequence[Column], widths: list[int], rest: int) -> None:
    """Give the rest to those with weight; what one may not take goes to the others."""
    while rest > 0:
        hungry = [
            index
            for index, column in enumerate(columns)
            if column.weight and (not column.most or widths[index] < column.most)
        ]
        if not hungry:
            return
        weight = sum(columns[index].weight for index in hungry)
        for index in hungry:
            column = columns[index]
            given = min(max(1, rest * column.weight // weight), rest)
            if column.most:
                given = min(given, column.most - widths[index])
            widths[index] += given
            rest -= given
            weight -= column.weight
            if not rest:
                return


def line(placed: Sequence[Place], cells: Mapping[str, Sequence[Span]]) -> Spans:
    """A row: the cell of each column, cut or filled up to its width. What has no cell is blank."""
    spans: list[Span] = []
    for index, place in enumerate(placed):
        if index:
            spans.append((" " * GAP, "plain"))
        spans += fit(cells.get(place.column.key, ()), place.width, right=place.column.right)
    return merged(spans)


def titles(placed: Sequence[Place]) -> Spans:
    """The header line."""
    return line(placed, {place.column.key: ((place.column.title, "head"),) for place in placed})
