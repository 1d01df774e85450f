"""The embedded homeserver against the real thing: every test here runs Synapse."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bots.errors import ClawbotError, ConfigError, StoreError
from bots.homeserver import Homeserver, Ready, accounts, configuration, database, run_homeserver, server
from tests.conftest import NewClient, NewRoom
from tests.matrix_client import Account, MatrixClient, MatrixError

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


def wait_until_free(directory: Path, timeout_s: float = 20) -> None:
    """Return when no server runs in the directory: Synapse itself holds the lock while it lives."""
    with (directory / "lock").open() as lock:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < deadline, "the server outlived its parent"
                time.sleep(0.02)


def refuses_connections(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


def arguments_of(pid: int | None) -> str:
    return subprocess.check_output(["ps", "-o", "args=", "-p", str(pid)], text=True)


async def status_of(method: str, url: str) -> int:
    async with aiohttp.ClientSession() as session, session.request(method, url, json={}) as response:
        return response.status


# --- what it serves ---


async def test_two_people_talk(new_client: NewClient, new_room: NewRoom) -> None:
    alice, bob = await new_client("alice"), await new_client("bob")
    room = await new_room(alice, bob)

    sent = await alice.send_text(room, "good morning")
    received = await bob.wait_for_text("good morning")
    assert (received["event_id"], received["sender"]) == (sent, alice.user_id)

    await bob.send_to_device(alice.user_id, alice.device_id, "net.clawnet.test", {"n": 1})
    direct = await alice.wait_for_to_device(lambda event: event["type"] == "net.clawnet.test")
    assert (direct["sender"], direct["content"]) == (bob.user_id, {"n": 1})

    assert sent in [event["event_id"] for event in await bob.messages(room)]


async def test_media_can_be_stored(new_client: NewClient) -> None:
    alice = await new_client("alice")
    answer = await alice.request("POST", "/_matrix/media/v3/upload", data=b"\0tensor")
    server_name, media_id = answer["content_uri"].removeprefix("mxc://").split("/")
    url = f"{alice.account.homeserver}/_matrix/client/v1/media/download/{server_name}/{media_id}"
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        assert await response.read() == b"\0tensor"


async def test_raised_limits_let_bursts_through(new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room = await new_room(alice)
    await asyncio.gather(*(alice.send_text(room, str(number)) for number in range(40)))


async def test_default_limits_are_synapses_own(tmp_path: Path) -> None:
    async with Homeserver(tmp_path, rate_limits="default") as homeserver:
        user_id = await homeserver.register("alice", "secret")
        async with MatrixClient(Account(homeserver.url, "alice", user_id, "secret")) as alice:
            room = await alice.create_room(preset="public_chat")
            sent: list[str] = []

            async def burst() -> None:
                while len(sent) < 30:
                    sent.append(await alice.send_text(room, str(len(sent))))

            with pytest.raises(MatrixError) as caught:
                await burst()
            assert caught.value.status == 429
            assert caught.value.errcode == "M_LIMIT_EXCEEDED"
            assert caught.value.retry_after_ms > 0
            assert 8 <= len(sent) <= 12


async def test_strangers_cannot_register(homeserver: Homeserver) -> None:
    assert await status_of("POST", f"{homeserver.url}/_matrix/client/v3/register") == 403


async def test_it_does_not_federate(homeserver: Homeserver, new_client: NewClient) -> None:
    assert await status_of("GET", f"{homeserver.url}/_matrix/federation/v1/version") == 404
    alice = await new_client("alice")
    with pytest.raises(MatrixError):
        await alice.join("#room:elsewhere.example")


async def test_it_listens_on_loopback_alone(homeserver: Homeserver) -> None:
    port = int(homeserver.url.rsplit(":", 1)[1])
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("this system has one loopback address")
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # would be taken if the server listened on every address


# --- accounts and rooms ---


async def test_registering_twice_is_the_same_as_once(homeserver: Homeserver) -> None:
    first = await homeserver.register("twice", "secret")
    assert first == f"@twice:{homeserver.server_name}"
    assert await homeserver.register("twice", "secret") == first
    with pytest.raises(ConfigError) as caught:
        await homeserver.register("twice", "another")
    assert caught.value.code == "homeserver_user_exists"
    assert "another" not in str(caught.value).replace("another password", "").replace("another name", "")


@pytest.mark.parametrize("name", ["", "Alice", "a b", "@alice:localhost", "a" * 300])
async def test_names_that_cannot_be(homeserver: Homeserver, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await homeserver.register(name, "secret")
    assert caught.value.code == "homeserver_name_invalid"


@pytest.mark.parametrize("announce_state", [False, True])
async def test_a_room_is_public_and_made_once(
    homeserver: Homeserver, new_client: NewClient, announce_state: bool
) -> None:
    await homeserver.register("keeper", "secret")
    alias = f"lobby-{announce_state}".lower()
    options: dict[str, Any] = {"creator": "keeper", "password": "secret", "announce_state": announce_state}
    room = await homeserver.create_room(alias, **options)
    assert await homeserver.create_room(alias, **options) == room

    alice = await new_client("alice")
    listed = await alice.request("GET", "/publicRooms")
    assert room in [entry["room_id"] for entry in listed["chunk"]]
    assert await alice.join(f"#{alias}:{homeserver.server_name}") == room
    assert await alice.members(room) == {f"@keeper:{homeserver.server_name}", alice.user_id}
    assert (await alice.state(room, "m.room.history_visibility"))["history_visibility"] == "shared"

    announce = alice.send_state(room, "net.clawnet.announce", alice.user_id, {"n": 1})
    if announce_state:
        await announce
        levels = await alice.state(room, "m.room.power_levels")
        assert levels["events"].pop("net.clawnet.announce") == 0
        assert levels["events"]["m.room.power_levels"] == 100
    else:
        with pytest.raises(MatrixError) as caught:
            await announce
        assert caught.value.status == 403
    with pytest.raises(MatrixError):
        await alice.send_state(room, "m.room.name", "", {"name": "mine"})


# --- start, stop, start again ---


async def test_a_directory_is_a_server(tmp_path: Path) -> None:
    directory = tmp_path / "some" / "where"
    told: list[str] = []
    async with Homeserver(directory, progress=told.append) as homeserver:
        url, name, pid = homeserver.url, homeserver.server_name, homeserver.pid
        assert name == f"localhost:{url.rsplit(':', 1)[1]}"
        account = Account(url, "alice", await homeserver.register("alice", "secret"), "secret")
        async with MatrixClient(account) as alice:
            room = await alice.create_room(preset="public_chat", room_alias_name="lobby")
            await alice.send_text(room, "before")

            await homeserver.restart()
            assert homeserver.pid != pid
            await alice.send_text(room, "after a restart")

            await homeserver.kill()
            assert homeserver.pid is None
            assert refuses_connections(url)
            await homeserver.start()
            await alice.send_text(room, "after a crash")

        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        files = [path for path in directory.rglob("*") if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        secret = json.loads((directory / "synapse.json").read_text())["registration_shared_secret"]
        assert secret not in arguments_of(homeserver.pid)
        key = (directory / "signing.key").read_text()
    assert refuses_connections(url)
    assert "new database" in told[0]
    assert told[1:].count(told[0]) == 0

    with pytest.raises(ConfigError) as caught:
        await Homeserver(directory, server_name="other.example").start()
    assert caught.value.code == "homeserver_name_fixed"

    async with Homeserver(directory) as homeserver:
        assert (homeserver.url, homeserver.server_name) == (url, name)
        assert (directory / "signing.key").read_text() == key
        async with MatrixClient(account) as alice:
            assert await alice.join(f"#lobby:{name}") == room
            bodies = [event["content"].get("body") for event in await alice.messages(room)]
            assert [body for body in bodies if body] == ["before", "after a restart", "after a crash"]


async def test_a_taken_port_is_said_clearly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        homeserver = Homeserver(tmp_path, port=port)
        with pytest.raises(ConfigError) as caught:
            await homeserver.start()
    assert caught.value.code == "homeserver_port_taken"
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is taken by another program. Stop that program, or choose another port."
    )
    assert homeserver.pid is None
    wait_until_free(tmp_path, timeout_s=0)


@pytest.mark.parametrize("port", [-1, 70000])
async def test_a_port_that_cannot_be(tmp_path: Path, port: int) -> None:
    with pytest.raises(ConfigError) as caught:
        await Homeserver(tmp_path, port=port).start()
    assert caught.value.code == "homeserver_port_unusable"


async def test_one_server_a_directory(homeserver: Homeserver) -> None:
    with pytest.raises(StoreError) as caught:
        await Homeserver(homeserver.directory).start()
    assert caught.value.code == "homeserver_directory_in_use"


async def test_a_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        await Homeserver(tmp_path / "file").start()
    assert caught.value.code == "homeserver_directory_unusable"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"listeners": [{"port": 1}]}', "\0"])
async def test_a_damaged_configuration_is_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "synapse.json"
    path.write_text(text)
    with pytest.raises(StoreError) as caught:
        await Homeserver(tmp_path).start()
    assert caught.value.code == "homeserver_directory_damaged"
    assert path.read_text() == text


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "homeserver.db").write_bytes(b"no database at all " * 100)
    homeserver = Homeserver(tmp_path)
    with pytest.raises(ClawbotError) as caught:
        await homeserver.start()
    assert caught.value.code == "homeserver_died"
    assert "file is not a database" in caught.value.message
    assert "\n" not in str(caught.value)
    assert str(homeserver.log_path) in caught.value.hint
    assert homeserver.pid is None


async def test_a_name_that_synapse_refuses(tmp_path: Path) -> None:
    with pytest.raises(ClawbotError) as caught:
        await Homeserver(tmp_path, server_name="no name/at all").start()
    assert "Server name 'no name/at all' has an invalid format." in caught.value.message
    # The directory is not bound to the name that was refused.
    assert configuration.settle(tmp_path, 0, None, new=database.is_new(tmp_path)).server_name != "no name/at all"


async def test_a_first_start_that_was_cut_short_does_no_harm(tmp_path: Path) -> None:
    def kill(_: str) -> None:
        assert homeserver.pid is not None
        os.kill(homeserver.pid, signal.SIGKILL)

    homeserver = Homeserver(tmp_path, progress=kill)
    with pytest.raises(ClawbotError) as caught:
        await homeserver.start()
    assert "stopped while starting: killed by signal 9" in caught.value.message
    # As Synapse leaves it when it is killed between two of the transactions that lay its schema.
    with contextlib.closing(sqlite3.connect(tmp_path / "homeserver.db")) as half:
        half.execute("CREATE TABLE background_updates (update_name text)")
    async with Homeserver(tmp_path) as homeserver:
        assert await homeserver.register("alice", "secret") == f"@alice:{homeserver.server_name}"
    assert not database.is_new(tmp_path)


async def test_a_start_takes_no_longer_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_S", 0.0)
    homeserver = Homeserver(tmp_path)
    with pytest.raises(ClawbotError) as caught:
        await homeserver.start()
    assert caught.value.code == "homeserver_timeout"
    assert homeserver.pid is None
    wait_until_free(tmp_path)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    def cancel(_: str) -> None:
        task.cancel()

    homeserver = Homeserver(tmp_path, progress=cancel)
    task = asyncio.create_task(homeserver.start())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert homeserver.pid is None
    wait_until_free(tmp_path)


async def test_a_server_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_S", 0.2)
    async with Homeserver(tmp_path) as homeserver:
        assert homeserver.pid is not None
        os.kill(homeserver.pid, signal.SIGSTOP)  # a stopped process does not see SIGTERM
    assert homeserver.pid is None
    wait_until_free(tmp_path)


async def test_synapse_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError) as caught:
        await Homeserver(tmp_path).start()
    assert "pip install 'clawnet-mesh[homeserver]'" in caught.value.hint


def test_nothing_is_known_before_the_first_start(tmp_path: Path) -> None:
    homeserver = Homeserver(tmp_path)
    assert homeserver.pid is None
    with pytest.raises(ClawbotError):
        _ = homeserver.url


# --- as a program ---


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


# --- passwords ---


def test_accounts_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    passwords = {"alice": 'quote " and \\ and \x7f and \t', "b.o/b=": "grüße 🦞", "c": ""}
    accounts.save(path, passwords, homeserver="http://127.0.0.1:1", server_name="localhost:1")
    assert accounts.load(path) == passwords
    assert accounts.load(tmp_path / "none.toml") == {}


def test_accounts_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "accounts.toml"
    accounts.save(path, {"alice": "secret"}, homeserver="", server_name="")
    path.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        accounts.load(path)
    assert caught.value.code == "homeserver_accounts_exposed"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["passwords = 1", "[passwords]\nalice = 1", "[password]\n", "[", "\xff"])
def test_accounts_that_are_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "accounts.toml"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        accounts.load(path)
    assert caught.value.code == "homeserver_accounts_invalid"


def test_a_password_may_come_from_the_environment() -> None:
    environment = {"CLAWBOT_PASSWORD_BOB_2": "secret"}
    assert accounts.from_environment("bob-2", environment) == "secret"
    assert accounts.from_environment("alice", environment) == ""
