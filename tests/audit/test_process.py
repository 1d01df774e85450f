"""A real process writes the log, and the kernel ends it, or the room on its disk."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bots.audit.records import Mended, Signed, Stopped
from tests.audit.logs import Owner
from tests.audit.writer import RECORDS

CHECKOUT = Path(__file__).resolve().parents[2]


def write(folder: Path, action: str, size: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.audit.writer", str(folder), action, str(size)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("size", [1, 500, 1234, 3333, 7001])
def test_killed_in_the_middle_of_a_write_nothing_whole_is_lost(tmp_path: Path, size: int) -> None:
    Owner(tmp_path)
    assert write(tmp_path, "kill", size).returncode == -signal.SIGKILL
    owner = Owner(tmp_path)
    before = b"".join(path.read_bytes() for path in owner.files)
    assert len(before) == size
    whole = before[: before.rfind(b"\n") + 1]
    if whole.count(b"\n") > 2:  # from its first signature on
        report = owner.check()
        assert report.intact
        assert report.incomplete_bytes == size - len(whole)
    owner.run(1)
    after = b"".join(path.read_bytes() for path in owner.files)
    assert after.startswith(whole)
    assert owner.check().intact and not owner.check().incomplete_bytes
    (mended,) = [entry for entry in owner.entries() if isinstance(entry, Mended)]
    assert mended.cut_bytes == size - len(whole)


def test_killed_again_and_again(tmp_path: Path) -> None:
    for size in (900, 901, 902):
        assert write(tmp_path, "kill", size).returncode == -signal.SIGKILL
    owner = Owner(tmp_path)
    owner.run(1)
    assert owner.check().intact
    assert sum(isinstance(entry, Stopped) for entry in owner.entries()) == 1


def test_a_disk_without_room_stops_nothing_and_loses_nothing(tmp_path: Path) -> None:
    done = write(tmp_path, "fill", 4000)
    assert (done.returncode, done.stderr.count("cannot be written")) == (0, 1)
    assert "File too large" in done.stdout
    owner = Owner(tmp_path)
    report = owner.check()
    assert report.intact and not report.incomplete_bytes
    assert sum(isinstance(entry, Signed) for entry in owner.entries()) == RECORDS
