"""A process of its own: answers, errors, secrets, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawnet_proto import worker as worker_module
from clawnet_proto.carrier import sign, verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.worker import Worker, WorkerDied
from tests.proto.authoring import Author
from tests.proto.samples import envelopes


@pytest.fixture(scope="module")
def verifying() -> Iterator[Worker]:
    worker = Worker("clawnet_proto.carrier:verify")
    yield worker
    worker.close()


def test_messages_of_every_type_come_back_as_they_are(verifying: Worker) -> None:
    alice, bob = Author("alice"), Author("bob")
    for full in (False, True):
        for envelope in envelopes(alice, bob, full=full).values():
            text, _ = sign(alice.key, envelope)
            assert verifying(text) == verify(text)


def test_what_it_raised_is_raised_here_and_it_goes_on(verifying: Worker) -> None:
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            verifying(b"{}")
        assert (caught.value.code, caught.value.stage) == ("carrier.malformed", "carrier")


def test_it_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWNET_MATRIX_PASSWORD", "hush")
    worker = Worker("os:getenv")
    try:
        assert worker("CLAWNET_MATRIX_PASSWORD") is None
        assert worker("PATH") == os.environ["PATH"]
    finally:
        worker.close()


def test_an_interrupt_at_the_terminal_is_not_for_it() -> None:
    worker = Worker("os:getpgid")
    try:
        assert worker(0) not in (os.getpgrp(), None)
    finally:
        worker.close()


def test_a_dead_process_is_told_and_stays_dead() -> None:
    worker = Worker("os:abs")
    for _ in range(2):
        with pytest.raises(WorkerDied, match="exit status"):
            worker(1)
    worker.close()
    assert worker.ended


def test_an_interrupted_call_leaves_no_answer_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(pipe: object) -> None:
        raise KeyboardInterrupt

    worker = Worker("os:getpgid")
    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker(0)
    with pytest.raises(WorkerDied):
        worker(0)
    worker.close()


def test_it_ends_with_whoever_started_it() -> None:
    starting = (
        "import os\n"
        "from clawnet_proto.worker import Worker\n"
        "print(Worker('os:getpid')._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", starting], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + 20
    while runs(int(done.stdout)):
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process that is nobody's child here still runs; a dead one may wait to be buried."""
    status = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
