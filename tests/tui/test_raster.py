"""A canvas: dots, lines and text in cells, cut off at its border, and nothing drawn twice."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.glyphs import Dots
from tui.raster import Canvas, path
from tui.text import cell

LINES = ("idle", "busy")
TEXTS = ("name", "chosen")
EVERY: tuple[Dots, ...] = ("braille", "block", "ascii")


def canvas(width: int = 6, height: int = 2, dots: Dots = "braille") -> Canvas:
    return Canvas(width, height, dots, LINES, TEXTS)


def drawn(picture: Canvas) -> list[str]:
    return ["".join(text for text, _ in runs) for runs in picture.rows()]


class TestDots:
    @pytest.mark.parametrize(
        "dots, sign",
        [("braille", ["⢀", " "]), ("block", ["▐", " "]), ("ascii", [" ", "*"])],
    )
    def test_go_into_the_cell_they_fall_in(self, dots: Dots, sign: list[str]) -> None:
        picture = canvas(1, 2, dots)
        picture.dot(*{"braille": (1, 3), "block": (1, 0), "ascii": (0, 1)}[dots], "idle")
        if dots == "block":
            picture.dot(1, 1, "idle")
        assert drawn(picture) == sign

    def test_of_one_cell_add_up(self) -> None:
        picture = canvas(1, 1)
        for x in range(2):
            for y in range(4):
                picture.dot(x, y, "idle")
        assert drawn(picture) == ["⣿"]

    def test_take_the_more_important_style_whatever_comes_first(self) -> None:
        for styles in (("idle", "busy"), ("busy", "idle")):
            picture = canvas(1, 1)
            for style in styles:
                picture.dot(0, 0, style)
            assert picture.rows() == [[("⠁", "busy")]]

    def test_outside_are_left_out(self) -> None:
        picture = canvas()
        for x, y in ((-1, 0), (0, -1), (12, 0), (0, 8)):
            picture.dot(x, y, "idle")
        assert drawn(picture) == [" " * 6] * 2


class TestALine:
    ENDS = st.tuples(*[st.integers(-30, 60)] * 4)

    @given(ENDS)
    def test_joins_its_ends_without_a_gap(self, ends: tuple[int, int, int, int]) -> None:
        points = path(ends)
        assert points[0] == ends[:2]
        assert points[-1] == ends[2:]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            assert max(abs(x1 - x0), abs(y1 - y0)) == 1

    @given(ENDS, st.sampled_from(EVERY), st.integers(1, 4))
    def test_is_the_dots_of_its_path_that_are_on_the_canvas(
        self, ends: tuple[int, int, int, int], dots: Dots, every: int
    ) -> None:
        by_line, by_dots = canvas(8, 4, dots), canvas(8, 4, dots)
        by_line.line(*ends, "idle", every)
        for x, y in path(ends)[::every]:
            by_dots.dot(x, y, "idle")
        if dots == "ascii":
            assert [[sign == " " for sign in row] for row in drawn(by_line)] == [
                [sign == " " for sign in row] for row in drawn(by_dots)
            ]
        else:
            assert drawn(by_line) == drawn(by_dots)

    @pytest.mark.parametrize(
        "ends, shown",
        [
            ((0, 0, 5, 0), ["------", "      "]),
            ((0, 0, 0, 1), ["|     ", "|     "]),
            ((0, 0, 1, 1), ["\\     ", " \\    "]),
            ((1, 0, 0, 1), [" /    ", "/     "]),
        ],
    )
    def test_in_ascii_leans_as_it_runs(self, ends: tuple[int, int, int, int], shown: list[str]) -> None:
        picture = canvas(6, 2, "ascii")
        picture.line(*ends, "idle")
        assert drawn(picture) == shown

    def test_that_is_sparse_is_one_run_with_its_gaps(self) -> None:
        picture = canvas(6, 1)
        picture.line(0, 0, 11, 0, "idle", 5)
        assert picture.rows() == [[("⠁ ⠈  ⠁", "idle")]]


class TestText:
    def test_stands_over_dots_and_keeps_its_style(self) -> None:
        picture = canvas(6, 1)
        picture.line(0, 0, 11, 0, "busy")
        picture.text(2, 0, "ab", "name")
        assert picture.rows() == [[("⠉⠉", "busy"), ("ab", "name"), ("⠉⠉", "busy")]]

    @pytest.mark.parametrize("x, shown", [(-2, "cd    "), (4, "    ab"), (9, "      "), (-9, "      ")])
    def test_is_cut_off_at_the_border(self, x: int, shown: str) -> None:
        picture = canvas(6, 1)
        picture.text(x, 0, "abcd", "name")
        picture.text(0, 5, "nowhere", "name")
        assert drawn(picture) == [shown]

    @pytest.mark.parametrize(
        "texts, shown",
        [
            ([(1, "宽ab")], " 宽ab "),
            ([(-1, "宽a")], " a    "),
            ([(5, "宽")], "      "),
            ([(1, "宽"), (2, "x")], "  x   "),
            ([(1, "宽"), (1, "x")], " x    "),
            ([(1, "宽"), (0, "宽")], "宽    "),
        ],
    )
    def test_of_wide_characters_never_leaves_half_of_one(self, texts: list[tuple[int, str]], shown: str) -> None:
        picture = canvas(6, 1)
        for x, text in texts:
            picture.text(x, 0, text, "name")
        assert drawn(picture) == [shown]

    @given(st.lists(st.tuples(st.integers(-5, 12), st.integers(-1, 3), st.text(max_size=9)), max_size=8))
    def test_leaves_every_row_as_wide_as_the_canvas(self, texts: list[tuple[int, int, str]]) -> None:
        picture = canvas(10, 3)
        for x, y, text in texts:
            picture.text(x, y, cell(text, 9, pad=False), "name")
        assert [cell_len(row) for row in drawn(picture)] == [10, 10, 10]


class TestWhatChanged:
    def test_is_everything_at_first_and_nothing_after_that(self) -> None:
        picture = canvas()
        assert set(picture.changes()) == {0, 1}
        assert picture.changes() == {}

    def test_is_the_row_that_looks_different(self) -> None:
        picture = canvas()
        picture.changes()
        picture.dot(0, 5, "idle")
        assert list(picture.changes()) == [1]
        picture.text(0, 0, "a", "name")
        assert list(picture.changes()) == [0]
        picture.dot(0, 5, "busy")
        assert picture.changes() == {1: [("⠂" + " " * 5, "busy")]}

    def test_is_nothing_if_the_same_is_drawn_again(self) -> None:
        picture = canvas()
        for _ in range(2):
            picture.clear()
            picture.line(0, 0, 9, 7, "idle")
            picture.text(1, 1, "name", "name")
            changes = picture.changes()
        assert changes == {}

    def test_restores_the_dots_of_the_ground_and_keeps_text(self) -> None:
        picture = canvas()
        picture.line(0, 0, 11, 0, "idle")
        picture.keep()
        picture.text(0, 1, "name", "name")
        before = picture.rows()
        picture.line(0, 7, 11, 0, "busy")
        assert picture.rows() != before
        picture.restore()
        assert picture.rows() == before
