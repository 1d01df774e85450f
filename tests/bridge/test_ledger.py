"""What a bridge remembers is bounded, outlives it, and is shared fairly among those whose messages it carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from bots.bridge.ledger import Bounds, Copy, Ledger, Waiting
from bots.database import Database, Schema
from bots.store import Entry

HOLD_MS = 1_000
NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
_SCHEMA = Schema(7, ())


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "bridge.sqlite", _SCHEMA)
    yield database
    database.close()


def of(
    owner: str, number: int, *, task: str = "", context: bool = False, newcomer: bool = False, size: int = 10
) -> Waiting:
    name = f"{owner} {number}"
    entry = Entry(plane="room", room="r", carrier="c" * size, line=name, expires_ms=NOW_MS + DAY_MS)
    return Waiting(message=name, owner=owner, task=task, entry=entry, newcomer=newcomer, context=context)


def taken(ledger: Ledger, most: int = 100, now_ms: int = NOW_MS, side: str = "b") -> Sequence[str]:
    return [entry.line for entry in ledger.take(side, now_ms, most)]


def test_a_message_is_new_on_each_side_once(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    assert ledger.note("m", "a", "ada", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
    assert not ledger.note("m", "a", "bert", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
    assert not ledger.is_noted("m", "b")
    again = Ledger(file, HOLD_MS)
    assert again.is_noted("m", "a")
    assert again.note("m", "b", "bert", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)


def test_what_is_taken_is_noted_and_gone(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    ledger.add("b", of("ada", 1), NOW_MS)
    assert taken(Ledger(file, HOLD_MS)) == ["ada 1"]
    assert taken(ledger) == []
    assert ledger.is_noted("ada 1", "b")
    assert not ledger.is_noted("ada 1", "a")


def test_nothing_goes_before_its_time_but_who_sets_the_clock_back_holds_nothing_up(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    ledger.add("b", of("ada", 1), NOW_MS + HOLD_MS)
    assert taken(ledger, now_ms=NOW_MS + HOLD_MS - 1) == []
    assert taken(ledger, now_ms=NOW_MS - DAY_MS) == ["ada 1"]


def test_nobody_overtakes_himself(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    ledger.add("b", of("ada", 1), NOW_MS + HOLD_MS)
    ledger.add("b", of("ada", 2), NOW_MS + 1)
    ledger.add("b", of("bert", 1), NOW_MS + 2)
    assert taken(ledger, now_ms=NOW_MS + 2) == ["bert 1"]
    assert taken(ledger, now_ms=NOW_MS + HOLD_MS) == ["ada 1", "ada 2"]
    # What an hour that is over had due does not hold up what comes after it.
    ledger.add("b", of("ada", 3), NOW_MS + DAY_MS)
    ledger.add("b", of("ada", 4), NOW_MS)
    assert taken(ledger, now_ms=NOW_MS) == ["ada 3", "ada 4"]


def test_what_comes_by_another_way_is_withdrawn(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    for side in ("b", "c"):
        ledger.add(side, of("ada", 1), NOW_MS)
    assert ledger.withdraw("ada 1", "b")
    assert not ledger.withdraw("ada 1", "b")
    assert taken(ledger) == []
    assert taken(ledger, side="c") == ["ada 1"]


def test_all_take_turns_and_each_keeps_its_order(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    for number in range(6):
        ledger.add("b", of("flooder", number), NOW_MS)
    assert taken(ledger, 2) == ["flooder 0", "flooder 1"]
    for number in range(2):
        ledger.add("b", of("ada", number), NOW_MS)
    ledger.add("b", of("bert", 0), NOW_MS)
    order = [*taken(ledger, 3), *taken(ledger)]
    assert set(order[:3]) == {"flooder 2", "ada 0", "bert 0"}
    assert set(order[3:5]) == {"flooder 3", "ada 1"}
    assert order[5:] == ["flooder 4", "flooder 5"]


@pytest.mark.parametrize("bounds", [Bounds(waiting=10), Bounds(waiting_bytes=3_500)])
def test_when_too_much_waits_the_oldest_of_whoever_has_most_is_dropped(file: Database, bounds: Bounds) -> None:
    ledger = Ledger(file, HOLD_MS, bounds)
    ledger.add("b", of("ada", 0), NOW_MS)
    dropped = sum(ledger.add("b", of("flooder", number, size=200), NOW_MS) for number in range(50))
    assert dropped >= 40
    assert ledger.waiting("b") == 51 - dropped <= 10
    left = taken(ledger)
    assert "ada 0" in left
    assert "flooder 49" in left
    assert "flooder 0" not in left


def test_newcomers_however_many_leave_half_to_the_others(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS, Bounds(waiting=20))
    for number in range(40):
        ledger.add("b", of(f"new {number}", 0, newcomer=True), NOW_MS)
    assert not any(ledger.add("b", of("ada", number), NOW_MS) == 0 for number in range(10))
    ledger.add("b", of("new", 0, newcomer=True), NOW_MS)
    assert ledger.waiting("b") == 20
    assert [name.partition(" ")[0] for name in taken(ledger, 4)] == ["ada", "ada", "new", "new"]
    for number in range(10, 40):
        ledger.add("b", of("ada", number), NOW_MS)
    left = taken(ledger)
    assert sum(name.startswith("ada") for name in left) == len(left) - 8 == 12  # what newcomers do not need is free


def test_whoever_is_new_stays_so_while_something_waits(file: Database) -> None:
    """Or what is said later would come before what was said first."""
    ledger = Ledger(file, HOLD_MS)
    for number in range(4):
        ledger.add("b", of("ada", number, newcomer=number < 2), NOW_MS)
    assert taken(ledger) == [f"ada {number}" for number in range(4)]


@pytest.mark.parametrize("sign", [1, -1])
def test_it_does_not_matter_what_anybody_is_called(file: Database, sign: int) -> None:
    ledger = Ledger(file, HOLD_MS, Bounds(waiting=10, seen=100, forgotten_at_once=10))
    names = [f"owner {number:03}" for number in range(200)][::sign]
    for name in names:
        ledger.add("b", of(name, 0), NOW_MS)
        ledger.note(name, "a", name, Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
    assert taken(ledger) == [f"{name} 0" for name in names[:10]]  # who came last makes room
    assert all(ledger.is_noted(name, "a") for name in names[-90:])


def test_a_copy_that_counts_is_news_beside_one_that_does_not(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    assert ledger.note("m", "a", "mallory", Copy.ANYBODYS, NOW_MS + DAY_MS, NOW_MS)
    assert not ledger.note("m", "a", "eve", Copy.ANYBODYS, NOW_MS + DAY_MS, NOW_MS)
    assert (ledger.is_noted("m", "a"), ledger.is_noted("m", "a", Copy.OURS)) == (True, False)
    assert ledger.note("m", "a", "ada", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
    assert not ledger.note("m", "a", "mallory", Copy.ANYBODYS, NOW_MS + DAY_MS, NOW_MS)
    assert ledger.is_noted("m", "a", Copy.OURS)


def test_of_what_was_seen_first_what_has_expired_is_forgotten(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS, Bounds(seen=100, forgotten_at_once=10))
    for number in range(50):
        ledger.note(f"old {number}", "a", "ada", Copy.COUNTS, NOW_MS, NOW_MS - 1)
    for number in range(50):
        ledger.note(f"young {number}", "a", "ada", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS - 1)
    ledger.note("new", "a", "ada", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
    assert not ledger.is_noted("old 49", "a")
    assert all(ledger.is_noted(f"young {number}", "a") for number in range(50))


def test_and_then_the_oldest_of_whoever_brought_most(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS, Bounds(seen=100, forgotten_at_once=10))
    for number in range(20):
        ledger.note(f"ada {number}", "a", "ada", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
    with file.transaction():
        for number in range(500):
            ledger.note(f"flood {number}", "a", "flooder", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)
            assert file.value("SELECT count(*) FROM bridge_seen") <= 100
    assert all(ledger.is_noted(f"ada {number}", "a") for number in range(20))
    assert ledger.is_noted("flood 499", "a")
    assert Ledger(file, HOLD_MS).note("another", "a", "ada", Copy.COUNTS, NOW_MS + DAY_MS, NOW_MS)


def test_the_past_waits_until_it_is_known_what_of_it_matters(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    for number, task in enumerate(("", "open", "over")):
        ledger.add("b", of("ada", number, task=task, context=True), NOW_MS)
    ledger.add("b", of("bert", 0), NOW_MS)
    assert taken(ledger) == ["bert 0"]
    assert Ledger(file, HOLD_MS).settle(lambda message, task: task != "over") == 1
    assert taken(ledger) == ["ada 0", "ada 1"]
    assert ledger.settle(lambda message, task: True) == 0


def test_an_entry_is_kept_as_it_is(file: Database) -> None:
    ledger = Ledger(file, HOLD_MS)
    entry = Entry(
        plane="room", room="r", carrier='{"a": "é\\u0000"}', line="ä\u2028", conversation="t", alone=True, priority=1
    )
    ledger.add("b", msgspec.structs.replace(of("ada", 1), entry=entry), NOW_MS)
    assert list(ledger.take("b", NOW_MS, 1)) == [entry]
