"""Log lines about others, few whatever they do."""

from __future__ import annotations

import logging

import pytest

from bots.complaints import Complaints

log = logging.getLogger(__name__)


class Clock:
    now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def test_one_who_floods_is_told_of_a_few_times_and_then_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    complaints = Complaints(log, clock)
    for number in range(1000):
        complaints.say(logging.WARNING, "rogue", "refused %d", number, extra={"address": "rogue"})
    complaints.say(logging.INFO, "alice", "refused %d", 1000, extra={})
    assert caplog.messages == [f"refused {number}" for number in (*range(20), 1000)]
    clock.now_ms += 60_000
    complaints.say(logging.INFO, "rogue", "again", extra={})
    assert caplog.messages[21:] == ["980 more lines were left out, 980 of them about rogue", "again"]


def test_many_who_flood_do_not_fill_the_log_either(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    complaints = Complaints(log, clock)
    for number in range(10_000):
        complaints.say(logging.WARNING, f"rogue {number % 1000}", "refused", extra={})
    assert len(caplog.messages) == 100
    clock.now_ms -= 1  # a clock that was set back
    complaints.say(logging.WARNING, "alice", "refused", extra={})
    assert len(caplog.messages) == 102
    assert "9900 more lines were left out" in caplog.messages[100]
