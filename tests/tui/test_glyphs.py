"""Every state has a sign of its own, one cell wide, in every set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from rich.cells import cell_len

from tui.glyphs import GLYPHS, Glyphs
from tui.text import cell
from tui.views import LinkState, PeerState, Verdict

STATES = Path(__file__).parents[2] / "spec" / "states.json"
EVERY = pytest.mark.parametrize("glyphs", GLYPHS.values(), ids=GLYPHS.keys())


def signs(glyphs: Glyphs) -> list[str]:
    found: list[str] = []
    for field in msgspec.structs.fields(glyphs):
        value = getattr(glyphs, field.name)
        if isinstance(value, Mapping):
            found += value.values()
        elif field.name not in ("name", "dots"):
            found += value
    return found


@EVERY
def test_every_sign_takes_one_cell_and_survives_cleaning(glyphs: Glyphs) -> None:
    for sign in signs(glyphs):
        assert len(sign) == cell_len(sign) == 1
        assert cell(sign, 1) == sign


def test_the_ascii_set_is_ascii() -> None:
    assert all(sign.isascii() and sign.isprintable() for sign in signs(GLYPHS["ascii"]))


@EVERY
def test_every_state_has_a_sign_and_no_two_of_one_kind_share_it(glyphs: Glyphs) -> None:
    attempt = json.loads(STATES.read_text())["attempt"]
    task_states = {attempt["initial"], *attempt["terminal"], *attempt["transitions"]}
    tables: list[tuple[Mapping[str, str], set[str]]] = [
        (glyphs.peers, set(get_args(PeerState))),  # type: ignore[list-item]
        (glyphs.verdicts, set(get_args(Verdict))),  # type: ignore[list-item]
        (glyphs.links, set(get_args(LinkState))),  # type: ignore[list-item]
        (glyphs.tasks, task_states),
        (glyphs.nodes, {"me", "ai", "human", "hybrid", "system", ""}),
        (glyphs.faded, {"me", "ai", "human", "hybrid", "system", ""}),
    ]
    for table, states in tables:
        assert set(table) == states
        assert len(set(table.values())) == len(states)


@EVERY
def test_an_agent_that_is_not_live_has_another_sign(glyphs: Glyphs) -> None:
    for kind in ("me", "ai", "human", "hybrid", "system"):
        assert glyphs.node(kind, live=True) != glyphs.node(kind, live=False)
    assert glyphs.node("toaster", live=True) == glyphs.nodes[""]


@EVERY
@pytest.mark.parametrize("load, filled", [(0.0, 0), (0.01, 1), (0.5, 2), (1.0, 4), (7.0, 4), (-1.0, 0)])
def test_a_load_bar_is_always_as_wide_as_asked_for(glyphs: Glyphs, load: float, filled: int) -> None:
    full, rest = glyphs.load_bar(load, 4)
    assert len(full) == filled
    assert len(full + rest) == 4
    assert glyphs.level(load) in glyphs.levels
