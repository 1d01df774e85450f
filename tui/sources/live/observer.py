"""A Matrix account that joins a room and reads along: it holds no key, announces nothing and sends nothing."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from pathlib import Path

from bots.errors import ClawbotError
from bots.paths import make_private, state_home
from bots.transports import Delivery, Room
from bots.transports.matrix.config import MatrixConfig
from tui.arrivals import Arrival
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always
from tui.sources.live.deliveries import arrival
from tui.sources.live.trouble import translated

_READ_ONLY = SourceError(
    "source.read_only", "An observer only reads.", "To ask and to cancel, hold a key: clawtui --name AGENT"
)


def login_folder(homeserver: str, user: str) -> Path:
    """Where the login of an observer is kept; no agent can have a name that leads there."""
    whose = hashlib.sha256(f"{homeserver.rstrip('/')}\n{user}".encode()).hexdigest()
    return state_home() / "_tui" / whose[:16]


class Observer:
    """One room through one account, as a ``tui.sources.Source``.

    ``folder`` keeps the login, ``password`` is asked when a new one is due.
    """

    def __init__(self, config: MatrixConfig, folder: Path, password: Callable[[], str]) -> None:
        self._config = config
        self._folder = folder
        self._password = password
        self.title = config.rooms[0]
        self.room = ""

    @property
    def key(self) -> Key | None:
        return None

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        with translated():
            await _Reading(self._config, self._folder, self._password, self._entered, deliver, told).run()

    def _entered(self, room: str) -> None:
        self.room = room

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise _READ_ONLY
        yield ""

    async def cancel(self, task: str) -> str:
        raise _READ_ONLY


class _Reading:
    """One run, and the inbox of its transport: nothing is kept, what arrives goes on at once."""

    def __init__(
        self,
        config: MatrixConfig,
        folder: Path,
        password: Callable[[], str],
        entered: Callable[[str], None],
        deliver: Callable[[Sequence[Arrival]], None],
        told: Callable[[Link], None],
    ) -> None:
        from bots.transports.matrix.transport import MatrixTransport

        make_private(folder)
        self._homeserver = config.homeserver
        self._entered_room = entered
        self._deliver = deliver
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._entered = self._was_online = False
        self._transport = MatrixTransport(
            config,
            folder,
            password,
            self,
            lambda: time.time_ns() // 1_000_000,
            on_joined=self._on_joined,
            on_online=self._on_online,
            on_refused=self._on_refused,
        )

    async def run(self) -> None:
        """Raises ClawbotError, SourceError."""
        self._told(Link("connecting", f"Connecting to {self._homeserver}."))
        receiving = asyncio.ensure_future(self._transport.run())
        try:
            await asyncio.wait([receiving, self._failure], return_when=asyncio.FIRST_COMPLETED)
            (self._failure if self._failure.done() else receiving).result()
        finally:
            receiving.cancel()
            self._failure.cancel()
            await asyncio.gather(receiving, self._failure, return_exceptions=True)
            await self._transport.close()

    def commit(self, transport: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        found = [arrival(delivery) for delivery in deliveries if delivery.plane == "room"]
        if found:
            # The account reads this room alone; it arrives before the transport says that we are in it.
            self._entered_room(found[0].room)
            self._deliver(found)
        # Which rooms we are in is known once the position is the transport's own.
        self._loop.call_soon(self._look)

    def position(self, transport: str) -> str | None:
        return None

    def had(self, transport: str, events: Collection[str]) -> Collection[str]:
        return events  # what is not kept cannot tell, and is not looked for

    def _look(self) -> None:
        rooms = self._transport.rooms()
        if any(room.encrypted for room in rooms):
            self._fail("source.encrypted", "The room is encrypted, which this version cannot read.", "Watch another.")
        elif self._entered and not rooms:
            self._fail("source.left", "The account is no longer in the room.", "Have it invited again.")

    def _on_joined(self, room: Room) -> None:
        self._entered = True

    def _on_online(self, online: bool) -> None:
        if online:
            self._was_online = True
            self._told(Link("live"))
        else:
            self._told(
                Link(
                    "stale" if self._was_online else "connecting",
                    f"{self._homeserver} cannot be reached. Trying again.",
                )
            )

    def _on_refused(self, rooms: Collection[str]) -> None:
        # Told while the transport is still in the middle of it.
        self._loop.call_soon(self._refused)

    def _refused(self) -> None:
        error: ClawbotError = next(iter(self._transport.refused_rooms.values()))
        self._fail(error.code, error.message, error.hint)

    def _fail(self, code: str, message: str, hint: str) -> None:
        if not self._failure.done():
            self._failure.set_exception(SourceError(code, message, hint))
