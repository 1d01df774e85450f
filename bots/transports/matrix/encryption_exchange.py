"""What the encryption asks of the homeserver: keys up, keys down, and room keys to the devices of members."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from bots.errors import Refused, RetryLater
from bots.transports.matrix import wire
from bots.transports.matrix.account import Account
from bots.transports.matrix.encryption_devices import Device, Devices, verified
from bots.transports.matrix.encryption_megolm import Megolm, Outbound
from bots.transports.matrix.encryption_olm import Olm
from bots.transports.matrix.encryption_words import (
    ROOM_KEY,
    ClaimedKeys,
    QueriedKeys,
    UploadedKeys,
    decoded,
)
from bots.transports.matrix.events import ENCRYPTED, JoinedMembers

log = logging.getLogger(__name__)

T = TypeVar("T")

_USERS_AT_ONCE = 100
_DEVICES_AT_ONCE = 50
_AGAIN_S = 60.0
_BARREN_S = 600.0  # how long a device without a one-time key, or a server that is away, is left alone
_NONSENSE = "matrix.server_error"  # also what a homeserver says that chokes on another's answer


class Exchange:
    """The calls. All raise RetryLater, Refused, Fatal, StoreError."""

    def __init__(self, account: Account, olm: Olm, devices: Devices, megolm: Megolm) -> None:
        self._account = account
        self._olm = olm
        self._devices = devices
        self._megolm = megolm
        self._locks: dict[str, asyncio.Lock] = {}
        self._barren: dict[tuple[str, str], float] = {}  # devices, and users with device "", until when
        self._settled: dict[str, float] = {}  # rooms whose members' devices have our session -> until when that holds

    # --- our keys ---

    async def upload(self, on_server: int, *, fallback: bool) -> None:
        """See that the server has keys enough for others to begin sessions with us."""
        told = self._olm.keys_to_upload(on_server, fallback=fallback)
        if told:
            await self._ask(wire.keys_upload(told), UploadedKeys)
            self._olm.keys_uploaded()

    async def is_ours(self) -> bool:
        """Whether the server knows this device by no other keys than ours."""
        answer = await self._ask(wire.keys_query([self._olm.user]), QueriedKeys)
        devices = decoded(answer.device_keys.get(self._olm.user, b"{}"), dict[str, msgspec.Raw]) or {}
        keys = decoded(devices.get(self._olm.device, b"null"), dict[str, Any])
        return keys is None or keys.get("keys") == self._olm.device_keys()["keys"]

    # --- others' keys ---

    async def learn(self, users: Iterable[str]) -> None:
        """Know the devices of these users as the server has them now.

        Whose server gives no answer, or one that is none, is left alone for a while.
        """
        now = time.monotonic()
        wanted = [
            user for user in users if user not in self._devices.current and self._barren.get((user, ""), 0.0) <= now
        ]
        for chunk in _chunks(wanted, _USERS_AT_ONCE):
            for user in await self._narrowed(chunk, lambda user: user, self._query):
                self._leave_alone(user, "")

    async def _query(self, users: list[str]) -> None:
        self._devices.asking(users)
        answer = await self._ask(wire.keys_query(users), QueriedKeys)
        for user in users:
            devices = decoded(answer.device_keys.get(user, b"{}"), dict[str, msgspec.Raw])
            if devices is None or (user not in answer.device_keys and _server(user) in answer.failures):
                self._leave_alone(user, "")
            else:
                self._devices.take(user, devices)

    async def begin(self, devices: Sequence[Device]) -> None:
        """Begin sessions with those of these devices that can be reached; the others are left alone for a while."""
        now = time.monotonic()
        wanted = [device for device in devices if self._barren.get(device.id, 0.0) <= now]
        for chunk in _chunks(wanted, _DEVICES_AT_ONCE):
            for device in await self._narrowed(chunk, lambda device: device.user, self._claim):
                self._leave_alone(*device.id)

    async def _claim(self, devices: list[Device]) -> None:
        answer = await self._ask(wire.keys_claim([device.id for device in devices]), ClaimedKeys)
        for device in devices:
            of_user = decoded(answer.one_time_keys.get(device.user, b"{}"), dict[str, msgspec.Raw]) or {}
            keys = decoded(of_user.get(device.device, b"{}"), dict[str, msgspec.Raw]) or {}
            if not any(self._begin(device, raw) for raw in islice(keys.values(), 1)):
                self._leave_alone(*device.id)
                log.info("The device %s of %s gives no key to begin a session with", device.device, device.user)

    async def _narrowed(
        self, items: list[T], whose: Callable[[T], str], ask: Callable[[list[T]], Awaitable[None]]
    ) -> list[T]:
        """Ask about all; if that fails, about each server's, then each user's. About which it failed even so.

        Raises what is nobody's fault but our homeserver's: that it is away, or limits us.
        """
        try:
            await ask(items)
        except (RetryLater, Refused) as error:
            if isinstance(error, RetryLater) and error.code != _NONSENSE:
                raise
            groups = _grouped(items, lambda item: _server(whose(item)))
            if len(groups) == 1:
                groups = _grouped(items, whose)
            if len(groups) == 1:
                log.warning("Nothing can be learnt of the devices of %s: %s", whose(items[0]), error)
                return items
            return [item for group in groups for item in await self._narrowed(group, whose, ask)]
        return []

    def _begin(self, device: Device, raw: msgspec.Raw) -> bool:
        value = decoded(raw, dict[str, Any])
        key = None if value is None else value.get("key")
        if value is None or not isinstance(key, str) or not verified(value, *device.id, device.ed25519):
            return False
        return self._olm.begin(device, key)

    def _leave_alone(self, user: str, device: str) -> None:
        now = time.monotonic()
        self._barren = {key: until for key, until in self._barren.items() if until > now}
        self._barren[user, device] = now + _BARREN_S

    # --- rooms ---

    def unsettle(self, room: str) -> None:
        """Who is in the room, or with which devices, may have changed."""
        self._settled.pop(room, None)

    def unsettle_all(self) -> None:
        """The devices of somebody in our rooms may have changed."""
        self._settled.clear()

    async def encrypt(self, room: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of an encrypted event that all devices of all members can read, and no one else's."""
        lock = self._locks.setdefault(room, asyncio.Lock())
        async with lock:
            outbound = self._megolm.outbound(room)
            if outbound is None or self._settled.get(room, 0.0) <= time.monotonic():
                outbound = await self._shared(room, outbound)
            return self._megolm.encrypt(room, outbound, kind, content)

    async def _shared(self, room: str, outbound: Outbound | None) -> Outbound:
        """The session of a room, known to just those who are in it now."""
        self._settled[room] = time.monotonic() + _BARREN_S  # unless something happens meanwhile
        try:
            # Asked now, for it decides who will be able to read.
            members = (await self._ask(wire.joined_members(room), JoinedMembers)).joined
            await self.learn(members)
            devices = [device for user in members for device in self._devices.of(user)]
            if outbound is None or outbound.told - {device.id for device in devices}:
                outbound = self._megolm.renew(room)
            await self._tell(room, outbound, [device for device in devices if device.id not in outbound.told])
        except BaseException:
            self.unsettle(room)
            raise
        return outbound

    async def _tell(self, room: str, outbound: Outbound, devices: Sequence[Device]) -> None:
        await self.begin([device for device in devices if self._olm.age_s(device) is None])
        reached = [device for device in devices if self._olm.age_s(device) is not None]
        for chunk in _chunks(reached, _DEVICES_AT_ONCE):
            await self.tell(chunk, ROOM_KEY, self._megolm.key(room, outbound))
            self._megolm.told(outbound, chunk)

    async def tell(self, devices: Sequence[Device], kind: str, content: dict[str, Any], txn: str = "") -> None:
        """Send devices that we have sessions with an event that each alone can read."""
        await self.send(ENCRYPTED, self._olm.encrypt_to(devices, kind, content), txn)

    async def send(self, kind: str, messages: dict[str, Any], txn: str = "") -> None:
        """Send to-device events."""
        if messages:
            await self._account.call(wire.send_to_device(kind, messages, txn or secrets.token_urlsafe(18)))

    async def _ask(self, request: wire.Request, kind: type[T]) -> T:
        answer = decoded(await self._account.call(request), kind)
        if answer is None:
            raise RetryLater(_NONSENSE, "The homeserver's answer makes no sense.", 0.0)
        return answer

    async def tell_directly(self, user: str, device: str, kind: str, content: dict[str, Any], txn: str) -> None:
        """Send one device of a user (all, if ``device`` is "") an event that nobody on the way can read.

        Raises RetryLater ``matrix.no_session`` if none of them can be reached so now, Refused ``matrix.no_keys``
        if none ever can.
        """
        await self.learn([user])
        devices = [known for known in self._devices.of(user) if device in ("", known.device)]
        await self.begin([known for known in devices if self._olm.age_s(known) is None])
        reached = [known for known in devices if self._olm.age_s(known) is not None]
        if not reached and (devices or user not in self._devices.current):
            raise RetryLater("matrix.no_session", f"No device of {user} gives a key to encrypt to just now.", _AGAIN_S)
        if not reached:
            raise Refused("matrix.no_keys", f"{user} has no device {device} that a message could be encrypted to.")
        await self.tell(reached, kind, content, txn)


def _server(user: str) -> str:
    return user.partition(":")[2]


def _grouped(items: Iterable[T], key: Callable[[T], str]) -> list[list[T]]:
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk
