"""What keeps a bridge from its work, what does not, and its page of metrics."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bots.bridge.counts import SideCounts
from bots.config import HealthSection
from bots.health.carrying import Crossing, exposition, judge, unready
from clawnet_proto.specification import ERRORS

LIMITS = HealthSection(sync_seconds=120, outbox_seconds=300, delivery_seconds=3600)


def side(**changes: Any) -> SideCounts:
    """A side that does well, but for the changes."""
    well: dict[str, Any] = {"carried": 7, "waiting": 0, "there": 2, "dropped": 0, "refused": 0, "online": True}
    return SideCounts(**(well | {"offline_s": 0.0, "oldest_s": 0.0, "caught_up": True} | changes))


def away(offline_s: float, **changes: Any) -> SideCounts:
    return side(**({"online": False, "offline_s": offline_s} | changes))


def crossing(http: SideCounts | None = None, **changes: Any) -> Crossing:
    """A bridge that does well, but for the changes."""
    well: dict[str, Any] = {"uptime_s": 60.0, "carries": True, "sides": {"matrix": side(), "http": http or side()}}
    return Crossing(**(well | changes))


def samples(state: Crossing) -> dict[str, float]:
    """Every sample of the page, by its name and labels as they stand there."""
    found = {}
    for family in text_string_to_metric_families(exposition(state, judge(state, LIMITS)).decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found
            found[key] = sample.value
    return found


def test_a_bridge_that_does_well() -> None:
    verdict = judge(crossing(), LIMITS)
    assert (verdict.status, verdict.problems, verdict.warnings) == ("ok", (), ())
    assert unready(crossing(), LIMITS) == ()


@pytest.mark.parametrize(
    "state, code, text",
    [
        (crossing(disk_error="The disk is full."), "disk.unwritable", "The disk is full."),
        (crossing(side(caught_up=False)), "sync.never", "Nothing was received so far from: http."),
        (crossing(away(500.0, caught_up=False)), "sync.never", "Nothing was received so far from: http."),
        (crossing(away(120.6)), "sync.stale", "http was last reached 121 s ago."),
        (
            crossing(side(waiting=3, oldest_s=301.0)),
            "outbox.stuck",
            "3 messages wait for http, the oldest in its queue for 301 s.",
        ),
    ],
)
def test_what_keeps_it_from_its_work(state: Crossing, code: str, text: str) -> None:
    verdict = judge(state, LIMITS)
    assert (verdict.status, verdict.warnings) == ("failing", ())
    assert [(finding.code, finding.text) for finding in verdict.problems] == [(code, text)]
    assert [finding.code for finding in unready(state, LIMITS)] == [code]


@pytest.mark.parametrize(
    "state, code, text",
    [
        (crossing(away(120.0)), "transport.offline", "Not reached just now: http."),
        # What waits for a side that is away is no other fault.
        (crossing(away(1.0, waiting=3, oldest_s=301.0)), "transport.offline", "Not reached just now: http."),
        (
            crossing(side(refused=2)),
            "outbox.refused",
            "Messages that the other side will never take: 2 for http.",
        ),
        (
            crossing(side(dropped=5)),
            "outbox.dropped",
            "Messages that were dropped, for too many waited: 5 for http.",
        ),
        (
            crossing(deliveries_waiting=4, deliveries_servers=2, deliveries_oldest_s=3600.6),
            "deliveries.stuck",
            "4 deliveries wait for 2 servers, the oldest for 3601 s.",
        ),
    ],
)
def test_what_is_worth_a_look_and_no_alarm(state: Crossing, code: str, text: str) -> None:
    verdict = judge(state, LIMITS)
    assert (verdict.status, verdict.problems) == ("degraded", ())
    assert [(finding.code, finding.text) for finding in verdict.warnings] == [(code, text)]
    assert unready(state, LIMITS) == ()


def test_just_within_the_limits_is_within_them() -> None:
    within = crossing(side(waiting=2048, oldest_s=300.0), deliveries_waiting=1, deliveries_oldest_s=3600.0)
    assert judge(within, LIMITS).status == "ok"


def test_who_may_carry_more_than_others_is_no_fault() -> None:
    assert judge(crossing(limited=9, not_carried={"time.expired": 3}), LIMITS).status == "ok"


def test_every_side_that_fails_is_named() -> None:
    verdict = judge(crossing(sides={"matrix": away(200.0), "http": away(300.0)}), LIMITS)
    assert [finding.text for finding in verdict.problems] == [
        "matrix was last reached 200 s ago. http was last reached 300 s ago."
    ]


@pytest.mark.parametrize("changes, code", [({"stopping": True}, "stopping"), ({"carries": False}, "history")])
def test_healthy_and_yet_it_does_not_carry(changes: dict[str, Any], code: str) -> None:
    assert judge(crossing(**changes), LIMITS).problems == ()
    assert [finding.code for finding in unready(crossing(**changes), LIMITS)] == [code]


def test_every_number_is_on_the_page() -> None:
    http = away(130.0, waiting=3, oldest_s=4.5, dropped=1, refused=2)
    found = samples(crossing(http, limited=6, not_carried={"time.expired": 3}, deliveries_waiting=8))
    assert found["clawnet_bridge_carried_total{side=matrix}"] == 7
    assert found["clawnet_bridge_there_total{side=http}"] == 2
    assert found["clawnet_bridge_waiting{side=http}"] == 3
    assert found["clawnet_bridge_oldest_seconds{side=http}"] == 4.5
    assert found["clawnet_bridge_dropped_total{side=http}"] == 1
    assert found["clawnet_bridge_refused_total{side=http}"] == 2
    assert found["clawnet_bridge_online{side=matrix}"] == found["clawnet_bridge_caught_up{side=http}"] == 1
    assert found["clawnet_bridge_online{side=http}"] == 0
    assert found["clawnet_bridge_offline_seconds{side=http}"] == 130
    assert found["clawnet_bridge_limited_total"] == 6
    assert found["clawnet_bridge_not_carried_total{code=time.expired}"] == 3
    assert found["clawnet_deliveries_waiting"] == 8
    assert found["clawnet_ready"] == found["clawnet_disk_writable"] == 1
    assert found["clawnet_healthy"] == 0 and found["clawnet_problem{code=sync.stale}"] == 1
    assert found["clawnet_uptime_seconds"] == 60
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_strangers_cannot_make_series() -> None:
    before = len(samples(crossing()))
    words = {f"word {number}": 1 for number in range(1000)}
    found = samples(crossing(not_carried=words | {next(iter(ERRORS)): 1}))
    assert found["clawnet_bridge_not_carried_total{code=other}"] == 1000
    assert len(found) == before + 2
