"""A recording is read up to its first fault, which is named, and never past it."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clawnet_proto.transcript import Entry, read
from tui import recording as recording_module
from tui.arrivals import Arrival
from tui.recorder import Recorder
from tui.recording import LINE_BYTES, Fault, Recording
from tui.sources import SourceError
from tui.sources.synthetic import events

START_MS = 1_800_000_000_000
ARRIVALS = list(islice(events(agents=8, seed=5, start_ms=START_MS), 300))


def write(path: Path, arrivals: list[Arrival]) -> Path:
    recorder = Recorder(path, created_ms=START_MS, recorder="matrix:u/you:clawnet.example")
    for arrival in arrivals:
        recorder.record(arrival)
    recorder.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "room.jsonl", ARRIVALS)


def everything(recording: Recording, most: int = 17) -> list[Arrival]:
    found: list[Arrival] = []
    while part := recording.read(len(found), most):
        found += part
    return found


def opened_and_read(path: Path) -> tuple[list[Arrival], Fault | None]:
    recording = Recording.open(path)
    try:
        found = everything(recording)
        assert len(recording) == recording.checked == len(found)
        return found, recording.fault
    finally:
        recording.close()


# --- whole ---


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_what_was_written_is_read(path: Path, most: int) -> None:
    recording = Recording.open(path)
    assert len(recording) == len(ARRIVALS)
    assert recording.checked == 0
    assert recording.header.recorder == "matrix:u/you:clawnet.example"
    assert everything(recording, most) == ARRIVALS
    assert recording.checked == len(ARRIVALS)
    assert recording.fault is None
    recording.close()


def test_it_is_a_transcript_that_only_its_owner_can_read(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    records = [record for _, record in read(path.read_bytes().splitlines(keepends=True))][1:]
    assert all(isinstance(record, Entry) for record in records)
    assert len(records) == len(ARRIVALS)


def test_times_are_known_before_and_after_the_lines_are_checked(path: Path) -> None:
    recording = Recording.open(path)
    times = [arrival.received_ms for arrival in ARRIVALS]
    assert [recording.received_ms(index) for index in range(len(recording))] == times
    recording.read(0, 100)
    assert [recording.received_ms(index) for index in range(len(recording))] == times
    assert recording.position_at(times[0] - 1) == 0
    assert recording.position_at(times[150]) == max(i for i, ms in enumerate(times, 1) if ms <= times[150])
    assert recording.position_at(times[-1] + 1) == len(ARRIVALS)
    recording.close()


def test_any_part_can_be_read_again(path: Path) -> None:
    recording = Recording.open(path)
    everything(recording)
    for start, most in ((299, 5), (0, 3), (120, 60), (299, 1), (300, 1), (5000, 1)):
        assert list(recording.read(start, most)) == ARRIVALS[start : start + most]
    recording.close()


def test_what_lies_beyond_the_checked_part_is_not_taken(path: Path) -> None:
    recording = Recording.open(path)
    recording.read(0, 10)
    with pytest.raises(ValueError, match="not checked"):
        recording.read(11, 1)
    recording.close()


def test_long_lines_are_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "_SLICE_BYTES", 3000)
    recording = Recording.open(write(tmp_path / "long", ARRIVALS))
    sizes: list[int] = []
    while part := recording.read(sum(sizes), 100):
        sizes.append(len(part))
    assert sum(sizes) == len(ARRIVALS)
    assert 1 <= min(sizes) <= max(sizes) < 10
    recording.close()


def test_a_recording_without_events_is_whole(tmp_path: Path) -> None:
    assert opened_and_read(write(tmp_path / "short", [])) == ([], None)


# --- damaged ---


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def flipped(line: bytes) -> bytes:
    place = line.index(b'"received_ms":') + 16
    return line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :]


DAMAGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int, str]] = {
    "cut off in the last line": (lambda ls: [*ls[:-1], ls[-1][:-20]], 301, "cut off"),
    "the last line feed is lost": (lambda ls: [*ls[:-1], ls[-1][:-1]], 301, "cut off"),
    "cut off in the middle": (lambda ls: [*ls[:100], ls[100][:50]], 101, "cut off"),
    "a changed figure": (lambda ls: [*ls[:60], flipped(ls[60]), *ls[61:]], 61, "changed, added or lost"),
    "a changed letter in a sender": (
        lambda ls: [*ls[:60], ls[60].replace(b'"sender":"matrix:u/', b'"sender":"matrix:u/x'), *ls[61:]], 61, "changed",
    ),
    "a line is lost": (lambda ls: [*ls[:200], *ls[201:]], 201, "changed, added or lost"),
    "the first event is lost": (lambda ls: [ls[0], *ls[2:]], 2, "changed, added or lost"),
    "a line is there twice": (lambda ls: [*ls[:50], *ls[49:]], 51, "changed, added or lost"),
    "two lines are exchanged": (lambda ls: [*ls[:9], ls[10], ls[9], *ls[11:]], 10, "changed, added or lost"),
    "text at the end": (lambda ls: [*ls, b"and so on\n"], 302, "not JSON"),
    "bytes at the end": (lambda ls: [*ls, b"\xff\xfe\x00\x80"], 302, "cut off"),
    "zeros in a line": (lambda ls: [*ls[:70], b"\0" * len(ls[70][:-1]) + b"\n", *ls[71:]], 71, "not JSON"),
    "zeros to the end": (lambda ls: [*ls[:70], b"\0" * 100_000], 71, "cut off"),
    "an empty line": (lambda ls: [*ls[:33], b"\n", *ls[33:]], 34, "not JSON"),
    "empty lines without end": (lambda ls: [*ls[:33], b"\n" * 100_000], 34, "not JSON"),
    "another header": (lambda ls: [*ls[:80], ls[0], *ls[80:]], 81, "not a transcript line"),
    "a line of 20 MB": (lambda ls: [*ls[:40], b"x" * 20_000_000 + b"\n", *ls[40:]], 41, "too long"),
    "20 MB without an end": (lambda ls: [*ls[:40], b"x" * 20_000_000], 41, "too long"),
    "deep nesting": (lambda ls: [*ls[:40], b'{"event":' * 100_000 + b"\n", *ls[40:]], 41, ""),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_recording_is_read_up_to_the_fault(path: Path, damage: str) -> None:
    harm, line, text = DAMAGES[damage]
    path.write_bytes(b"".join(harm(lines_of(path))))
    found, fault = opened_and_read(path)
    assert fault is not None
    assert fault.line == line
    assert text in fault.text
    assert found == ARRIVALS[: line - 2]


@pytest.mark.parametrize("most", [1, 2, 7, 61])
def test_the_fault_is_the_same_whatever_the_slices(path: Path, most: int) -> None:
    lines = lines_of(path)
    path.write_bytes(b"".join([*lines[:61], flipped(lines[61]), *lines[62:-1], lines[-1][:-1]]))
    recording = Recording.open(path)
    assert recording.fault == Fault(301, "the line is cut off")  # seen at once
    assert everything(recording, most) == ARRIVALS[:60]
    assert recording.fault is not None and recording.fault.line == 62
    recording.close()


def test_a_whole_file_written_anew_with_good_links_is_another_recording(path: Path, tmp_path: Path) -> None:
    """Links show damage; who said what is for signatures."""
    anew = write(tmp_path / "anew", [msgspec.structs.replace(ARRIVALS[0], sender="matrix:u/else:x"), *ARRIVALS[1:]])
    found, fault = opened_and_read(anew)
    assert fault is None
    assert found[0].sender == "matrix:u/else:x"


def test_more_lines_than_can_be_kept_are_a_fault(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "_LINES_MOST", 100)
    found, fault = opened_and_read(path)
    assert found == ARRIVALS[:99]
    assert fault == Fault(101, "the recording is too long")


# --- changed while it is open ---


def test_a_file_that_grows_keeps_the_length_it_had(path: Path) -> None:
    recording = Recording.open(path)
    with path.open("ab") as file:
        file.write(b"more\n" * 1000)
    assert everything(recording) == ARRIVALS
    assert recording.fault is None
    recording.close()


def test_a_file_that_shrinks_is_read_as_far_as_it_goes(path: Path) -> None:
    recording = Recording.open(path)
    recording.read(0, 100)
    os.truncate(path, sum(map(len, lines_of(path)[:150])) + 10)
    assert everything(recording) == ARRIVALS[:149]
    assert recording.fault == Fault(151, "the line is cut off")
    os.truncate(path, 0)
    assert not recording.read(20, 5)
    assert recording.fault.line <= 22
    assert recording.received_ms(10_000) == 0
    recording.close()


def test_what_was_read_once_is_read_again_only_unchanged(path: Path, tmp_path: Path) -> None:
    recording = Recording.open(path)
    everything(recording)
    other = msgspec.structs.replace(ARRIVALS[40], received_ms=START_MS)
    anew = write(tmp_path / "anew", [*ARRIVALS[:40], other, *ARRIVALS[41:]])  # with links that fit each other
    with path.open("r+b") as file:
        file.write(anew.read_bytes())
    assert list(recording.read(0, 40)) == ARRIVALS[:40]
    assert recording.fault is None
    assert list(recording.read(35, 20)) == ARRIVALS[35:40]
    assert recording.fault == Fault(42, "the line was changed since it was checked")
    assert len(recording) == recording.checked == 40
    recording.close()


# --- no recording at all ---


def descriptors() -> int:
    """How many files are open, 0 where the system does not tell."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.exists() else 0


def test_what_is_no_recording_is_refused_with_a_way_out(tmp_path: Path) -> None:
    def code_of(path: Path) -> str:
        before = descriptors()
        with pytest.raises(SourceError) as caught:
            Recording.open(path)
        assert descriptors() == before
        assert "clawtui record" in caught.value.hint
        return caught.value.code

    def file(data: bytes) -> Path:
        made = tmp_path / "made"
        made.write_bytes(data)
        return made

    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "missing") == "recording.missing"
    assert code_of(tmp_path) == "recording.not_a_file"
    assert code_of(tmp_path / "pipe") == "recording.not_a_file"
    assert code_of(Path("nul\0")) == "recording.unreadable"
    assert code_of(tmp_path / ("x" * 300)) == "recording.unreadable"
    assert code_of(file(b"")) == "recording.empty"
    for data in (b"\n", b"{}\n", b"hello\n", b"\x00" * 50_000, b"\x7fELF" + bytes(range(256)) * 400, b"x" * 20_000_000):
        assert code_of(file(data)) == "recording.no_header"


def test_a_changed_header_is_refused(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"recorder":"matrix:u/you', b'"recorder":"matrix:u/me', 1))
    with pytest.raises(SourceError, match="line 1"):
        Recording.open(path)


# --- writing ---


def test_an_existing_file_is_never_written_over(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(SourceError) as caught:
        write(path, [])
    assert caught.value.code == "record.exists"
    assert path.read_bytes() == before
    with pytest.raises(SourceError) as caught:
        write(path / "below a file", [])
    assert caught.value.code == "record.unwritable"


def test_a_line_that_cannot_be_written_whole_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.FileIO):
        """So many bytes, and no more."""

        left = 5000

        def write(self, data: Any, /) -> int:
            part = bytes(data[: self.left])
            self.left -= len(part)
            if not part:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(part)

    monkeypatch.setattr(io, "FileIO", FullDisk)
    path = tmp_path / "full"
    recorder = Recorder(path, created_ms=START_MS, recorder="matrix:u/you:clawnet.example")
    with pytest.raises(SourceError) as caught:
        for arrival in ARRIVALS:
            recorder.record(arrival)
    recorder.close()
    recorder.close()
    assert caught.value.code == "record.failed"
    assert "Free some space" in caught.value.hint
    found, fault = opened_and_read(path)
    assert fault is None
    assert found == ARRIVALS[: len(found)]
    assert 0 < path.stat().st_size <= 5000 < LINE_BYTES
