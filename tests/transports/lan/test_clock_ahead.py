"""How far ahead another host's clock is, when all that is known is what it told while we waited (LAN-12)."""

from __future__ import annotations

import pytest

from bots.transports.lan.following import clock_ahead_ms

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    "told_ms, came_ms, ahead_ms",
    [
        pytest.param(1000, 1000, 0, id="at once"),
        pytest.param(1000, 1900, 0, id="an answer that took long to come"),
        pytest.param(1900, 1900, 0, id="a question that took long to get there"),
        pytest.param(1000 + HOUR_MS, 1400, HOUR_MS - 400, id="ahead"),
        pytest.param(1400 - HOUR_MS, 1400, 400 - HOUR_MS, id="behind"),
    ],
)
def test_the_smallest_difference_that_is_possible(told_ms: int, came_ms: int, ahead_ms: int) -> None:
    asked_ms = 1000
    assert clock_ahead_ms(told_ms, asked_ms, came_ms) == ahead_ms
    assert told_ms - came_ms <= ahead_ms <= told_ms - asked_ms
