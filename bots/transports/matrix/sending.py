"""Sending a parcel: into its room, or to a device. What belongs into an encrypted room never leaves as plain text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from bots.errors import Refused
from bots.transports import Parcel
from bots.transports.matrix import addresses, wire, writing
from bots.transports.matrix.account import Account, nonsense
from bots.transports.matrix.encryption import Encryption
from bots.transports.matrix.events import ENCRYPTED
from bots.transports.matrix.membership import Membership
from clawnet_proto.bindings.matrix import DIRECT, MESSAGE

log = logging.getLogger(__name__)

# The homeserver will not have the parcel as part of this thread; the thread is only a hint.
_NO_THREAD = ("matrix.unknown", "matrix.invalid_param")

SeenEncrypted = Callable[[str], bool | None]


class _Sent(msgspec.Struct):
    event_id: str


class Sending:
    """Sends for one account."""

    def __init__(self, account: Account, membership: Membership, encryption: Encryption) -> None:
        self._account = account
        self._membership = membership
        self._encryption = encryption
        self._under_way: set[asyncio.Task[Any]] = set()

    async def departed(self, timeout_s: float) -> bool:
        """Wait for what is being sent, so long at most; False if nothing is."""
        if not self._under_way:
            return False
        await asyncio.wait(self._under_way, timeout=timeout_s)
        return True

    async def send(self, parcel: Parcel, seen_encrypted: SeenEncrypted) -> str:
        """Send, and return the event id ("" on the direct plane). Raises RetryLater, Refused, Fatal, StoreError.

        ``seen_encrypted`` says of a room id what the syncs told, None if that is not to be relied upon.
        """
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            return await self._send(parcel, seen_encrypted)
        finally:
            self._under_way.discard(task)

    async def _send(self, parcel: Parcel, seen_encrypted: SeenEncrypted) -> str:
        if parcel.plane == "direct":
            await self._send_directly(parcel)
            return ""
        try:
            room_id = addresses.room_id(parcel.room)
        except ValueError as error:
            raise Refused("matrix.bad_address", f"{parcel.room!r} is no room on Matrix.") from error
        kind, content = MESSAGE, writing.room_content(parcel)
        if await self._is_encrypted(room_id, seen_encrypted):
            kind, content = ENCRYPTED, await self._encryption.encrypt(room_id, MESSAGE, content)
        try:
            return await self._put(room_id, kind, content, parcel.txn)
        except Refused as error:
            if error.code not in _NO_THREAD or not content.pop("m.relates_to", None):
                raise
            log.info("%s does not take a message into its thread, it goes without: %s", room_id, error)
            return await self._put(room_id, kind, content, parcel.txn)

    async def _send_directly(self, parcel: Parcel) -> None:
        messages = writing.direct_messages(parcel)
        # What is sealed hides what it speaks of by itself.
        if self._encryption.rooms:
            encrypted = {addresses.room_uri(room_id) for room_id in self._encryption.rooms}
            if encrypted & writing.open_rooms(parcel):
                ((user, devices),) = messages.items()
                (content,) = devices.values()
                await self._encryption.send_directly(user, parcel.device, content, parcel.txn)
                return
        await self._account.call(wire.send_to_device(DIRECT, messages, parcel.txn))

    async def _put(self, room_id: str, kind: str, content: dict[str, Any], txn: str) -> str:
        answer = await self._account.call(wire.send_to_room(room_id, kind, content, txn))
        try:
            return msgspec.json.decode(answer, type=_Sent).event_id
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise nonsense() from error

    async def _is_encrypted(self, room_id: str, seen_encrypted: SeenEncrypted) -> bool:
        if room_id in self._encryption.rooms:
            return True
        seen = seen_encrypted(room_id)
        if seen is None:
            seen = await self._membership.encrypted(room_id)
        if seen:
            self._encryption.remember(room_id)
        return seen
