"""Hostile text becomes exactly as many cells as asked for, and holds nothing one cannot see."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.text import cell, lines, width_of

NASTY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\x1b[]\x07\x9b\n\t\u202e\u2066\u200b\u200d\ufe0f\u0301\u0489e宽👍🏽🇩\ue000\ud800\u3164\u2800 a"
        ),
    ),
    max_size=80,
)
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Mc", "Me", "Zl", "Zp"}


def harmless(text: str) -> bool:
    return all(unicodedata.category(character) not in UNSEEN for character in text)


class TestACell:
    @given(NASTY, st.integers(0, 30))
    def test_is_exactly_so_wide_and_shows_everything_in_it(self, text: str, width: int) -> None:
        shown = cell(text, width)
        assert width_of(shown) == cell_len(shown) == width
        assert harmless(shown)

    @given(NASTY, st.integers(0, 30))
    def test_without_padding_is_at_most_so_wide(self, text: str, width: int) -> None:
        shown = cell(text, width, pad=False)
        assert width_of(shown) == cell_len(shown) <= width
        assert not shown.endswith(" ")

    @given(NASTY, st.integers(0, 30), st.booleans())
    def test_stays_as_it_is_when_made_again(self, text: str, width: int, pad: bool) -> None:
        shown = cell(text, width, pad=pad)
        assert cell(shown, width, pad=pad) == shown

    @pytest.mark.parametrize(
        "text, shown",
        [
            ("atlas", "atlas     "),
            ("a longer name", "a longer …"),
            ("two\nlines\there", "two lines…"),
            ("\x1b[31mred\x1b[0m", "[31mred[0m"),
            ("user\u202egnp.exe", "usergnp.e…"),
            ("\u2067a\u2069b\u200b\u200dc", "abc       "),
            ("Z\u0301\u0300\u0300\u0300o\u0308\u0489", "Źö        "),
            ("宽宽宽宽宽宽", "宽宽宽宽… "),
            ("❤\ufe0f \U0001f44d\U0001f3fd", "❤ \U0001f44d      "),
            ("\ue000\ud800\U000e0041\u3164\uffa0", "          "),
        ],
    )
    def test_of_known_tricks(self, text: str, shown: str) -> None:
        assert cell(text, 10) == shown

    def test_of_something_wide_where_there_is_room_for_half_of_it(self) -> None:
        assert cell("宽", 1) == "…"

    def test_costs_no_more_for_ten_megabytes(self) -> None:
        text = "\u0489a" * 5_000_000
        started = time.process_time()
        assert cell(text, 20) == "a" * 19 + "…"
        assert time.process_time() - started < 0.05

    def test_tells_that_there_is_more_behind_what_does_not_show(self) -> None:
        assert cell("\u200b" * 10_000 + "name", 8) == "…       "


class TestLines:
    @given(NASTY, st.integers(0, 12), st.integers(0, 5))
    def test_are_at_most_so_many_and_so_wide(self, text: str, width: int, most: int) -> None:
        wrapped = lines(text, width, most)
        assert len(wrapped) <= most
        assert all(harmless(line) and cell_len(line) == width_of(line) <= width for line in wrapped)

    def test_break_at_spaces_and_where_the_sender_did(self) -> None:
        assert lines("one two three\nfour", 8, 9) == ["one two", "three", "four"]

    def test_break_a_word_that_is_too_long(self) -> None:
        assert lines("abcdefgh ij", 5, 9) == ["abcde", "fgh", "ij"]

    def test_tell_that_there_is_more(self) -> None:
        assert lines("one two three four", 5, 2) == ["one", "two…"]

    def test_keep_an_empty_line_between_paragraphs(self) -> None:
        assert lines("a\n\nb", 5, 9) == ["a", "", "b"]

    def test_of_ten_megabytes_cost_no_more_than_what_is_shown(self) -> None:
        text = "宽\n" * 5_000_000
        started = time.process_time()
        assert len(lines(text, 60, 40)) == 40
        assert time.process_time() - started < 0.1
