"""What is remembered of who delivered what."""

from __future__ import annotations

import pytest

from clawnet_proto.origins import Origins


def test_every_address_counts_once() -> None:
    origins = Origins(100)
    assert origins.get("a") == ()
    for address in ("x", "y", "x"):
        origins.add("a", address)
    assert origins.get("a") == ("x", "y")
    origins.forget("a")
    assert origins.get("a") == ()
    origins.add("a", "z")
    assert origins.get("a") == ("z",)


@pytest.mark.parametrize("most", [1, 5, 8, 9, 100, 1000])
def test_the_last_ones_are_remembered_and_no_more(most: int) -> None:
    origins = Origins(most)
    for number in range(3 * most + 7):
        origins.add(str(number), "x")
        assert len(origins) <= most
    known = [number for number in range(3 * most + 7) if origins.get(str(number))]
    assert known == list(range(3 * most + 7 - len(known), 3 * most + 7))
    assert len(known) > most * 3 // 4


def test_an_address_that_comes_late_joins_the_others() -> None:
    origins = Origins(80)
    origins.add("old", "x")
    for number in range(40):
        origins.add(str(number), "x")
    origins.add("old", "y")
    assert origins.get("old") == ("x", "y")
    origins.forget("3")
    assert origins.get("3") == ()


def test_copies_go_their_own_ways() -> None:
    origins = Origins(40)
    for number in range(33):
        origins.add(str(number), "x")
    copy = origins.copy()
    for number in range(100, 120):
        copy.add(str(number), "y")
    origins.add("32", "z")
    copy.forget("31")
    assert origins.get("100") == ()
    assert origins.get("32") == ("x", "z")
    assert origins.get("31") == ("x",)
    assert copy.get("32") == ("x",)
    assert copy.get("31") == ()
    assert len(copy) <= 40
