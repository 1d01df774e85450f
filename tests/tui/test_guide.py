"""The tables of docs/clawtui.md are those of the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tui.app import _LEAST, _WIDE
from tui.commands import COMMANDS
from tui.filters import EXAMPLES
from tui.glyphs import ASCII, BRAILLE
from tui.keys import KEYS, MOVES, shown
from tui.line import Line
from tui.model import HISTORY
from tui.saving import _ENDINGS
from tui.web.serving import WINDOWS

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_GUIDE: Final = (_CHECKOUT / "docs" / "clawtui.md").read_text("utf-8")
_CELL = re.compile(r"(?<!\\)\|")


def table(*headings: str) -> list[list[str]]:
    """The rows of the table with these headings, as plain text."""
    _, _, rest = _GUIDE.partition(f"\n| {' | '.join(headings)} |\n|{'---|' * len(headings)}\n")
    assert rest, headings
    lines = rest.partition("\n\n")[0].splitlines()
    return [[cell.strip().strip("`").replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]] for line in lines]


def test_keys_are_those_one_can_press() -> None:
    assert table("key", "what it does", "id") == [[shown(key.keys), key.text, key.id] for key in KEYS]


def test_so_are_the_keys_inside_a_pane() -> None:
    assert table("key", "what it does") == [list(move) for move in MOVES]


def test_commands_are_those_one_can_type() -> None:
    known = [[f":{command.name} {command.usage}".strip(), command.text] for command in COMMANDS]
    assert table("command", "what it does") == known


def test_filters_are_those_there_are() -> None:
    assert table("filter", "what it shows") == [list(example) for example in EXAMPLES]


@pytest.mark.parametrize(
    "heading, signs, in_ascii",
    [
        ("verdict", BRAILLE.verdicts, ASCII.verdicts),
        ("agent", BRAILLE.peers, ASCII.peers),
        ("mark", BRAILLE.marks, ASCII.marks),
        ("stage", BRAILLE.tasks, ASCII.tasks),
        ("link", BRAILLE.links, ASCII.links),
    ],
)
def test_signs_are_those_on_the_screen(heading: str, signs: Mapping[str, str], in_ascii: Mapping[str, str]) -> None:
    rows = [row[:3] for row in table("sign", "ascii", heading, "meaning")]
    assert rows == [[sign, in_ascii[name], name.replace("_", " ")] for name, sign in signs.items()]


def test_so_are_the_signs_of_agents() -> None:
    known = [
        [kind or "not announced", BRAILLE.nodes[kind], ASCII.nodes[kind], BRAILLE.faded[kind], ASCII.faded[kind]]
        for kind in BRAILLE.nodes
    ]
    assert table("agent", "live", "ascii", "otherwise", "ascii") == known


def test_fields_of_a_line_are_those_that_are_printed() -> None:
    assert [name for name, _ in table("field", "meaning")] == list(Line.__struct_fields__)


def test_forms_of_an_export_are_those_there_are() -> None:
    assert [form for form, _ in table("form", "what it is")] == list(_ENDINGS)


def test_numbers_are_those_of_the_code() -> None:
    assert f"the last {HISTORY} can be scrolled back to" in _GUIDE
    assert "The least is {} by {}.".format(*_LEAST) in _GUIDE and "`needs {}x{} characters`".format(*_LEAST) in _GUIDE
    assert f"In fewer than {_WIDE} columns" in _GUIDE
    assert WINDOWS == 4 and "in up to four windows" in _GUIDE


def test_sentences_to_look_up_are_those_of_the_code() -> None:
    files = [path for package in ("bots", "tui") for path in sorted((_CHECKOUT / package).rglob("*.py"))]
    # A sentence written in two pieces is one.
    source = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text("utf-8") for path in files))
    seen = [cell.strip() for row in table("what you see", "what it means, and what to do") for cell in row[:1]]
    sentences = [text for text in seen if "`" not in text and text[:1].isupper()]
    assert len(sentences) > 5
    for sentence in sentences:
        assert all(piece.strip() in source for piece in sentence.split("…")), sentence
