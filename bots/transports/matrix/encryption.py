"""End-to-end encrypted rooms, as the transport uses them: which rooms they are, and the way to all the rest.

The rest is loaded, and our device gets keys, when the first encrypted room is seen. A store that is there is opened at
once: what was ever encrypted stays so.

    encryption_machine   one device's reading and writing
    encryption_olm       that device, and its sessions with other devices
    encryption_devices   the devices of others
    encryption_megolm    the sessions of rooms
    encryption_exchange  what is asked of the homeserver
    encryption_keys      keys that others ask for, and that we ask for
    encryption_waiting   events that cannot be read yet
    encryption_fetching  the devices and files that they lack
    encryption_media     bytes in the media repository
    encryption_words     what is said on the wire, in types
    encryption_store     the file that all of it is kept in
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports import EncryptionHealth
from bots.transports.matrix import events, media
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_store import FILE, EncryptionStore
from bots.transports.matrix.events import ENCRYPTION, Sync
from bots.transports.matrix.history import Event
from bots.transports.matrix.pacing import Pace, Warnings

if TYPE_CHECKING:
    from bots.transports.matrix.encryption_machine import Machine

log = logging.getLogger(__name__)

_SEEN = b"m.room.encrypt"  # in whatever speaks of encryption


class Encryption:
    """Reads and writes encrypted events for one account. Raises StoreError, and what its calls raise."""

    def __init__(self, account: Account, directory: Path, user: str) -> None:
        self._account = account
        self._directory = directory
        self._user = user
        self._machine: Machine | None = None
        self._lock = asyncio.Lock()
        self._lost = self._closed = False
        self._plain = 0
        self._warnings = Warnings(log, Pace(5, 0.1))
        self._store = EncryptionStore(directory) if (directory / FILE).exists() else None
        self._rooms = self._store.encrypted_rooms() if self._store else set()
        self._private = frozenset(self._rooms)

    def close(self) -> None:
        """Give the store free; idempotent."""
        self._closed = True
        store, self._store, self._machine = self._store, None, None
        if store is not None:
            store.close()

    # --- which rooms ---

    @property
    def rooms(self) -> Collection[str]:
        """The ids of the rooms that were ever seen encrypted."""
        return self._rooms

    def private(self, room: str) -> bool:
        """Whether this room was encrypted before the sync that is being taken in."""
        return room in self._private

    def remember(self, room: str) -> None:
        """Never take this room for an unencrypted one again."""
        if room not in self._rooms:
            self._opened_store().remember_encrypted(room)
            self._rooms.add(room)
            log.info("The room %s is encrypted", room)

    # --- our keys ---

    async def begin(self) -> None:
        """Have keys, and have them on the server, before anybody is to encrypt to us. Raises RetryLater, Fatal."""
        async with self._lock:
            if self._machine is None and self._account.device:
                from bots.transports.matrix.encryption_machine import Machine

                self._machine = Machine(self._opened_store(), self._account, self._user)
            machine = self._machine
            if machine is None or machine.ready or self._lost:
                return
            try:
                self._lost = not await machine.begin()
            except Refused as error:
                log.error("The homeserver does not take our keys: %s", error)
                return
        if self._lost:
            log.error(
                "The keys of this device are lost: others will not let it read. "
                "Stop, delete matrix-session.json in %s, and start again with the password.",
                self._directory,
            )

    def _opened_store(self) -> EncryptionStore:
        if self._closed:
            raise RetryLater("matrix.not_connected", "The connection to the homeserver is closed.", 0.0)
        if self._store is None:
            self._store = EncryptionStore(self._directory)
        return self._store

    @property
    def _working(self) -> Machine | None:
        machine = self._machine
        return machine if machine is not None and machine.ready and not self._lost else None

    # --- receiving ---

    async def prepare(self, body: bytes, sync: Sync, rooms: Collection[str]) -> None:
        """Take in what a sync says of keys and devices. ``rooms`` are those we were in or invited to before it.

        The same sync may come again until ``settled``. Raises RetryLater, Fatal.
        """
        if not self._rooms and _SEEN not in body:
            return
        for room, news in sync.rooms.join.items():
            if _begins(news.state.events) or _begins(news.timeline.events):
                self.remember(room)
        if self._rooms or any(_begins(news.invite_state.events) for news in sync.rooms.invite.values()):
            before = self._working
            await self.begin()
            if (machine := self._working) is not None:
                machine.take(sync, {*rooms, *sync.rooms.join, *sync.rooms.invite}, self._rooms)
            if before is not None:
                await before.refill(sync)

    def read(self, room: str, event: Event, *, live: bool) -> Event | None:
        """An encrypted event as what its sender wrote; None if that cannot be known, or not yet."""
        return None if self._machine is None else self._machine.read(room, event, live=live)

    def was_there(self, room: str, event: Event) -> bool:
        """Whether our device was in this room when the event was sent, by the word of servers."""
        return self._machine is not None and self._machine.was_there(room, event)

    def plain(self, room: str, sender: str) -> None:
        """Somebody sent an unencrypted message into an encrypted room."""
        self._plain += 1
        self._warnings.say(
            room, f"A message of {sender} in the encrypted room {room} is not encrypted: nobody acts on it"
        )

    def late(self) -> list[tuple[str, Event]]:
        """(Room, event) of what can be read by now."""
        return [] if self._machine is None else self._machine.late()

    def directs(self) -> list[Event]:
        """Direct messages that were encrypted."""
        return [] if self._machine is None else self._machine.directs()

    def commit(self) -> None:
        """Commit what reading a sync changed. What it brought is committed next, and then ``settled`` called."""
        if self._machine is not None:
            self._machine.commit()

    def late_settled(self) -> None:
        """What ``late`` found is committed."""
        if self._machine is not None:
            self._machine.late_settled()

    def settled(self) -> None:
        """What the sync brought is committed."""
        if self._machine is not None:
            self._machine.settled()
            self._private = frozenset(self._rooms)

    # --- sending ---

    async def encrypt(self, room: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of an ``m.room.encrypted`` event. Raises RetryLater, Refused, Fatal."""
        return await (await self._ready()).encrypt(room, kind, content)

    async def send_directly(self, user: str, device: str, content: dict[str, Any], txn: str) -> None:
        """Send a direct message that no server can read. Raises RetryLater, Refused, Fatal."""
        await (await self._ready()).send_directly(user, device, content, txn)

    async def _ready(self) -> Machine:
        await self.begin()
        if self._lost:
            raise Refused("matrix.encryption_lost", "The keys of this device are lost.", "Log it in anew.")
        if (machine := self._working) is None:
            raise RetryLater("matrix.not_connected", "Encryption is not set up yet.", 0.0)
        return machine

    # --- upkeep ---

    def due_in_s(self) -> float | None:
        """Seconds until ``upkeep`` has something to do, None if it has nothing."""
        return None if self._working is None else self._working.keys.due_in_s()

    async def upkeep(self) -> None:
        """Ask for keys, answer who asks, mend sessions. Raises Fatal."""
        if self._working is not None:
            await self._working.keys.upkeep()

    def missing(self) -> bool:
        """Whether ``fetch`` has something to do now."""
        return self._working is not None and self._working.missing()

    async def fetch(self, hand_over: Callable[[], Awaitable[None]]) -> None:
        """Ask servers for what waiting events lack; ``hand_over`` is called when some may be read. Raises Fatal."""
        if self._working is not None:
            await self._working.fetch(hand_over)

    def health(self) -> EncryptionHealth:
        """Counters for people and supervisors."""
        health = EncryptionHealth() if self._machine is None else self._machine.health()
        on = bool(self._rooms) or self._machine is not None
        return msgspec.structs.replace(health, on=on, plain=self._plain, lost=self._lost)


async def store_chunk(account: Account, data: bytes, encryption: Encryption) -> str:
    """Store a chunk of an artifact, encrypted if we are in any encrypted room. Raises RetryLater, Refused, Fatal."""
    if not encryption.rooms:
        return await media.store(account, data)
    from bots.transports.matrix import encryption_media

    # Which room's it is we are not told.
    return await encryption_media.store_chunk(account, data)


async def fetch_chunk(account: Account, uri: str, most: int) -> bytes:
    """Fetch a chunk, decrypted if its URI holds a key. Raises as ``media.fetch`` does."""
    if "#" not in uri:
        return await media.fetch(account, uri, most)
    from bots.transports.matrix import encryption_media

    return await encryption_media.fetch_chunk(account, uri, most)


def _begins(state: list[msgspec.Raw]) -> bool:
    headers = [events.header(raw) for raw in state]
    return any(header is not None and (header.type, header.state_key) == (ENCRYPTION, "") for header in headers)
