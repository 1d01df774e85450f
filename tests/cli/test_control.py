"""The way to a running agent: only through a folder where nobody else can stand in for it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.control import ControlServer, call, socket_path
from bots.errors import ConfigError
from bots.requests import Status
from bots.service import Service
from tests.agent.simulated import Room

LONG = "x" * 110


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short folder that is the machine's folder for temporary files; no runtime folder is set."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    # Not within tmp_path, which is there already: a socket's address is short.
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_where_it_listens(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert socket_path(place / "ada") == place / "ada" / "control.sock"
    long = place / LONG
    assert socket_path(long).parent == place / f"clawnet-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert socket_path(long).parent == place / f"clawnet-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / LONG))
    assert socket_path(long).parent == place / f"clawnet-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "run"))
    assert socket_path(long).parent == place / "run" / "clawnet"
    assert socket_path(long) != socket_path(place / (LONG + "y"))


async def test_whoever_made_the_folder_first_is_not_spoken_to(place: Path) -> None:
    path = socket_path(place / LONG)
    path.parent.mkdir()
    path.parent.chmod(0o777)
    heard = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        with pytest.raises(ConfigError, match="open to others") as caught:
            await anext(call(path, Status()))
        assert caught.value.code == "control.folder"
    assert not heard.is_set()


@pytest.mark.parametrize("kind", ["link", "file"])
async def test_what_is_no_folder_is_refused_by_both_sides(place: Path, tmp_path: Path, kind: str) -> None:
    path = socket_path(place / LONG)
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        path.parent.symlink_to(tmp_path / "elsewhere")
    else:
        path.parent.touch(0o600)
    with pytest.raises(ConfigError):
        await anext(call(path, Status()))
    async with Room(tmp_path) as room:
        agent = await room.member("ada").start()
        with pytest.raises(ConfigError):
            await ControlServer(Service(agent), path).__aenter__()


async def test_a_folder_that_is_not_there_is_no_running_agent(place: Path) -> None:
    with pytest.raises(ConnectionError):
        await anext(call(socket_path(place / LONG), Status()))


async def test_through_a_private_folder_it_answers(place: Path, tmp_path: Path) -> None:
    path = socket_path(place / LONG)
    async with Room(tmp_path) as room:
        agent = await room.member("ada").start()
        async with ControlServer(Service(agent), path):
            (status,) = [answer async for answer in call(path, Status())]
    assert getattr(status, "name", "") == "ada"
