"""Room keys that devices tell each other: taken, asked for, repeated; and sessions that are out of step, mended.

A key is told anew only to a device that was told it before, by the device that made it, and once. Everything that
strangers can ask for waits in bounded space, and what fails for one keeps nobody else waiting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Collection
from typing import Any

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports.matrix.encryption_devices import Devices, printable
from bots.transports.matrix.encryption_exchange import Exchange
from bots.transports.matrix.encryption_megolm import Megolm
from bots.transports.matrix.encryption_olm import Olm
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_waiting import Missing, Waiting
from bots.transports.matrix.encryption_words import (
    DUMMY,
    FORWARDED_KEY,
    KEY_REQUEST,
    MEGOLM,
    ROOM_KEY,
    KeyRequest,
    OlmPayload,
    RoomKey,
    decoded,
)
from bots.transports.matrix.events import Header, part

log = logging.getLogger(__name__)

_QUEUED_MOST = 100
_QUEUED_PER_USER = 10
_ASKED_AT_ONCE = 20
_MENDED_EVERY_S = 3600.0  # a session with one device
_AGAIN_S = 30.0  # before what failed is tried again; each further pause is twice as long
_TRIES_MOST = 10


class _Forwarded(msgspec.Struct, frozen=True):
    sender_key: str
    sender_claimed_ed25519_key: str


class _Chore(msgspec.Struct):
    """Something to tell a device: the key of a session, or, without one, that we begin anew with it."""

    user: str
    device: str
    session: str = ""
    room: str = ""
    place: int = 0
    tries: int = 0
    due: float = 0.0  # monotonic


class Keys:
    """What is to be done about keys. Raises StoreError."""

    def __init__(
        self, store: EncryptionStore, olm: Olm, devices: Devices, megolm: Megolm, exchange: Exchange, waiting: Waiting
    ) -> None:
        self._store = store
        self._olm = olm
        self._devices = devices
        self._megolm = megolm
        self._exchange = exchange
        self._waiting = waiting
        self._chores: dict[tuple[str, str, str], _Chore] = {}  # by session, user, device
        self._mended: dict[tuple[str, str], float] = {}  # by user, device

    def due_in_s(self) -> float | None:
        """Seconds until ``upkeep`` has something to do, None if it has nothing."""
        now = time.monotonic()
        due_s = [max(0.0, chore.due - now) for chore in self._chores.values()]
        if (waiting_s := self._waiting.due_in_s()) is not None:
            due_s.append(waiting_s)
        return min(due_s, default=None)

    def take(self, payload: OlmPayload, sender_key: str, rooms: Collection[str]) -> None:
        """What a device told us alone: keys of sessions in these rooms."""
        key = decoded(payload.content, RoomKey) if payload.type in (ROOM_KEY, FORWARDED_KEY) else None
        if key is None or key.room_id not in rooms:
            return
        exported = payload.type == FORWARDED_KEY
        if exported:
            maker = decoded(payload.content, _Forwarded)
            ours = maker is not None and maker.sender_key == sender_key
            if not (ours and self._waiting.was_asked(key.room_id, key.session_id)):
                return  # from somebody who may not know whose key it is, or not asked for
        if self._megolm.take_key(payload.sender, sender_key, payload.keys.ed25519, key, exported=exported):
            self._waiting.knows_more(key.session_id)

    def asked(self, event: Header, rooms: Collection[str]) -> None:
        """Somebody asks for a key."""
        request = part(event.content, KeyRequest)
        if request is None or request.action != "request" or request.body is None or request.body.room_id not in rooms:
            return
        wanted, device = request.body, request.requesting_device_id
        told = self._store.rows(
            "SELECT place FROM shared WHERE session = ? AND user = ? AND device = ? AND NOT repeated",
            wanted.session_id, event.sender, device,
        )  # fmt: skip
        if told:
            self._queue(_Chore(event.sender, device, wanted.session_id, wanted.room_id, int(told[0][0])))

    def wedged(self, user: str, sender_key: str) -> None:
        """A device says things in a session that we do not have."""
        device = next((known for known in self._devices.of(user) if known.curve25519 == sender_key), None)
        if device is None:
            return
        if time.monotonic() - self._mended.get(device.id, float("-inf")) >= _MENDED_EVERY_S:
            self._queue(_Chore(*device.id))

    def _queue(self, chore: _Chore) -> None:
        of_user = sum(queued.user == chore.user for queued in self._chores.values())
        if len(self._chores) < _QUEUED_MOST and of_user < _QUEUED_PER_USER:
            self._chores.setdefault((chore.session, chore.user, chore.device), chore)

    async def upkeep(self) -> None:
        """Do what is due. What can not be done now is tried again later, what is refused is not. Raises Fatal."""
        now = time.monotonic()
        for key, chore in [item for item in self._chores.items() if item[1].due <= now]:
            again_s = await _tried(self._answer(chore) if chore.session else self._mend(chore))
            chore.tries += 1
            if again_s is None or chore.tries >= _TRIES_MOST:
                del self._chores[key]
            else:
                chore.due = time.monotonic() + max(again_s, _AGAIN_S * 2 ** (chore.tries - 1))
        for missing in self._waiting.unasked(_ASKED_AT_ONCE):
            again_s = await _tried(self._ask(missing))
            if again_s is None:
                self._waiting.asked(missing)
            else:
                self._waiting.postpone(missing, max(again_s, _AGAIN_S))

    async def _mend(self, chore: _Chore) -> None:
        """Begin a new session with a device that uses one we do not have."""
        device = self._devices.named(chore.user, chore.device)
        if device is None:
            return
        await self._exchange.begin([device])
        if self._olm.age_s(device) is not None:
            await self._exchange.tell([device], DUMMY, {})
        now = time.monotonic()
        self._mended = {key: at for key, at in self._mended.items() if now - at < _MENDED_EVERY_S}
        self._mended[device.id] = now

    async def _answer(self, answer: _Chore) -> None:
        device = self._devices.named(answer.user, answer.device)
        if device is None:
            return
        key = self._megolm.exported(answer.room, answer.session, answer.place)
        if key is not None and self._olm.age_s(device) is not None:
            content: dict[str, Any] = {
                "algorithm": MEGOLM, "room_id": answer.room, "session_id": answer.session, "session_key": key,
                "sender_key": self._olm.curve25519, "sender_claimed_ed25519_key": self._olm.ed25519,
                "forwarding_curve25519_key_chain": [],
            }  # fmt: skip
            await self._exchange.tell([device], FORWARDED_KEY, content)
        self._store.execute(
            "UPDATE shared SET repeated = 1 WHERE session = ? AND user = ? AND device = ?",
            answer.session, *device.id,
        )  # fmt: skip

    async def _ask(self, missing: Missing) -> None:
        if self._megolm.knows(missing.room, missing.session, missing.sender):
            self._waiting.knows_more(missing.session)  # it is not the key that was missing
            return
        log.info("Asking %s for the key of a session in %s", missing.sender, missing.room)
        content = {
            "action": "request", "requesting_device_id": self._olm.device, "request_id": missing.session,
            "body": {
                "algorithm": MEGOLM, "room_id": missing.room, "session_id": missing.session, "sender_key": "",
            },
        }  # fmt: skip
        device = missing.device if printable(missing.device) else "*"
        await self._exchange.send(KEY_REQUEST, {missing.sender: {device: content}})


async def _tried(chore: Awaitable[None]) -> float | None:
    """Do something; in how many seconds to try again at the earliest, None if it is done or will never be."""
    try:
        await chore
    except RetryLater as error:
        log.info("Keys could not be asked for or told yet: %s", error)
        return error.after_s
    except Refused as error:
        log.warning("Keys could not be asked for or told: %s", error)
    return None
