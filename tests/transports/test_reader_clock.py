"""A reader tells what came since its device was there by the time of servers: its own clock may be wrong."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest

from bots.transports.matrix.account import Account
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.encryption_machine import Machine
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.events import Header
from bots.transports.matrix.history import Event
from tests.transports.encryption_device import ROOM, raw

USER = "@reader:example.org"
NOW_S = 1_800_000_000


def device(directory: Path, date: str) -> Machine:
    """The reader's device, its homeserver having answered with this date last."""
    config = MatrixConfig(homeserver="https://example.org", user=USER, rooms=(), reads_only=True)
    account = Account(config, directory, lambda: "")
    account._heard(date, 0.1)
    return Machine(EncryptionStore(directory), account, USER)


def sent(at_s: float) -> Event:
    header = Header(type="m.room.message", sender="@other:example.org", event_id="$1")
    return header, raw({"origin_server_ts": round(at_s * 1000)})


@pytest.mark.parametrize("ahead_s", [3600, -3600], ids=["ahead", "behind"])
@pytest.mark.parametrize("dated", [True, False])
def test_what_came_since_is_told_from_what_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_s: int, dated: bool
) -> None:
    ours_s = NOW_S + (ahead_s if dated else 0)
    monkeypatch.setattr(time, "time_ns", lambda: ours_s * 1_000_000_000)
    date = formatdate(NOW_S, usegmt=True) if dated else "yesterday"
    first = device(tmp_path, date)
    assert not first.was_there(ROOM, sent(NOW_S - 60))
    first._store.close()
    monkeypatch.setattr(time, "time_ns", lambda: (NOW_S + 600) * 1_000_000_000)
    later = device(tmp_path, formatdate(NOW_S + 600, usegmt=True))
    assert later.was_there(ROOM, sent(NOW_S + 60))
    assert not later.was_there(ROOM, sent(NOW_S - 60))
    later._store.close()
