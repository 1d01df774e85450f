"""What can be seen of a homeserver from outside."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import time
from pathlib import Path

import aiohttp


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
