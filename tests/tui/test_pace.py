"""How often is drawn: at every frame, but seldom while a storm blows."""

from __future__ import annotations

from tui.pace import Pace

FRAME_S = 1 / 15


def drawn(changes_per_s: int, seconds: int = 4) -> tuple[int, int]:
    """How many frames of the last second move, and how many look."""
    pace, moves, looks = Pace(), 0, 0
    for frame in range(15 * seconds):
        pace.next(frame * FRAME_S, int(frame * FRAME_S * changes_per_s))
        if frame >= 15 * (seconds - 1):
            moves += pace.moves
            looks += pace.looks
    return moves, looks


def test_every_frame_while_an_eye_can_follow() -> None:
    assert drawn(0) == drawn(200) == (15, 15)


def test_in_a_storm_seldom_but_still() -> None:
    moves, looks = drawn(1000)
    assert 3 <= moves <= 5
    assert 1 <= looks < moves


def test_calm_comes_back_within_a_second() -> None:
    pace = Pace()
    for frame in range(30):
        pace.next(frame * FRAME_S, frame * 100)
    assert pace.storm
    for frame in range(30, 48):
        pace.next(frame * FRAME_S, 3000)
    assert not pace.storm


def test_a_count_that_starts_anew_is_no_storm() -> None:
    pace = Pace()
    pace.next(0.0, 1_000_000)
    pace.next(FRAME_S, 5)
    assert not pace.storm
