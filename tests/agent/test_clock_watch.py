"""What a homeserver's answers say of our clock, and when people are told."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from bots.clock import SYSTEM
from bots.clock_watch import OFF_MS, ClockWatch, fault_of

SERVER_MS = 1_767_225_600_000
HOUR_MS = 3_600_000


class Machine:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self.passed_ms = 5_000

    def now_ms(self) -> int:
        return SERVER_MS + self.passed_ms + self.ahead_ms

    def monotonic_ms(self) -> int:
        return self.passed_ms

    def date(self, wrong_ms: int = 0) -> str:
        """The header of an answer that was made now."""
        moment = (SERVER_MS + self.passed_ms + wrong_ms) // 1000
        return format_datetime(datetime.fromtimestamp(moment, UTC), usegmt=True)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def watch(machine: Machine, told: list[str]) -> ClockWatch:
    return ClockWatch(machine, told.append)


def hear(watch: ClockWatch, machine: Machine, count: int = 3, **wrong: int) -> None:
    for _ in range(count):
        watch.answered(machine.date(**wrong), 0.2)
        machine.passed_ms += 1_700


def test_nothing_is_said_before_three_answers_came(watch: ClockWatch, machine: Machine) -> None:
    machine.ahead_ms = HOUR_MS
    hear(watch, machine, 2)
    assert (watch.ahead_ms, watch.fault) == (None, "")
    hear(watch, machine, 1)
    assert watch.fault


@pytest.mark.parametrize("ahead_ms", [0, 20_000, -20_000, HOUR_MS, -HOUR_MS])
def test_it_is_known_to_about_a_second(watch: ClockWatch, machine: Machine, ahead_ms: int) -> None:
    machine.ahead_ms = ahead_ms
    hear(watch, machine, 5)
    assert watch.ahead_ms == pytest.approx(ahead_ms, abs=1_000)
    assert bool(watch.fault) == (abs(ahead_ms) > OFF_MS)


def test_a_clock_that_is_set_is_judged_at_once(watch: ClockWatch, machine: Machine, told: list[str]) -> None:
    """Without waiting for another answer: people are told once of each change."""
    hear(watch, machine)
    watch.look()
    assert told == []
    machine.ahead_ms = -HOUR_MS
    for _ in range(3):
        watch.look()
    (sentence,) = told
    assert "60 minutes behind" in sentence
    machine.ahead_ms = 0
    for _ in range(3):
        watch.look()
    assert told[1:] == ["The clock of this machine agrees with the homeserver's again."]


def test_some_wrong_answers_among_many_change_nothing(watch: ClockWatch, machine: Machine) -> None:
    hear(watch, machine, 5)
    hear(watch, machine, 4, wrong_ms=-HOUR_MS)
    assert watch.ahead_ms == pytest.approx(0, abs=1_000)


def test_a_server_whose_clock_is_put_right_is_believed_again(watch: ClockWatch, machine: Machine) -> None:
    hear(watch, machine, 9, wrong_ms=HOUR_MS)
    assert watch.fault
    hear(watch, machine, 5)
    assert not watch.fault


def test_an_answer_that_was_long_under_way_says_nothing(watch: ClockWatch, machine: Machine) -> None:
    for _ in range(9):
        watch.answered(machine.date(), 30.0)
    assert watch.ahead_ms is None


@pytest.mark.parametrize(
    "date",
    ["", "now", "Thu, 99 Foo 2026 25:00:00 GMT", "x" * 10_000, "Thu, 01 Jan 99999 00:00:00 GMT"],
)
def test_what_is_no_date_is_passed_over(watch: ClockWatch, date: str) -> None:
    for _ in range(9):
        watch.answered(date, 0.1)
    assert watch.ahead_ms is None


@pytest.mark.parametrize(
    "ahead_ms, words",
    [
        (31_000, "31 seconds ahead of"),
        (-90_000, "90 seconds behind"),
        (150_000, "2 minutes ahead of"),
        (HOUR_MS, "60 minutes ahead of"),
        (-5 * HOUR_MS, "5 hours behind"),
        (-72 * HOUR_MS, "3 days behind"),
    ],
)
def test_how_far_it_is_off_in_words(ahead_ms: int, words: str) -> None:
    assert f"is {words} the homeserver's" in fault_of(ahead_ms)
    assert len(fault_of(ahead_ms)) <= 300  # it fits into the receipt of a task


def test_the_clocks_of_this_machine() -> None:
    first, then = SYSTEM.monotonic_ms(), SYSTEM.monotonic_ms()
    assert first <= then
    assert SYSTEM.now_ms() > SERVER_MS
