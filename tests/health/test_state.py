"""What keeps an agent from its work, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from bots.config import HealthSection
from bots.health.state import State, judge, unready

LIMITS = HealthSection(sync_seconds=120, outbox_seconds=300, delivery_seconds=3600)


def state(**changes: Any) -> State:
    """An agent that does well, but for the changes."""
    well: dict[str, Any] = {"uptime_s": 60.0, "online": True, "sync_age_s": 1.0, "rooms": 1, "encrypted_rooms": 0}
    return State(**(well | {"peers_live": 1, "folded": True, "engine": "ready", "models": 1} | changes))


def test_an_agent_that_does_well() -> None:
    verdict = judge(state(), LIMITS)
    assert (verdict.status, verdict.problems, verdict.warnings) == ("ok", (), ())
    assert unready(state(), LIMITS) == ()


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"sync_age_s": None}, "sync.never"),
        ({"sync_age_s": 120.5}, "sync.stale"),
        ({"outbox_waiting": 3, "outbox_oldest_s": 301.0}, "outbox.stuck"),
        ({"engine": "failed", "engine_detail": "The worker died."}, "engine.failed"),
        ({"engine": "failed"}, "engine.failed"),
        ({"disk_error": "The disk is full."}, "disk.unwritable"),
        ({"revoked": True}, "identity.revoked"),
        ({"standing": "revoked"}, "identity.revoked"),
        ({"standing": "disputed"}, "identity.disputed"),
        ({"barred": True}, "rooms.barred"),
        ({"device_lost": True}, "encryption.lost"),
    ],
)
def test_what_keeps_it_from_its_work(changes: dict[str, Any], code: str) -> None:
    verdict = judge(state(**changes), LIMITS)
    assert verdict.status == "failing"
    assert [finding.code for finding in verdict.problems] == [code]
    assert all(finding.text.endswith(".") for finding in verdict.problems)
    assert [finding.code for finding in unready(state(**changes), LIMITS)] == [code]


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"online": False}, "sync.offline"),
        ({"offline": ("matrix",)}, "transport.offline"),
        ({"given_up": ("matrix: The session was ended.",)}, "transport.failed"),
        ({"rooms": 0}, "rooms.none"),
        ({"rooms_left": 1}, "rooms.left"),
        ({"engine": "starting", "models": 0}, "engine.starting"),
        ({"models": 0}, "engine.no_model"),
        ({"outbox_refused": 2}, "outbox.refused"),
        ({"deliveries_waiting": 2, "deliveries_servers": 1, "deliveries_oldest_s": 3600.5}, "deliveries.stuck"),
        ({"audit_fault": "The disk is full."}, "audit.fault"),
        ({"audit_lost": 3}, "audit.lost"),
        ({"clock_ahead_s": 31.0}, "clock.off"),
        ({"clock_ahead_s": -3600.0}, "clock.off"),
        ({"undecryptable": 1}, "encryption.unreadable"),
        ({"decryption_failures": 4}, "encryption.unreadable"),
    ],
)
def test_what_is_worth_a_look_and_no_alarm(changes: dict[str, Any], code: str) -> None:
    """Anybody in a room can send what nobody can read: that must not put the agent out of service."""
    verdict = judge(state(**changes), LIMITS)
    assert (verdict.status, verdict.problems) == ("degraded", ())
    assert [finding.code for finding in verdict.warnings] == [code]


def test_just_within_the_limits_is_within_them() -> None:
    within = state(
        sync_age_s=120.0, outbox_waiting=1, outbox_oldest_s=300.0, deliveries_oldest_s=3600.0, clock_ahead_s=-30.0
    )
    assert judge(within, LIMITS).status == "ok"


@pytest.mark.parametrize(
    "changes, code",
    [({"stopping": True}, "stopping"), ({"folded": False}, "history"), ({"models": 0}, "engine.no_model")],
)
def test_healthy_and_yet_not_to_be_sent_work(changes: dict[str, Any], code: str) -> None:
    assert judge(state(**changes), LIMITS).problems == ()
    assert [finding.code for finding in unready(state(**changes), LIMITS)] == [code]


def test_an_agent_without_an_engine_lacks_no_model() -> None:
    assert unready(state(engine="none", models=0), LIMITS) == ()
    assert judge(state(engine="none", models=0), LIMITS).status == "ok"
