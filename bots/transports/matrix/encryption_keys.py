"""Room keys that devices tell each other: taken, asked for, repeated; and sessions that are out of step, mended.

A key is told anew only to a device that was told it before, by the device that made it, and once. Everything that
strangers can ask for waits in bounded space.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any

import msgspec

from bots.transports.matrix.encryption_devices import Device, Devices
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
_ASKED_AT_ONCE = 20
_MENDED_EVERY_S = 3600.0  # a session with one device


class _Forwarded(msgspec.Struct, frozen=True):
    sender_key: str
    sender_claimed_ed25519_key: str


class _Answer(msgspec.Struct, frozen=True):
    room: str
    session: str
    device: Device
    place: int


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
        self._answers: list[_Answer] = []
        self._out_of_step: dict[tuple[str, str], None] = {}  # (user, Curve25519 key)
        self._mended: dict[tuple[str, str], float] = {}

    def due_in_s(self) -> float | None:
        """Seconds until ``upkeep`` has something to do, None if it has nothing."""
        return 0.0 if self._answers or self._out_of_step else self._waiting.due_in_s()

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
        wanted, device = request.body, self._devices.named(event.sender, request.requesting_device_id)
        told = self._store.rows(
            "SELECT place FROM shared WHERE session = ? AND user = ? AND device = ? AND NOT repeated",
            wanted.session_id, event.sender, request.requesting_device_id,
        )  # fmt: skip
        if device is not None and told and len(self._answers) < _QUEUED_MOST:
            self._answers.append(_Answer(wanted.room_id, wanted.session_id, device, int(told[0][0])))

    def wedged(self, user: str, sender_key: str) -> None:
        """A device says things in a session that we do not have."""
        mended = self._mended.get((user, sender_key), float("-inf"))
        if len(self._out_of_step) < _QUEUED_MOST and time.monotonic() - mended >= _MENDED_EVERY_S:
            self._out_of_step[user, sender_key] = None

    async def upkeep(self) -> None:
        """Do what is due. Raises RetryLater, Refused, Fatal."""
        while self._out_of_step:
            await self._mend(*next(iter(self._out_of_step)))
        while self._answers:
            await self._answer(self._answers[0])
            del self._answers[0]
        self._waiting.try_files()
        for missing in self._waiting.unasked(_ASKED_AT_ONCE):
            await self._ask(missing)
            self._waiting.asked(missing)

    async def _mend(self, user: str, sender_key: str) -> None:
        """Begin a new session with a device that uses one we do not have, if it is known to us at all."""
        device = next((known for known in self._devices.of(user) if known.curve25519 == sender_key), None)
        if device is not None:
            await self._exchange.begin([device])
            if self._olm.age_s(sender_key) is not None:
                await self._exchange.tell([device], DUMMY, {})
            now = time.monotonic()
            self._mended = {key: at for key, at in self._mended.items() if now - at < _MENDED_EVERY_S}
            self._mended[user, sender_key] = now
        self._out_of_step.pop((user, sender_key), None)

    async def _answer(self, answer: _Answer) -> None:
        key = self._megolm.exported(answer.room, answer.session, answer.place)
        if key is not None and self._olm.age_s(answer.device.curve25519) is not None:
            content: dict[str, Any] = {
                "algorithm": MEGOLM, "room_id": answer.room, "session_id": answer.session, "session_key": key,
                "sender_key": self._olm.curve25519, "sender_claimed_ed25519_key": self._olm.ed25519,
                "forwarding_curve25519_key_chain": [],
            }  # fmt: skip
            await self._exchange.tell([answer.device], FORWARDED_KEY, content)
        self._store.execute(
            "UPDATE shared SET repeated = 1 WHERE session = ? AND user = ? AND device = ?",
            answer.session, *answer.device.id,
        )  # fmt: skip

    async def _ask(self, missing: Missing) -> None:
        if self._megolm.knows(missing.room, missing.session):
            self._waiting.knows_more(missing.session)  # it is not the key that was missing
            return
        log.info("Asking %s for the key of a session in %s", missing.sender, missing.room)
        content = {
            "action": "request", "requesting_device_id": self._olm.device, "request_id": missing.session,
            "body": {
                "algorithm": MEGOLM, "room_id": missing.room, "session_id": missing.session, "sender_key": "",
            },
        }  # fmt: skip
        await self._exchange.send(KEY_REQUEST, {missing.sender: {missing.device or "*": content}})
