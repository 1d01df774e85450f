"""Two homeservers that federate, as ``clawbot homeserver --federate`` runs them."""

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
from typing import Any

import aiohttp
import pytest

from bots.errors import ClawbotError
from bots.homeserver import Pair, Ready, accounts, run_pair
from tests.homeserver.outside import arguments_of, refuses_connections, status_of, wait_until_free
from tests.matrix_client import Account, MatrixClient, MatrixError

CLAWBOT = (sys.executable, "-m", "bots.cli")


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command as a process of its own, once it is ready, and the lines it has said."""
    process = subprocess.Popen(
        [*CLAWBOT, "homeserver", "--directory", str(directory), "--federate", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while line := process.stdout.readline():
            lines.append(line.rstrip("\n"))
            if line.startswith(("{", "Ctrl-C")):
                break
        else:
            raise AssertionError(process.communicate()[1])
        yield process, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def account_of(server: dict[str, Any] | Ready, name: str) -> Account:
    told = server if isinstance(server, dict) else {field: getattr(server, field) for field in server.__struct_fields__}
    user = next(user for user in told["users"] if user.startswith(f"@{name}:"))
    return Account(told["url"], name, user, accounts.load(Path(told["accounts"]))[name])


def test_it_is_a_command_that_ends_both_when_told_to(tmp_path: Path) -> None:
    with running(tmp_path, "--user", "ada", "--room", "clawnet", "--json") as (process, (line,)):
        first, second = json.loads(line)["servers"]
        asyncio.run(_talk_across(first, second))
        files = [path for folder in "ab" for path in (tmp_path / folder).rglob("*") if path.is_file()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert {stat.S_IMODE((tmp_path / folder).stat().st_mode) for folder in "ab"} == {0o700}
        assert "PRIVATE" not in arguments_of(first["pid"]) + arguments_of(second["pid"])
        # As Ctrl-C does: the whole foreground group gets it.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, "", "")
        for folder, server in zip("ab", (first, second), strict=True):
            wait_until_free(tmp_path / folder, timeout_s=0)
            assert refuses_connections(server["url"])

    with running(tmp_path, "--user", "ada", "--room", "clawnet") as (process, lines):
        text = "\n".join(lines)
        for server in (first, second):
            assert f"homeserver: {server['url']}" in lines
            assert f"user:       {server['users'][0]}" in lines
            assert f"--homeserver {server['url']} --user {server['users'][0]} --room '{first['room_alias']}'" in text
        process.terminate()
        _, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Starting the homeserver" in err


async def _talk_across(first: dict[str, Any], second: dict[str, Any]) -> None:
    async with MatrixClient(account_of(first, "ada")) as here, MatrixClient(account_of(second, "ada")) as there:
        assert await here.join(first["room_alias"]) == first["room_id"]
        # Any chat client finds the room, from the other server too.
        listed = await there.request("GET", "/publicRooms", query={"server": first["server_name"]})
        assert [room["room_id"] for room in listed["chunk"]] == [first["room_id"]]
        assert await there.join(first["room_alias"]) == first["room_id"]
        await here.send_text(first["room_id"], "from here")
        await there.wait_for_text("from here")
        await there.send_text(first["room_id"], "from there")
        await here.wait_for_text("from there")
        await there.send_to_device(here.user_id, here.device_id, "net.clawnet.test", {"n": 1})
        await here.wait_for_to_device(lambda event: event["content"] == {"n": 1})
        with pytest.raises(MatrixError):
            await here.join("#room:elsewhere.example")
    port = first["server_name"].rpartition(":")[2]
    with pytest.raises(aiohttp.ServerDisconnectedError):  # it speaks TLS alone
        await status_of("GET", f"http://127.0.0.1:{port}/_matrix/federation/v1/version")
    assert await status_of("GET", f"{first['url']}/_matrix/federation/v1/version") == 404


async def test_when_one_dies_both_end_and_it_is_named(tmp_path: Path) -> None:
    found: list[Pair] = []

    def on_ready(pair: Pair) -> None:
        found.append(pair)
        os.kill(pair.servers[1].pid, signal.SIGKILL)

    with pytest.raises(ClawbotError) as caught:
        await run_pair(tmp_path, 0, [("bob", "bob's own")], None, on_ready)
    first, second = found[0].servers
    assert caught.value.code == "homeserver_died"
    assert caught.value.message == f"The homeserver {second.server_name} stopped by itself: killed by signal 9."
    assert str(tmp_path / "b" / "homeserver.log") in caught.value.hint
    assert refuses_connections(first.url)
    assert [account_of(server, "bob").password for server in (first, second)] == ["bob's own"] * 2
    for folder in "ab":
        wait_until_free(tmp_path / folder)


async def test_when_one_cannot_start_neither_does_the_other(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "homeserver.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(ClawbotError) as caught:
        await run_pair(tmp_path, 0, [], None, lambda pair: None)
    assert caught.value.code == "homeserver_died"
    assert "file is not a database" in caught.value.message
    for folder in "ab":
        wait_until_free(tmp_path / folder)
