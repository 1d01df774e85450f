"""A Matrix account that joins a room and reads along: it has no identity, announces nothing and says nothing.

In an encrypted room it is a device that others encrypt to, from its joining on. A room that is replaced is followed to
the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from bots.errors import ClawbotError
from bots.transports import Delivery, Departure, EncryptionHealth, Room
from bots.transports.matrix.config import MatrixConfig
from clawnet_proto.bindings.matrix import is_encrypted
from tui.arrivals import Arrival
from tui.sources import Deliver, Link, Ready, SourceError, Tell, always
from tui.sources.live.deliveries import arrival
from tui.sources.live.login import Login
from tui.sources.live.moves import REPLACED, stays
from tui.sources.live.onlooker import Onlooker
from tui.sources.live.trouble import translated
from tui.sources.live.unread import Unread

_TELL_S = 0.5  # how long what is told of the link may be out of date


class Observer(Onlooker):
    """One room through one account, as a ``tui.sources.Source``.

    ``login`` is where the login and the keys of encrypted rooms are kept, ``password`` is asked when a new one is due.
    """

    def __init__(self, config: MatrixConfig, login: Login, password: Callable[[], str]) -> None:
        self._config = config
        self._login = login
        self._password = password
        self.title = config.rooms[0]
        self.room = ""

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        with translated(), self._login.held() as folder:
            reading = _Reading(
                self._config, folder, self._password, self._entered, deliver, told, ready, renamed=self._renamed
            )
            await reading.run()

    def _entered(self, room: str) -> None:
        self.room = room

    def _renamed(self, name: str) -> None:
        self.title = name


class _Reading:
    """One run, and the inbox of its transport: nothing is kept, what arrives goes on at once.

    ``entered`` is called with the URI of the room, and of each that takes its place; ``renamed`` with the name of such
    a room, which its own people give it.
    """

    def __init__(
        self,
        config: MatrixConfig,
        folder: Path,
        password: Callable[[], str],
        entered: Callable[[str], None],
        deliver: Deliver,
        told: Tell,
        ready: Ready = always,
        *,
        renamed: Callable[[str], None] = lambda name: None,
    ) -> None:
        from bots.transports.matrix.transport import MatrixTransport

        self._homeserver = config.homeserver
        self._folder = folder
        self._entered = entered
        self._renamed = renamed
        self._deliver = deliver
        self._unread = Unread(deliver)
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._was_online = False
        self._room = ""  # its URI, "" before it is known
        self._former: set[str] = set()  # rooms that were replaced
        self._name = ""  # of a room that took the place of another
        self._stays = ""  # why it is not followed to the room that it names
        self._said = ""  # of the link, last
        self._telling: asyncio.TimerHandle | None = None
        self._transport = MatrixTransport(
            config,
            folder,
            password,
            self,
            lambda: time.time_ns() // 1_000_000,
            on_joined=self._on_joined,
            on_online=self._on_online,
            on_refused=self._on_refused,
            on_left=self._on_left,
            on_stayed=self._on_stayed,
            ready=ready,
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
            self._unread.close()
            if self._telling is not None:
                self._telling.cancel()
            await asyncio.gather(receiving, self._failure, return_exceptions=True)
            await self._transport.close()

    def commit(self, transport: str, deliveries: Sequence[Delivery], position: str, *, durable: bool = True) -> None:
        found = [arrival(delivery) for delivery in deliveries if delivery.plane == "room"]
        # The account reads one room alone; it arrives before the transport says that we are in it.
        if not self._room and (rooms := [event.room for event in found if event.room not in self._former]):
            self._enter(rooms[0])
        read: list[Arrival] = []
        for event in found:
            if is_encrypted(event.event):
                self._unread.hold(event)
            else:
                self._unread.was_read(event.event_id)
                read.append(event)
        if read:
            self._deliver(read)
        # Which rooms we are in is known once the position is the transport's own.
        self._loop.call_soon(self._look)

    def position(self, transport: str) -> str | None:
        return None

    def had(self, transport: str, events: Collection[str]) -> Collection[str]:
        return events  # what is not kept cannot tell, and is not looked for

    def _look(self) -> None:
        if self._transport.encryption.lost:
            self._fail(
                "source.keys_lost",
                "The keys of this login are gone, so others do not let it read.",
                f"Remove the folder {self._folder} and start again with the password.",
            )
        elif self._telling is None:
            self._telling = self._loop.call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        name, said = self._name, self._what_to_say()
        for room in self._transport.rooms():
            self._name_it(room)  # an alias is moved once there is a room to move it to
        if (name, said) != (self._name, self._said):
            self._said = said
            if self._transport.online:
                self._told(Link("live", said))

    def _what_to_say(self) -> str:
        """What cannot be shown, and how this room came in the place of another, or another could not in its."""
        moves = [stays(self._stays)] if self._stays else [REPLACED] if self._former else []
        return "; ".join(moves + _trouble(self._transport.encryption, self._transport.gaps))

    def _on_joined(self, room: Room) -> None:
        self._enter(room.uri)
        self._name_it(room)
        if self._former:
            self._said = self._what_to_say()
            self._told(Link("live", self._said))

    def _enter(self, room: str) -> None:
        """This is where we read from now on."""
        self._room = room
        self._entered(room)

    def _name_it(self, room: Room) -> None:
        """What people call a room that took the place of another."""
        if self._former and room.uri == self._room:
            self._name = room.name
            self._renamed(room.name)

    def _on_online(self, online: bool) -> None:
        if online:
            self._was_online = True
            self._told(Link("live", self._said))
        else:
            self._told(
                Link(
                    "stale" if self._was_online else "connecting",
                    f"{self._homeserver} cannot be reached. Trying again.",
                )
            )

    def _on_left(self, departure: Departure) -> None:
        if departure.code == "room.replaced":
            self._unread.hand_over()
            self._former.add(departure.room)
            self._room = self._stays = ""
        else:
            self._fail("source.left", "The account is no longer in the room.", "Have it invited again.")

    def _on_stayed(self, room: Room, why: str) -> None:
        self._stays = why
        if self._telling is None:
            self._telling = self._loop.call_later(0, self._tell)

    def _on_refused(self, rooms: Collection[str]) -> None:
        # Told while the transport is still in the middle of it.
        self._loop.call_soon(self._refused)

    def _refused(self) -> None:
        error: ClawbotError = next(iter(self._transport.refused_rooms.values()))
        self._fail(error.code, error.message, error.hint)

    def _fail(self, code: str, message: str, hint: str) -> None:
        if not self._failure.done():
            self._failure.set_exception(SourceError(code, message, hint))


def _trouble(encryption: EncryptionHealth, gaps: int) -> list[str]:
    """What of the room cannot be shown."""
    unread = {
        "waiting": encryption.unreadable,
        "for good": encryption.given_up,
        "before": encryption.history,
    }
    parts = [f"{count:,} {why}" for why, count in unread.items() if count]
    told = [f"unreadable: {', '.join(parts)}"] if parts else []
    told += [f"{encryption.plain:,} unencrypted left out"] if encryption.plain else []
    return told + (["some missed"] if gaps else [])
