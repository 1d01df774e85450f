"""What ``clawbot homeserver`` does: a server with its accounts and a room, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bots.homeserver import accounts
from bots.homeserver.server import Homeserver

ADMIN: Final = "admin"


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A server that serves, with its accounts and its room."""

    url: str  # the client API's base URL
    server_name: str
    room_alias: str  # "#clawnet:localhost:8008"; "" if no room was asked for
    room_id: str  # "" if no room was asked for
    accounts: Path  # the 0600 file with every account's password
    users: tuple[str, ...]  # user ids, in the order given
    pid: int  # the process id of Synapse


async def run_homeserver(
    directory: Path,
    port: int,
    users: Sequence[tuple[str, str]],
    room_alias: str | None,
    on_ready: Callable[[Ready], None],
    *,
    announce_state: bool = False,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled or told to stop by SIGTERM (then return), and stop cleanly.

    ``users`` are local parts and passwords; for "" the password is the one in the directory's
    ``accounts.toml``, else a random one, written there. Beside them there is always the server's
    administrator ``admin``, who alone is in the room at first and made it. ``room_alias`` is the
    local part of the public room's alias, None for no room; ``announce_state`` lets its members
    send announces as state.

    Raises ConfigError, StoreError or ClawbotError, as ``Homeserver.start`` does, also if the server
    stops by itself.
    """
    with sigterm_cancels():
        async with Homeserver(directory, port=port, progress=progress) as homeserver:
            on_ready(await furnish(homeserver, users, room_alias, announce_state=announce_state))
            await homeserver.wait()
            if (error := homeserver.died()) is not None:
                raise error


async def furnish(
    homeserver: Homeserver, users: Sequence[tuple[str, str]], room_alias: str | None, *, announce_state: bool = False
) -> Ready:
    """Make the accounts and the room on a running server, as far as they are not there yet."""
    passwords = _Passwords(homeserver)
    admin_password = await passwords.open_account(ADMIN, dict(users).get(ADMIN, ""), admin=True)
    for name, given in users:
        if name != ADMIN:
            await passwords.open_account(name, given)
    room_id = ""
    if room_alias is not None:
        room_id = await homeserver.create_room(
            room_alias, creator=ADMIN, password=admin_password, announce_state=announce_state
        )
    return Ready(
        url=homeserver.url,
        server_name=homeserver.server_name,
        room_alias=f"#{room_alias}:{homeserver.server_name}" if room_alias is not None else "",
        room_id=room_id,
        accounts=passwords.path,
        users=tuple(f"@{name}:{homeserver.server_name}" for name, _ in users),
        pid=homeserver.pid or 0,
    )


class _Passwords:
    """The accounts of a running server, and the file that remembers their passwords."""

    def __init__(self, homeserver: Homeserver) -> None:
        self.path = homeserver.directory / accounts.FILE_NAME
        self._homeserver = homeserver
        self._known = accounts.load(self.path)

    async def open_account(self, name: str, given: str, *, admin: bool = False) -> str:
        """Make the account unless it exists, and return its password."""
        password = given or self._known.get(name) or secrets.token_urlsafe(24)
        if not given:
            # Before the account is made: a password that is nowhere written down would lock it for ever.
            self._remember(name, password)
        await self._homeserver.register(name, password, admin=admin)
        self._remember(name, password)
        return password

    def _remember(self, name: str, password: str) -> None:
        if self._known.get(name) != password:
            self._known[name] = password
            accounts.save(
                self.path,
                self._known,
                homeserver=self._homeserver.url,
                server_name=self._homeserver.server_name,
            )


@contextlib.contextmanager
def sigterm_cancels() -> Iterator[None]:
    """SIGTERM ends the body by cancelling this task, and is then no error."""
    task = asyncio.current_task()
    assert task is not None
    told = False

    def tell() -> None:
        nonlocal told
        told = True
        task.cancel()

    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)
    # Outside the main thread there are no signal handlers: whoever runs us there stops us by cancelling.
    with contextlib.suppress(RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGTERM, tell)
    try:
        yield
    except asyncio.CancelledError:
        if not told or task.uncancel() > 0:
            raise
    finally:
        if loop.remove_signal_handler(signal.SIGTERM) and before is not None:
            signal.signal(signal.SIGTERM, before)
