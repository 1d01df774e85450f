"""The embedded homeserver as a program, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.errors import ClawbotError
from bots.homeserver import Ready, accounts, run_homeserver
from tests.homeserver.outside import refuses_connections, wait_until_free
from tests.matrix_client import Account, MatrixClient

# A program that serves until it is stopped, says so in a line of JSON, and does what `clawbot` would do.
PROGRAM = """
import asyncio, json, os, sys
from pathlib import Path
from bots.homeserver import run_homeserver

def on_ready(ready):
    sleeper = 0
    if "--fork" in sys.argv:
        sleeper = os.fork()
        if not sleeper:
            os.closerange(0, 3)
            import time
            time.sleep(60)
            os._exit(0)
    print(json.dumps([ready.url, ready.room_alias, ready.room_id, ready.pid, sleeper]), flush=True)

try:
    asyncio.run(run_homeserver(Path(sys.argv[1]), 0, [("alice", "")], "clawnet", on_ready))
except KeyboardInterrupt:
    sys.exit(130)
print("stopped")
"""


class Program:
    """``PROGRAM`` as a process of its own, and what it said when it was ready."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.url, self.room_alias, self.room_id, self.pid, self.sleeper = json.loads(line)

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal to it and all its group, as a terminal would; its status, output and errors."""
        os.killpg(self.process.pid, number)
        return self.finish()

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[Program]:
    program = Program(directory, *options)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)


def test_a_killed_parent_takes_the_server_along(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        status, _, _ = program.end(signal.SIGKILL)
        assert status == -signal.SIGKILL
        wait_until_free(tmp_path)
        assert refuses_connections(program.url)


def test_a_process_forked_by_the_parent_does_not_keep_the_server_alive(tmp_path: Path) -> None:
    with running(tmp_path, "--fork") as program:
        try:
            program.process.kill()
            program.process.wait()
            wait_until_free(tmp_path)
        finally:
            os.kill(program.sleeper, signal.SIGKILL)
        program.finish()


def test_it_is_a_program_that_stops_when_told_to(tmp_path: Path) -> None:
    with running(tmp_path) as program:
        assert program.end(signal.SIGTERM) == (0, "stopped\n", "")
        wait_until_free(tmp_path, timeout_s=0)
        room_id, url = program.room_id, program.url
    passwords = accounts.load(tmp_path / "accounts.toml")
    assert set(passwords) == {"admin", "alice"}
    assert stat.S_IMODE((tmp_path / "accounts.toml").stat().st_mode) == 0o600

    with running(tmp_path) as program:
        assert (program.url, program.room_id) == (url, room_id)
        # Ctrl-C reaches the whole foreground group; Synapse is not in it and is stopped by us.
        assert program.end(signal.SIGINT) == (130, "", "")
        wait_until_free(tmp_path, timeout_s=0)
    assert accounts.load(tmp_path / "accounts.toml") == passwords


async def test_a_server_that_dies_is_not_waited_for(tmp_path: Path) -> None:
    ready: list[Ready] = []

    async def look_around() -> None:
        found = ready[0]
        user_id = f"@bob:{found.server_name}"
        assert found.users == (user_id,)
        account = Account(found.url, "bob", user_id, accounts.load(found.accounts)["bob"])
        assert account.password == "bob's own"
        async with MatrixClient(account) as bob:
            assert await bob.join(found.room_alias) == found.room_id
            assert await bob.members(found.room_id) == {f"@admin:{found.server_name}", user_id}
        os.kill(found.pid, signal.SIGKILL)

    looking: list[asyncio.Task[None]] = []

    def on_ready(what: Ready) -> None:
        ready.append(what)
        looking.append(asyncio.create_task(look_around()))

    with pytest.raises(ClawbotError) as caught:
        await run_homeserver(tmp_path, 0, [("bob", "bob's own")], "lobby", on_ready)
    await looking[0]
    assert caught.value.code == "homeserver_died"
    assert "stopped by itself: killed by signal 9" in caught.value.message
