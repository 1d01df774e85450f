"""Whatever is done to an audit log behind the agent's back is found, and named by its line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bots.audit.chain import read_line, sign, write_line
from bots.audit.check import File, check, head_of
from bots.audit.files import HEAD
from bots.audit.records import Checkpoint, Segment, Started
from clawnet_proto.keys import SigningKey
from tests.audit.logs import CONFIG, NOW_MS, Owner, keys_of, lines_of


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def test_an_untouched_log_is_intact_and_says_how_far_it_is_signed(owner: Owner) -> None:
    owner.run(3)
    report = owner.check()
    assert report.intact and report.fault is None
    assert [type(entry).__name__ for entry in owner.entries()] == [
        "Segment", "Checkpoint", "Keys", "Started", "Checkpoint", "Signed", "Signed", "Signed", "Stopped", "Checkpoint",
    ]  # fmt: skip
    assert (report.first, report.last, report.signed, report.unsigned) == (1, 10, 10, 0)
    assert report.key == owner.own.did


def changed(data: bytes, place: int, byte: int) -> list[bytes]:
    """The lines of a file, one byte of it changed."""
    return (data[:place] + bytes([byte]) + data[place + 1 :]).splitlines(keepends=True)


def test_every_change_of_a_single_byte_is_found_on_its_line(owner: Owner) -> None:
    owner.run(1)
    data, head, line = owner.files[0].read_bytes(), (owner.folder / HEAD).read_bytes(), 1
    for place, byte in enumerate(data):
        for other in (byte ^ 1, byte ^ 0x80):
            fault = check([File("log", changed(data, place, other))], head, identity=owner.own.did).fault
            # Without its line feed a line is two, and the last one is incomplete.
            assert fault is not None and (fault.line == line or fault.code == "end_cut"), (place, other)
        line += byte == 0x0A


def test_every_byte_that_becomes_a_line_feed_is_found(owner: Owner) -> None:
    owner.run(1)
    data, head = owner.files[0].read_bytes(), (owner.folder / HEAD).read_bytes()
    for place in [place for place, byte in enumerate(data) if byte != 0x0A]:
        assert not check([File("log", changed(data, place, 0x0A))], head, identity=owner.own.did).intact


def test_every_change_of_a_single_byte_of_the_head_is_found(owner: Owner) -> None:
    owner.run(1)
    lines, head = lines_of(owner.files[0]), (owner.folder / HEAD).read_bytes()
    for place, byte in enumerate(head):
        broken = b"".join(changed(head, place, byte ^ 1))
        assert not check([File("log", lines)], broken, identity=owner.own.did).intact


@pytest.mark.parametrize("gone", range(10))
def test_a_removed_line_is_missed(owner: Owner, gone: int) -> None:
    owner.run(3)
    (path,) = owner.files
    lines = lines_of(path)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    assert owner.fault() == (("end_cut", 9) if gone == 9 else ("missing", gone + 1))


def test_lines_in_another_order_are_found(owner: Owner) -> None:
    owner.run(3)
    (path,) = owner.files
    lines = lines_of(path)
    lines[5], lines[6] = lines[6], lines[5]
    path.write_bytes(b"".join(lines))
    assert owner.fault() == ("reordered", 6)
    path.write_bytes(b"".join([*lines_of(path)[:5], lines[6], lines[6], *lines[7:]]))
    assert owner.fault() == ("reordered", 7)


@pytest.mark.parametrize("left", range(1, 10))
def test_an_end_that_was_cut_off_is_missed(owner: Owner, left: int) -> None:
    owner.run(3)
    (path,) = owner.files
    path.write_bytes(b"".join(lines_of(path)[:left]))
    assert owner.fault()[0] == "end_cut"


def test_whoever_removes_the_head_hides_nothing_but_that(owner: Owner) -> None:
    owner.run(3)
    (owner.folder / HEAD).unlink()
    assert owner.fault()[0] == "end_cut"


def test_a_head_kept_elsewhere_proves_that_an_old_copy_was_put_back(owner: Owner) -> None:
    owner.run(3)
    old = {path: path.read_bytes() for path in owner.folder.iterdir()}
    owner.run(3)
    head = owner.check().head
    assert owner.check(kept_head=head).intact
    for path, data in old.items():
        path.write_bytes(data)
    assert owner.check().intact
    report = owner.check(kept_head=head)
    assert report.fault is not None and report.fault.code == "end_cut" and "you kept" in report.fault.message


def test_records_after_the_last_checkpoint_are_told_as_unsigned(owner: Owner) -> None:
    log = owner.open()
    for _ in range(4):
        log.append(owner.said())
    report = owner.check()
    assert report.intact
    assert (report.signed, report.unsigned) == (5, 4)
    log.close()
    assert owner.check().unsigned == 0


def test_a_line_that_is_being_written_is_no_fault(owner: Owner) -> None:
    owner.run(1)
    (path,) = owner.files
    with path.open("ab") as file:
        file.write(b'{"kind":"signed","at')
    report = owner.check()
    assert report.intact and report.incomplete_bytes == 20


def test_a_log_that_somebody_else_signed_is_refused(tmp_path: Path) -> None:
    ours, theirs = Owner(tmp_path / "ours"), Owner(tmp_path / "theirs", "eve")
    theirs.run(3)
    theirs.own = ours.own
    assert theirs.fault() == ("foreign_key", 1)


def forged(owner: Owner, key: SigningKey) -> list[bytes]:
    """A log as somebody writes it who has not the agent's key, but another one."""
    lines, link = [], ""
    identity = owner.own.did
    for entry in (
        Segment(at_ms=NOW_MS, seq=1, format="1", identity=identity, oldest=1),
        Started(at_ms=NOW_MS, seq=2, version="1", config=CONFIG),
    ):
        line, link = write_line(link, entry)
        lines.append(line)
    checkpoint = Checkpoint(at_ms=NOW_MS, seq=3, identity=identity, key=key.did, head=link)
    sign(checkpoint, key)
    return [*lines, write_line(link, checkpoint)[0]]


def test_a_checkpoint_by_a_foreign_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    eve = keys_of(tmp_path / "eve", "eve").key
    lines = forged(owner, eve)
    report = check([File("log", lines)], lines[-1], identity=owner.own.did)
    assert report.fault is not None and (report.fault.code, report.fault.line) == ("foreign_key", 3)


def test_a_checkpoint_that_only_names_the_right_key_is_refused(owner: Owner, tmp_path: Path) -> None:
    eve = keys_of(tmp_path / "eve", "eve").key
    *lines, last = forged(owner, eve)
    entry = read_line(last)[0]
    assert isinstance(entry, Checkpoint)
    claimed = write_line(entry.head, msgspec.structs.replace(entry, key=owner.own.did))[0]
    report = check([File("log", [*lines, claimed])], claimed, identity=owner.own.did)
    assert report.fault is not None and (report.fault.code, report.fault.line) == ("bad_signature", 3)


def test_a_rotated_key_goes_on_with_the_same_log(owner: Owner) -> None:
    first = owner.own.did
    log = owner.open()
    log.append(owner.said())
    owner.rotate()
    log.append(owner.said())
    log.close()
    owner.run(1)
    report = owner.check(chain=owner.own.chain)
    assert report.intact
    assert report.key == owner.own.key.did != first == report.identity
    signers = [entry.key for entry in owner.entries() if isinstance(entry, Checkpoint)]
    assert signers == [first, first, *[owner.own.key.did] * 3]


def test_a_key_that_was_rotated_while_the_agent_was_away_is_told_at_the_next_start(owner: Owner) -> None:
    owner.run(1)
    owner.rotate()
    owner.run(1)
    report = owner.check(chain=owner.own.chain)
    assert report.intact and report.key == owner.own.key.did


def test_the_old_key_may_not_go_on_after_the_new_one(owner: Owner) -> None:
    old = owner.own
    log = owner.open()
    owner.rotate()
    log.append(owner.said())
    log.checkpoint()
    owner.own = old
    log.append(owner.said())
    log.checkpoint()
    log.close()
    assert owner.fault()[0] == "foreign_key"


def test_a_key_that_the_agent_never_had_is_refused(owner: Owner) -> None:
    known = owner.own.chain
    log = owner.open()
    owner.rotate()
    log.append(owner.said())
    log.close()
    assert owner.check().intact
    report = owner.check(chain=known)
    assert report.fault is not None and report.fault.code == "foreign_key"


def test_a_key_that_was_given_up_cannot_write_on(owner: Owner) -> None:
    old = owner.own
    owner.run(1)
    owner.rotate()
    known = owner.own.chain
    owner.own = old
    assert owner.check(chain=known).intact  # the agent has written nothing since
    owner.now_ms = known[0].since_ms - 1
    owner.run(1)
    last = owner.check(chain=known)
    assert last.intact
    owner.now_ms = known[0].since_ms
    owner.run(1)
    assert owner.check().intact  # as far as one knows who knows only the log
    fault = owner.check(chain=known).fault
    assert fault is not None and (fault.code, fault.line) == ("key_given_up", last.last + 1)


def test_a_whole_log_forged_with_a_given_up_key_is_found_even_after_the_new_one_signed_on(owner: Owner) -> None:
    old = owner.own
    owner.rotate()
    new = owner.own
    owner.own, owner.now_ms = old, new.chain[0].since_ms + 60_000
    owner.run(3)
    owner.own = new
    owner.run(1)
    assert owner.check().intact
    fault = owner.check(chain=new.chain).fault
    assert fault is not None and (fault.code, fault.line) == ("key_given_up", 1)


def test_nothing_at_all_is_no_intact_log() -> None:
    report = check([File("log", [])], None)
    assert report.fault is not None and report.fault.code == "empty"


def test_the_head_is_the_same_text_for_everybody(owner: Owner) -> None:
    owner.run(1)
    line = (owner.folder / HEAD).read_bytes()
    assert owner.check().head == head_of(line, read_line(line)[0].seq)
