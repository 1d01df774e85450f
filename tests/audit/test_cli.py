"""``clawbot audit`` as its user sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bots import cli, identity
from bots.audit.files import folder_of, segments
from bots.audit.log import AuditLog
from bots.audit.records import Received, Signed, Spoke, Stopped
from clawnet_proto.signing import digest

NOW_MS = 1_800_000_000_000
TASK, OTHER = digest(b"a task"), digest(b"another task")


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command of ada's owner."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(*arguments: str) -> Done:
        status = cli.main(arguments)
        return Done(status, *capsys.readouterr())

    run("init", "--name", "ada")
    return run


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """The folder of a log with a bit of everything."""
    state = tmp_path / "state" / "clawnet" / "ada"
    own = identity.load(state / "keys")
    folder = folder_of(state, own.did)
    log = AuditLog(folder, 1 << 20, lambda: own, lambda: NOW_MS, print)
    log.begin(version="0.1.0", config=digest(b"a configuration"))
    peer, room = "did:key:z6Mk" + "x" * 44, "matrix:r/mesh:example.org"
    log.append(Signed(at_ms=NOW_MS, id=TASK, type="task.request", room=room, task=TASK, stage="draft", behalf="$event"))
    award = digest(b"an award")
    log.append(
        Signed(
            at_ms=NOW_MS + 60_000, id=award, type="task.award", room=room, to=(peer,), answers=TASK, task=TASK,
            stage="draft", attempt=2,
        )
    )  # fmt: skip
    log.append(
        Received(
            at_ms=NOW_MS + 90_000, id=digest(b"a failure"), type="task.fail", sender=peer, room=room, answers=award,
            task=OTHER, stage="draft", attempt=1, rule="declined", refused="state.not_allowed",
        )
    )  # fmt: skip
    log.append(Spoke(at_ms=NOW_MS + 95_000, room=room, root="$\x1b[31mevent", digest=digest(b"words")))
    log.append(Stopped(at_ms=NOW_MS + 99_000))
    log.close()
    return folder


def test_verify_says_what_it_checked_and_that_all_is_well(run: Run, folder: Path) -> None:
    done = run("audit", "verify", "--name", "ada")
    assert done.status == cli.OK
    assert "11 records of did:key:" in done.out and "Everything is intact." in done.out
    head = next(line for line in done.out.splitlines() if line.startswith("Signed up to")).rsplit(" ", 1)[1]
    assert run("audit", "verify", "--name", "ada", "--head", head).status == cli.OK
    done = run("audit", "verify", "--name", "ada", "--head", "11:" + digest(b"another"))
    assert done.status == cli.FAILED and "you kept" in done.out


def test_verify_names_the_first_fault_and_fails(run: Run, folder: Path) -> None:
    (path,) = segments(folder)
    path.write_bytes(path.read_bytes().replace(b'"attempt":2', b'"attempt":3'))
    done = run("audit", "verify", "--name", "ada")
    assert done.status == cli.FAILED
    assert "000000000001.jsonl line 7: altered: Record 7 was altered." in done.out
    assert "NOT intact" in done.out
    (report,) = run("audit", "verify", "--name", "ada", "--json").objects
    assert report["intact"] is False
    assert report["fault"]["code"] == "altered" and report["fault"]["line"] == 7


def test_verify_warns_of_what_was_signed_later_than_it_was_written(run: Run, folder: Path) -> None:
    def begun() -> AuditLog:
        log = AuditLog(folder, 1 << 20, lambda: own, lambda: NOW_MS + 99_000, print)
        log.begin(version="0.1.0", config=digest(b"a configuration"))
        return log

    own = identity.load(folder.parents[1] / "keys")
    log = begun()
    for _ in range(2):
        log.append(Spoke(at_ms=NOW_MS + 99_000, room="matrix:r/mesh", digest=digest(b"words")))
    begun().close()
    done = run("audit", "verify", "--name", "ada")
    assert done.status == cli.OK and "Warning: 2 records were signed by a later run" in done.out
    (report,) = run("audit", "verify", "--name", "ada", "--json").objects
    assert report["intact"] is True and report["found_unsigned"] == 2
    assert "mended   2 records of the run before were not signed" in run("audit", "show", "--name", "ada").out


def test_a_copy_is_checked_without_the_agent(run: Run, folder: Path, tmp_path: Path) -> None:
    copy = folder.rename(tmp_path / "copy")
    (report,) = run("audit", "verify", "--folder", str(copy), "--json").objects
    assert report["intact"] is True
    assert run("audit", "verify", "--folder", str(copy), "--identity", report["identity"]).status == cli.OK
    done = run("audit", "verify", "--folder", str(copy), "--identity", "did:key:z6Mk" + "x" * 44)
    assert done.status == cli.FAILED and "foreign_key" in done.out


def test_show_is_for_people(run: Run, folder: Path) -> None:
    done = run("audit", "show", "--name", "ada")
    assert done.status == cli.OK
    assert [line[30:] for line in done.out.splitlines()] == [
        "keys     number 1 is in use",
        f"started  version 0.1.0, configuration {digest(b'a configuration')[:8]}",
        f"signed   task.request {TASK[:8]} for draft, asked in $event",
        f"signed   task.award {digest(b'an award')[:8]} for draft, attempt 2 of task {TASK[:8]} to …xxxxxxxxxxxx",
        f"refused  task.fail {digest(b'a failure')[:8]}: declined for draft of task {OTHER[:8]} from …xxxxxxxxxxxx"
        " (state.not_allowed)",
        "said     plain words in answer to $[31mevent",
        "stopped",
    ]
    assert "\x1b" not in done.out
    assert done.out.startswith("2027-01-15 08:00:00        3  keys")


def test_show_can_be_narrowed(run: Run, folder: Path) -> None:
    def seqs(*flags: str) -> list[int]:
        return [entry["seq"] for entry in run("audit", "show", "--name", "ada", "--json", *flags).objects]

    assert seqs() == list(range(1, 12))
    assert seqs("--task", TASK[:6]) == [6, 7]
    assert seqs("-n", "2") == [10, 11]
    assert seqs("--since", "2027-01-15T08:01:30") == [8, 9, 10]
    assert seqs("--since", "2027-01-15T09:01:30+01:00", "-n", "1") == [10]
    assert seqs("-n", "0") == seqs()


def test_what_makes_no_sense_is_said(run: Run, folder: Path) -> None:
    done = run("audit", "show", "--name", "ada", "--since", "yesterday")
    assert done.status == cli.USAGE and "is no time" in done.err
    done = run("audit", "verify", "--folder", str(folder.parent))
    assert done.status == cli.USAGE and "There is no audit log" in done.err


def test_an_agent_that_never_ran_has_no_log(run: Run) -> None:
    done = run("audit", "show", "--name", "ada")
    assert done.status == cli.USAGE and "There is no audit log" in done.err


def test_show_goes_on_after_a_line_that_is_damaged(run: Run, folder: Path) -> None:
    (path,) = segments(folder)
    path.write_bytes(path.read_bytes().replace(b'"kind":"spoke"', b'"kind":"spake"'))
    done = run("audit", "show", "--name", "ada")
    assert done.status == cli.OK
    assert "no record" in done.err and "stopped" in done.out
