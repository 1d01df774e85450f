"""Measurements, each figure beside its yardstick, taken in the same run: ``python -m tests.bench``.

Every module of this package, but tests and those with a leading underscore, has
``async def run(report: Report) -> None``, which adds its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. A goal bounds the ratio, or the figure itself where there is no ratio."""

    name: str
    figure: float
    unit: str
    yardstick: str = ""  # what the figure is held against
    yardstick_figure: float | None = None  # in the same unit
    ratio: float | None = None  # figure to yardstick; the median of interleaved rounds
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None if there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        judged = self.figure if self.ratio is None else self.ratio
        return (self.at_least is None or judged >= self.at_least) and (self.at_most is None or judged <= self.at_most)

    @property
    def goal(self) -> str:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return ", ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)


class Report:
    """The rows of one run, handed on as they come."""

    def __init__(self, shown: Callable[[Row], None]) -> None:
        self.rows: list[Row] = []
        self._shown = shown

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self._shown(row)

    def data(self) -> list[dict[str, object]]:
        """The rows as JSON takes them."""
        return [asdict(row) | {"goal": row.goal, "met": row.met} for row in self.rows]
