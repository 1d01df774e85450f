"""An audit log is bounded, goes on after whatever ended the run before, and never stops the agent."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from bots.audit.chain import read_line, write_line
from bots.audit.files import HEAD
from bots.audit.records import AnyEntry, Checkpoint, Lost, Mended, Segment, Signed, Started
from clawnet_proto.signing import digest
from tests.audit.logs import BIG, Owner, lines_of

SMALL = 8 * 4096


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def read_all(path: Path) -> list[AnyEntry]:
    return [read_line(line)[0] for line in lines_of(path)]


class FaultyDisk:
    """Takes ``room`` bytes, the last of them in the middle of a line, and then no more until there is room again."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.tried = 0

    def __call__(self, handle: int, data: bytes) -> int:
        self.tried += 1
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = os.write(handle, data[: self.room])
        self.room -= taken
        return taken


def test_files_and_folders_are_for_their_owner_alone(owner: Owner) -> None:
    owner.folder = owner.folder / "z6Mk"
    old = os.umask(0)
    try:
        owner.run(1)
    finally:
        os.umask(old)
    for folder in (owner.folder, owner.folder.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in owner.folder.iterdir()} == {0o600}


def test_runs_follow_one_another_in_one_chain(owner: Owner) -> None:
    for _ in range(3):
        owner.run(2)
    assert owner.check().intact
    assert len(owner.files) == 1
    assert [entry.seq for entry in owner.entries()] == list(range(1, owner.check().last + 1))


def test_after_so_many_records_they_are_signed(owner: Owner) -> None:
    log = owner.open(16 * BIG)
    for _ in range(4500):
        log.append(owner.said())
    assert log.health.unsigned == 500 == owner.check().unsigned
    log.close()


def test_nothing_is_signed_twice_when_nothing_is_new(owner: Owner) -> None:
    log = owner.open()
    for _ in range(3):
        log.checkpoint()
    assert sum(isinstance(entry, Checkpoint) for entry in owner.entries()) == 2
    log.close()


class TestSegments:
    def test_a_full_segment_is_followed_by_another_that_continues_the_chain(self, owner: Owner) -> None:
        owner.run(60, SMALL)
        assert len(owner.files) > 3
        report = owner.check()
        assert report.intact and report.first == 1
        for path in owner.files:
            assert path.stat().st_size < 4096 + 1024

    def test_the_oldest_are_removed_and_the_log_says_so(self, owner: Owner) -> None:
        for _ in range(10):
            owner.run(50, SMALL)
            assert sum(path.stat().st_size for path in owner.files) < SMALL + 1024
        report = owner.check()
        assert report.intact
        assert report.first > 1
        newest = [entry for entry in owner.entries() if isinstance(entry, Segment)][-1]
        assert newest.oldest == report.first

    def test_whoever_removes_more_than_the_log_did_is_found_out(self, owner: Owner) -> None:
        owner.run(400, SMALL)
        owner.files[0].unlink()
        report = owner.check()
        assert report.fault is not None and report.fault.code == "beginning_cut"

    def test_a_segment_removed_from_the_middle_is_missed(self, owner: Owner) -> None:
        owner.run(60, SMALL)
        owner.files[1].unlink()
        assert owner.fault() == ("missing", 1)

    def test_a_segment_removed_from_the_end_is_missed(self, owner: Owner) -> None:
        owner.run(60, SMALL)
        owner.files[-1].unlink()
        assert owner.fault()[0] == "end_cut"


class TestAfterACut:
    def test_an_incomplete_line_is_cut_off_and_said(self, owner: Owner) -> None:
        log = owner.open()
        log.append(owner.said())
        (path,) = owner.files
        torn = b'{"kind":"signed","seq":7,"at_ms":17900000'
        with path.open("ab") as file:
            file.write(torn)
        owner.run(1)
        assert owner.check().intact
        (mended,) = [entry for entry in owner.entries() if isinstance(entry, Mended)]
        assert (mended.cut_bytes, mended.digest, mended.unreadable) == (len(torn), digest(torn), False)
        assert mended.seq == 8  # the keys come first, then it

    def test_records_that_were_not_signed_are_counted_before_they_are(self, owner: Owner) -> None:
        log = owner.open()
        for _ in range(3):
            log.append(owner.said())
        assert owner.check().found_unsigned == 0
        owner.run(1)
        report = owner.check()
        assert report.intact and report.found_unsigned == 3
        (mended,) = [entry for entry in owner.entries() if isinstance(entry, Mended)]
        assert (mended.unsigned, mended.cut_bytes, mended.unreadable) == (3, 0, False)
        owner.run(1)
        assert owner.check().found_unsigned == 3

    def test_what_somebody_without_a_key_put_in_their_place_is_never_signed_in_silence(self, owner: Owner) -> None:
        log = owner.open()
        log.append(owner.said())
        (path,) = owner.files
        *whole, _ = lines_of(path)
        (*_, (last, link, _)) = map(read_line, whole)
        forged = []
        for seq in (last.seq + 1, last.seq + 2):
            entry = owner.said()
            entry.seq = seq
            line, link = write_line(link, entry)
            forged.append(line)
        path.write_bytes(b"".join([*whole, *forged]))
        owner.run(1)
        report = owner.check()
        assert report.intact and report.found_unsigned == 2

    def test_a_segment_that_had_no_signature_yet_counts_with_the_one_before(self, owner: Owner) -> None:
        log = owner.open(SMALL)
        while len(owner.files) == 1:
            log.append(owner.said())
        first, second = owner.files
        second.write_bytes(lines_of(second)[0])
        after = [isinstance(entry, Checkpoint) for entry in reversed(read_all(first))].index(True)
        owner.run(1, SMALL)
        assert after and owner.check().found_unsigned == after + 1

    def test_coming_back_to_ones_own_records_counts_nothing(self, owner: Owner) -> None:
        disk = FaultyDisk(BIG)
        log = owner.open(SMALL, disk)
        while owner.files[-1].stat().st_size < SMALL // 8:
            log.append(owner.said())
        disk.room = 0
        log.append(owner.said())
        disk.room = BIG
        owner.now_ms += 1000
        log.close()
        report = owner.check()
        assert len(owner.files) == 2 and report.intact and report.found_unsigned == 0

    def test_what_cannot_be_read_is_said_once_however_often_the_disk_fails(self, owner: Owner) -> None:
        owner.run(1)
        (path,) = owner.files
        path.write_bytes(path.read_bytes()[:-20] + b"?" * 19 + b"\n{")
        disk = FaultyDisk(0)
        log = owner.open(write=disk)
        for _ in range(5):
            owner.now_ms += 1000
            log.retry()
        disk.room = BIG
        log.close()
        (mended,) = [entry for entry in read_all(owner.files[1]) if isinstance(entry, Mended)]
        assert mended.unreadable and mended.cut_bytes == 1

    @pytest.mark.parametrize("cut", range(1, 330, 29))
    def test_wherever_the_last_line_was_cut(self, owner: Owner, cut: int) -> None:
        log = owner.open()
        log.append(owner.said())
        (path,) = owner.files
        last = lines_of(path)[-1]
        os.truncate(path, path.stat().st_size - min(cut, len(last)))
        owner.run(1)
        report = owner.check()
        assert report.intact and not report.incomplete_bytes
        cuts = [entry.cut_bytes for entry in owner.entries() if isinstance(entry, Mended)]
        assert cuts == ([len(last) - cut] if cut < len(last) else [])

    def test_a_whole_line_is_never_cut_off_whatever_it_holds(self, owner: Owner) -> None:
        owner.run(1)
        (path,) = owner.files
        damaged = path.read_bytes().replace(b'"kind":"stopped"', b'"kind":"Stopped"')
        path.write_bytes(damaged[:-20] + b"?" * 19 + b"\n")
        before = path.read_bytes()
        owner.run(1)
        assert path.read_bytes() == before
        assert len(owner.files) == 2
        assert any(isinstance(entry, Mended) and entry.unreadable for entry in read_all(owner.files[1]))
        assert not owner.check().intact

    def test_a_segment_that_was_just_being_begun(self, owner: Owner) -> None:
        owner.run(1)
        last = owner.check().last
        (owner.folder / f"{last + 1:012}.jsonl").write_bytes(b'{"kind":"segm')
        owner.run(1)
        assert owner.check().intact and len(owner.files) == 1

    def test_a_head_that_was_not_written_any_more(self, owner: Owner) -> None:
        log = owner.open()
        old = (owner.folder / HEAD).read_bytes()
        log.append(owner.said())
        log.checkpoint()
        (owner.folder / HEAD).write_bytes(old)
        assert owner.check().intact
        owner.run(1)
        assert owner.check().intact
        log.close()


class TestAFullDisk:
    def test_the_agent_goes_on_and_hears_of_it_once(self, owner: Owner) -> None:
        disk = FaultyDisk(3000)
        log = owner.open(write=disk)
        for _ in range(50):
            log.append(owner.said())
            owner.now_ms += 100
        (sentence,) = owner.told
        assert "No space left on device" in sentence and "goes on" in sentence
        assert log.health.waiting > 30 and log.health.fault in sentence
        assert owner.check().intact and not owner.check().incomplete_bytes

    def test_what_waited_is_written_in_order_once_there_is_room(self, owner: Owner) -> None:
        disk = FaultyDisk(3000)
        log = owner.open(write=disk)
        given = [owner.said() for _ in range(50)]
        for record in given:
            log.append(record)
        disk.room = 1 << 20
        owner.now_ms += 1000
        log.retry()
        assert not log.health.waiting and not log.health.fault
        assert "written again" in owner.told[-1]
        log.close()
        assert owner.check().intact
        assert [e.id for e in owner.entries() if isinstance(e, Signed)] == [record.id for record in given]

    def test_it_is_not_tried_with_every_record(self, owner: Owner) -> None:
        disk = FaultyDisk(0)
        log = owner.open(write=disk)
        tried = disk.tried
        for _ in range(1000):
            log.append(owner.said())
        assert disk.tried == tried

    def test_a_clock_that_is_set_back_holds_nothing_up(self, owner: Owner) -> None:
        disk = FaultyDisk(0)
        log = owner.open(write=disk)
        owner.now_ms -= 3_600_000
        disk.room = 1 << 20
        log.retry()
        assert not log.health.fault
        log.close()

    def test_what_is_too_much_to_keep_is_counted(self, owner: Owner) -> None:
        disk = FaultyDisk(0)
        log = owner.open(write=disk)
        for _ in range(5000):
            log.append(owner.said())
        assert log.health.waiting == 4096 and log.health.lost == 5001 - 4096
        disk.room = 1 << 24
        log.close()
        report = owner.check()
        assert report.intact
        assert [entry.count for entry in owner.entries() if isinstance(entry, Lost)] == [905]

    @pytest.mark.parametrize("room", range(0, 2600, 131))
    def test_wherever_the_room_ends(self, tmp_path: Path, room: int) -> None:
        owner, disk = Owner(tmp_path), FaultyDisk(room)
        log = owner.open(8 * 2048, write=disk)
        for _ in range(8):
            log.append(owner.said())
        disk.room = 1 << 20
        log.close()
        report = owner.check()
        assert report.intact and not report.incomplete_bytes
        assert sum(isinstance(entry, Signed) for entry in owner.entries()) == 8
        assert sum(isinstance(entry, Started) for entry in owner.entries()) == 1

    def test_a_head_that_cannot_be_written_is_a_fault_until_it_can(self, owner: Owner) -> None:
        log = owner.open()
        in_the_way = owner.folder / f"{HEAD}.new"
        in_the_way.mkdir()
        for _ in range(3):
            log.append(owner.said())
            log.checkpoint()
            owner.now_ms += 1000
        assert len(owner.told) == 1 and log.health.fault
        assert owner.check().intact  # the head is an older one
        in_the_way.rmdir()
        log.retry()
        assert "written again" in owner.told[-1] and not log.health.fault
        assert (owner.folder / HEAD).read_bytes() == lines_of(owner.files[0])[-1]
        log.close()

    def test_a_folder_that_cannot_be_made_stops_nothing(self, owner: Owner) -> None:
        owner.folder.write_text("in the way")
        log = owner.open()
        log.append(owner.said())
        assert "File exists" in log.health.fault
        owner.folder.unlink()
        log.close()
        assert owner.check().intact


def test_half_a_character_in_a_name_costs_that_record_alone(owner: Owner) -> None:
    log = owner.open()
    broken = owner.said()
    broken.room = "matrix:r/\ud800"
    log.append(broken)
    log.append(owner.said())
    log.close()
    assert owner.check().intact
    assert sum(isinstance(entry, Signed) for entry in owner.entries()) == 1
    assert sum(isinstance(entry, Lost) for entry in owner.entries()) == 1
