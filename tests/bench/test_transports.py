"""The rows of the transports, with so few messages that no figure means anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from bots.homeserver import Homeserver
from tests.bench import Report
from tests.bench.transports import KINDS, Counts, measure
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.transports.worlds import WORLDS, Parts

_FEW = Counts(latencies=3, rounds=1, messages=4)


@pytest.mark.parametrize("name", sorted(KINDS))
async def test_every_transport_stands_beside_its_bare_protocol(
    name: str,
    homeserver: Homeserver,
    new_account: NewAccount,
    new_client: NewClient,
    new_room: NewRoom,
    tmp_path: Path,
) -> None:
    report = Report(lambda row: None)
    await measure(name, tmp_path, Parts(homeserver, new_account, new_client, new_room), report, _FEW)
    assert [row.name.removeprefix(f"{name}, ") for row in report.rows] == [
        "room",
        "room, 16 in an event",
        "room, p50",
        "room, p95",
        "direct, p50",
        "direct, p95",
    ]
    for row in report.rows:
        assert row.yardstick == KINDS[name].yardstick and row.yardstick_figure is not None
        assert row.figure > 0 and row.ratio is not None and row.ratio > 0


def test_none_is_left_out() -> None:
    assert set(KINDS) == set(WORLDS)
