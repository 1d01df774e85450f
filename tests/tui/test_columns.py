"""Columns fit every width, and spans are cut and filled up to the cell."""

from __future__ import annotations

import random

import pytest

from tui.columns import GAP, Column, line, places, titles
from tui.spans import cut, fit, text_of
from tui.text import width_of
from tui.widgets import agents, tasks, timeline

TABLES = {
    "agents": agents.COLUMNS,
    "tasks": tasks.COLUMNS,
    "stages": tasks.STAGES,
    "timeline": timeline.COLUMNS,
}


@pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES.keys())
def test_columns_never_exceed_the_width_and_keep_their_least(columns: tuple[Column, ...]) -> None:
    for width in range(20, 201):
        placed = places(columns, width)
        assert sum(place.width for place in placed) + GAP * (len(placed) - 1) <= width
        assert len(placed) == 1 or all(place.width >= place.column.least for place in placed)
        assert all(not place.column.most or place.width <= place.column.most for place in placed)
        assert [place.column for place in placed] == [c for c in columns if c in {p.column for p in placed}]
        assert width_of(text_of(titles(placed))) <= width


@pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES.keys())
def test_a_wider_table_loses_no_column_and_the_most_important_one_is_always_there(columns: tuple[Column, ...]) -> None:
    first = max(columns, key=lambda column: column.priority)
    before: set[str] = set()
    for width in range(first.least, 201):
        shown = {place.column.key for place in places(columns, width)}
        assert first.key in shown
        assert before <= shown
        before = shown
    assert before == {column.key for column in columns}


def test_a_table_with_an_unbounded_column_takes_the_whole_width() -> None:
    columns = (Column(key="a", least=4, most=8, weight=1), Column(key="b", least=4, weight=1, priority=1))
    for width in range(9, 200):
        placed = places(columns, width)
        assert sum(place.width for place in placed) + GAP == width


def test_what_is_left_is_shared_by_weight() -> None:
    columns = (Column(key="a", least=10, weight=1), Column(key="b", least=10, weight=3), Column(key="c", least=5))
    assert [place.width for place in places(columns, 67)] == [20, 40, 5]


def test_of_two_equals_the_right_one_vanishes_first() -> None:
    columns = (Column(key="a", least=5), Column(key="b", least=5))
    assert [place.column.key for place in places(columns, 8)] == ["a"]


def test_the_last_column_shrinks_and_no_width_shows_nothing() -> None:
    columns = (Column(key="a", least=10, priority=1), Column(key="b", least=10))
    assert [place.width for place in places(columns, 4)] == [4]
    assert places(columns, 0) == ()


def test_a_line_is_exactly_as_wide_as_its_columns_whatever_stands_in_it() -> None:
    chance = random.Random(4)
    letters = "abc äß 漢字か→● "
    for width in range(1, 120):
        placed = places(agents.COLUMNS, width)
        cells = {
            place.column.key: tuple(
                ("".join(chance.choices(letters, k=chance.randrange(40))), "plain") for _ in range(chance.randrange(4))
            )
            for place in placed
        }
        expected = sum(place.width for place in placed) + GAP * (len(placed) - 1)
        assert width_of(text_of(line(placed, cells))) == expected  # type: ignore[arg-type]


def test_spans_are_cut_with_a_sign_that_there_is_more() -> None:
    assert text_of(fit((("hello ", "plain"), ("world", "bad")), 8)) == "hello w…"
    assert text_of(fit((("hello", "plain"),), 8)) == "hello   "
    assert text_of(fit((("hello", "plain"),), 8, right=True)) == "   hello"
    assert fit((("hello", "plain"),), 0) == ()
    assert cut("漢字漢字", 4) == "漢…"
    assert text_of(fit((("漢字漢字", "plain"),), 4)) == "漢… "


def test_tones_stay_with_their_text() -> None:
    assert fit((("ab", "good"), ("", "bad"), ("cd", "muted")), 4) == (("ab", "good"), ("cd", "muted"))
