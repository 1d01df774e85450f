"""The embedded homeserver against the real thing: start, stop, start again."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import sqlite3
import stat
from pathlib import Path

import pytest

from bots.errors import ClawbotError, ConfigError, StoreError
from bots.homeserver import Homeserver, configuration, database, server
from tests.homeserver.outside import arguments_of, refuses_connections, wait_until_free
from tests.matrix_client import Account, MatrixClient


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
