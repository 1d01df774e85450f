"""Reading and writing encrypted events with the keys of one device."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports import EncryptionHealth
from bots.transports.matrix import encryption_media, events, writing
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_devices import Devices
from bots.transports.matrix.encryption_exchange import Exchange
from bots.transports.matrix.encryption_fetching import Fetching
from bots.transports.matrix.encryption_keys import Keys
from bots.transports.matrix.encryption_media import FILE, File
from bots.transports.matrix.encryption_megolm import Megolm, Unreadable
from bots.transports.matrix.encryption_olm import Olm, Wedged
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_waiting import Waiting
from bots.transports.matrix.encryption_words import (
    KEY_REQUEST,
    SIGNED_KEY,
    MegolmContent,
    OlmContent,
    decoded,
)
from bots.transports.matrix.events import ENCRYPTED, MEMBER, Sync, part
from bots.transports.matrix.history import Event
from bots.transports.matrix.pacing import Pace, Warnings
from clawnet_proto.bindings.matrix import CARRIERS, DIRECT

log = logging.getLogger(__name__)

_KEYS_LEAST = 25  # one-time keys on the server before it gets more
_COUNTED_MOST = 10_000
_RELATION = "m.relates_to"
_OPENED = "net.clawnet.decrypted"  # what an event that was read says of how
_WRAPPING_BYTES = 1_000  # of an encrypted event, beside its ciphertext


class _Sent(msgspec.Struct, frozen=True):
    origin_server_ts: int = 0


class Machine:
    """All that has to do with one device. Raises StoreError, and what its calls raise."""

    def __init__(self, store: EncryptionStore, account: Account, user: str) -> None:
        self._store = store
        self._account = account
        self._olm = Olm(store, user, account.device)
        self._devices = Devices(store, (user, account.device))
        self._megolm = Megolm(store, self._olm, self._devices)
        self._exchange = Exchange(account, self._olm, self._devices, self._megolm)
        self._waiting = Waiting(store)
        self.keys = Keys(store, self._olm, self._devices, self._megolm, self._exchange, self._waiting)
        self._fetching = Fetching(account, self._exchange, self._waiting, self._file)
        self._warnings = Warnings(log, Pace(5, 0.1))
        self._taken: set[bytes] = set()  # to-device events of a sync that is not settled
        self._counted: dict[str, None] = {}  # unreadable events
        self._entered: dict[str, int] = {}  # room -> when this device first read there, Unix milliseconds
        self._given_up = self._history = self._recovered = 0
        self._late_recovered = self._late_given_up = 0  # at the last look, which is not committed

    @property
    def ready(self) -> bool:
        """Whether the server has our keys."""
        return self._olm.uploaded

    async def begin(self) -> bool:
        """Bring our keys to the server; False if it knows this device by others. Raises RetryLater, Refused, Fatal."""
        if not await self._exchange.is_ours():
            return False
        await self._exchange.upload(0, fallback=True)
        log.info("Encryption is set up; the fingerprint of this device is %s", self._olm.ed25519)
        return True

    async def refill(self, sync: Sync) -> None:
        """See that the server has keys to hand out. Raises Fatal."""
        unused = sync.device_unused_fallback_key_types
        fallback = unused is not None and SIGNED_KEY not in unused
        count = sync.device_one_time_keys_count.get(SIGNED_KEY)
        if fallback or (count is not None and count < _KEYS_LEAST):
            try:
                await self._exchange.upload(_KEYS_LEAST * 2 if count is None else count, fallback=fallback)
            except (RetryLater, Refused) as error:
                log.info("New one-time keys could not be uploaded yet: %s", error)

    # --- receiving ---

    def take(self, sync: Sync, rooms: Collection[str], encrypted: Collection[str]) -> None:
        """Take in what a sync says of devices and keys, of those rooms that we are in or invited to.

        What comes again before ``settled`` is taken once.
        """
        self._follow(sync)
        with self._store.transaction():
            for raw in sync.to_device.events:
                digest = hashlib.sha256(bytes(raw)).digest()
                if digest not in self._taken:
                    self._taken.add(digest)
                    self._take_to_device(raw, rooms, encrypted)

    def _follow(self, sync: Sync) -> None:
        """Who can read what we write next may have changed."""
        for room, news in sync.rooms.join.items():
            headers = map(events.header, news.timeline.events)
            if news.timeline.limited or any(header is not None and header.type == MEMBER for header in headers):
                self._exchange.unsettle(room)
        for room in sync.rooms.leave:
            self._exchange.unsettle(room)
            self._megolm.forget(room)
        for user in (*sync.device_lists.changed, *sync.device_lists.left):
            if user in self._devices.current:
                self._exchange.unsettle_all()
            self._devices.outdated(user)

    def _take_to_device(self, raw: msgspec.Raw, rooms: Collection[str], encrypted: Collection[str]) -> None:
        header = events.header(raw)
        if header is None:
            return
        if header.type == KEY_REQUEST:
            self.keys.asked(header, encrypted)
        content = part(header.content, OlmContent) if header.type == ENCRYPTED else None
        if content is None:
            return
        try:
            payload = self._olm.decrypt(header.sender, content)
        except Wedged:
            self.keys.wedged(header.sender, content.sender_key)
            return
        if payload is None:
            return
        if payload.type == DIRECT:
            event = {"type": DIRECT, "sender": header.sender, "content": payload.content}
            self._store.execute("INSERT INTO opened (raw) VALUES (?)", msgspec.json.encode(event))
        else:
            self.keys.take(payload, content.sender_key, rooms)

    def read(self, room: str, event: Event, *, live: bool) -> Event | None:
        """An encrypted event as what its sender wrote; None if that cannot be known, or not yet."""
        header = event[0]
        content = part(header.content, MegolmContent)
        if content is None or header.state_key is not None or not header.event_id:
            return None  # redacted, or nothing that Megolm encrypts
        try:
            return self._opened(room, event, content)
        except Unreadable as error:
            if self._is_news(header.event_id):
                if not live:
                    self._history += 1
                elif error.lacks:
                    self._wait(room, event, content, error)
                else:
                    self._given_up += 1
                    self._warnings.say(room, f"An event of {header.sender} in {room} is unreadable for good: {error}")
            return None

    def was_there(self, room: str, event: Event) -> bool:
        """Whether this device was in the room when the event was sent, by the word of servers."""
        if room not in self._entered:
            self._entered[room] = self._store.entered(room, self._account.server_ms())
        sent = part(event[1], _Sent) or _Sent()
        return sent.origin_server_ts >= self._entered[room]

    def _wait(self, room: str, event: Event, content: MegolmContent, error: Unreadable) -> None:
        header, raw = event
        log.info("An event of %s in %s cannot be read yet: %s", header.sender, room, error)
        if gone := self._waiting.add(room, header, content, raw, error.lacks):
            self._given_up += gone
            self._warnings.say(room, f"Events in {room} have made {gone} others that could not be read go")
        if error.lacks != "key":
            self._fetching.news()

    def _is_news(self, event: str) -> bool:
        """Whether this event was not counted before: history and timeline overlap, and a sync may come again."""
        if event in self._counted:
            return False
        self._counted[event] = None
        if len(self._counted) > _COUNTED_MOST:
            del self._counted[next(iter(self._counted))]
        return True

    def late(self) -> list[tuple[str, Event]]:
        """(Room, event) of what can be read by now: the same again until ``late_settled``."""
        found: list[tuple[str, Event]] = []
        self._late_recovered = self._late_given_up = 0
        for room, raw, long in self._waiting.worth_a_look():
            header = events.header(raw)
            content = part(header.content, MegolmContent) if header else None
            if header is None or content is None:
                continue
            try:
                found.append((room, self._opened(room, (header, raw), content, late=True)))
            except Unreadable as error:
                if error.lacks:
                    self._fetching.forget([header.event_id])
                    self._waiting.lacks(header.event_id, error.lacks)
                    continue
                self._late_given_up += 1
            else:
                self._late_recovered += long
            self._waiting.read(header.event_id)
        return found

    def directs(self) -> list[Event]:
        """Direct messages that were encrypted: the same again until ``settled``."""
        direct = [msgspec.Raw(raw) for (raw,) in self._store.rows("SELECT raw FROM opened ORDER BY seq")]
        return [(header, raw) for raw in direct if (header := events.header(raw)) is not None]

    def commit(self) -> None:
        """Commit what reading a sync changed."""
        self._megolm.commit()

    def late_settled(self) -> None:
        """What ``late`` found is committed."""
        self._fetching.forget(self._waiting.settled())
        self._recovered += self._late_recovered
        self._given_up += self._late_given_up
        self._late_recovered = self._late_given_up = 0

    def settled(self) -> None:
        """What the sync brought is committed."""
        self._taken.clear()
        self.late_settled()
        self._given_up += self._waiting.expire()
        if self._store.rows("SELECT 1 FROM opened LIMIT 1"):
            self._store.execute("DELETE FROM opened")

    def missing(self) -> bool:
        """Whether ``fetch`` has something to do now."""
        return self._waiting.due()

    async def fetch(self, hand_over: Callable[[], Awaitable[None]]) -> None:
        """Ask servers for what waiting events lack; ``hand_over`` is called when some may be read. Raises Fatal."""
        await self._fetching.run(hand_over)

    def _opened(self, room: str, event: Event, content: MegolmContent, *, late: bool = False) -> Event:
        header, raw = event
        payload = self._megolm.decrypt(room, header, content)
        inner = _members(payload.content)
        if inner.pop(FILE, None) is not None and CARRIERS not in inner:
            if not (late and self._fetching.fetched(header.event_id)):
                raise Unreadable("what it holds is kept elsewhere", "file")
            carriers = self._fetching.carriers(header.event_id)
            if carriers is None or decoded(carriers, list[object]) is None:
                raise Unreadable("what it holds is not what was promised")
            inner[CARRIERS] = carriers
        relation = _members(header.content).get(_RELATION)
        if relation is not None:
            inner.setdefault(_RELATION, relation)
        how = {"algorithm": content.algorithm, "session_id": content.session_id}
        text = msgspec.json.encode(_members(raw) | {"type": payload.type, "content": inner, _OPENED: how})
        plain = events.header(text)
        if plain is None:
            raise Unreadable("what it holds is no event")
        return plain, msgspec.Raw(text)

    def _file(self, room: str, raw: msgspec.Raw) -> File | None:
        """The file that an event names, None if it names none."""
        header = events.header(raw)
        content = part(header.content, MegolmContent) if header else None
        if header is None or content is None:
            return None
        try:
            payload = self._megolm.decrypt(room, header, content)
        except Unreadable:
            return None
        return decoded(_members(payload.content).get(FILE, b"null"), File)

    # --- sending ---

    async def encrypt(self, room: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of an ``m.room.encrypted`` event. Raises RetryLater, Refused, Fatal."""
        inside = {name: value for name, value in content.items() if name != _RELATION}
        if writing.size(inside) * 4 // 3 > writing.CONTENT_BYTES - _WRAPPING_BYTES and CARRIERS in inside:
            inside = await encryption_media.store_carriers(self._account, inside)
        sealed = await self._exchange.encrypt(room, kind, inside)
        if _RELATION in content:
            sealed[_RELATION] = content[_RELATION]  # in the open, for servers arrange threads
        writing.check_size(sealed)
        return sealed

    async def send_directly(self, user: str, device: str, content: dict[str, Any], txn: str) -> None:
        """Send a direct message that no server can read. Raises RetryLater, Refused, Fatal."""
        await self._exchange.tell_directly(user, device, DIRECT, content, txn)

    def health(self) -> EncryptionHealth:
        """Counters for people and supervisors."""
        return EncryptionHealth(
            fingerprint=self._olm.ed25519, unreadable=self._waiting.count(), given_up=self._given_up,
            history=self._history, recovered=self._recovered,
            changed=tuple(f"{user} {device}" for user, device in self._devices.changed()),
        )  # fmt: skip


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each as its text; {} if it is none."""
    return decoded(raw, dict[str, msgspec.Raw]) or decoded(events.defused(bytes(raw)), dict[str, msgspec.Raw]) or {}
