"""Two homeservers that federate with each other, on this machine alone: what ``clawbot homeserver --federate`` does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from bots.homeserver import configuration, database
from bots.homeserver.authority import Authority
from bots.homeserver.federation import Federation
from bots.homeserver.serve import Ready, furnish, sigterm_cancels
from bots.homeserver.server import Homeserver

FOLDERS: Final = ("a", "b")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two servers that serve and federate. The room, if there is one, was made on the first."""

    servers: tuple[Ready, Ready]


async def run_pair(
    directory: Path,
    port: int,
    users: Sequence[tuple[str, str]],
    room_alias: str | None,
    on_ready: Callable[[Pair], None],
    *,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Serve as ``run_homeserver`` does, with two servers, in the folders ``a`` and ``b`` of ``directory``.

    Each has all the accounts. ``port`` is that of the first. If one stops by itself, both end.
    """
    names = tuple(_name(directory / folder) for folder in FOLDERS)
    federation = Federation(authority=Authority(), members=names)
    first, second = (
        Homeserver(directory / folder, port=given, server_name=name, federation=federation, progress=progress)
        for folder, name, given in zip(FOLDERS, names, (port, 0), strict=True)
    )
    with sigterm_cancels():
        async with running(first, second):
            on_ready(Pair(servers=(await furnish(first, users, room_alias), await furnish(second, users, None))))
            await _one_ends(first, second)


@asynccontextmanager
async def running(*servers: Homeserver) -> AsyncIterator[None]:
    """Start servers at the same time, and stop them at the same time. Raises what the first to fail raises."""
    starts = [asyncio.ensure_future(server.start()) for server in servers]
    try:
        await asyncio.gather(*starts)
        yield
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in servers))


def _name(directory: Path) -> str:
    """The name of the server in this folder, or a new one; its port is where it takes federation traffic."""
    kept = None if database.is_new(directory) else configuration.load(directory)
    return f"localhost:{configuration.free_port()}" if kept is None else kept.server_name


async def _one_ends(*servers: Homeserver) -> None:
    """Return when one of them no longer runs. Raises ClawbotError if it stopped by itself."""
    waiting = [asyncio.ensure_future(server.wait()) for server in servers]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waiting:
            wait.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    for server in servers:
        if (error := server.died()) is not None:
            raise error
