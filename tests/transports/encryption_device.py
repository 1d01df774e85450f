"""A device without a homeserver: all that one has, in a store of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bots.transports.matrix.encryption_devices import Device, Devices
from bots.transports.matrix.encryption_megolm import Megolm
from bots.transports.matrix.encryption_olm import Olm
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_words import MegolmContent, OlmContent, OlmPayload, RoomKey
from bots.transports.matrix.events import Header

ROOM = "!room:example.org"


class Client:
    """All that one device has."""

    def __init__(self, directory: Path, name: str, device: str = "DEVICE") -> None:
        self.directory = directory
        self.user = f"@{name}:example.org"
        self.device = device
        self.open()

    def open(self) -> None:
        self.store = EncryptionStore(self.directory)
        self.olm = Olm(self.store, self.user, self.device)
        self.devices = Devices(self.store, (self.user, self.device))
        self.megolm = Megolm(self.store, self.olm, self.devices)

    def reopen(self) -> None:
        self.store.close()
        self.open()

    def as_device(self) -> Device:
        return Device(self.user, self.device, self.olm.ed25519, self.olm.curve25519)

    def listed(self) -> dict[str, msgspec.Raw]:
        """As the homeserver lists it."""
        return {self.device: raw(self.olm.device_keys())}

    def one_time_key(self) -> str:
        keys = self.olm.keys_to_upload(0, fallback=False)["one_time_keys"]
        self.olm.keys_uploaded()
        return str(next(iter(keys.values()))["key"])

    def knows(self, *others: Client) -> None:
        self.devices.asking(other.user for other in others)
        for other in others:
            self.devices.take(other.user, other.listed())

    def begins_with(self, other: Client) -> None:
        assert self.olm.begin(other.as_device(), other.one_time_key())

    def olm_text(self, other: Client, kind: str = "m.dummy", **content: Any) -> OlmContent:
        return msgspec.convert(self.olm.encrypt(other.as_device(), kind, content), OlmContent)

    def hears(self, other: Client, content: OlmContent) -> OlmPayload | None:
        return self.olm.decrypt(other.user, content)

    def tells_session(self, *others: Client) -> None:
        outbound = self.megolm.outbound(ROOM) or self.megolm.renew(ROOM)
        key = msgspec.convert(self.megolm.key(ROOM, outbound), RoomKey)
        for other in others:
            other.megolm.take_key(self.user, self.olm.curve25519, self.olm.ed25519, key)

    def says(self, body: str, room: str = ROOM) -> MegolmContent:
        outbound = self.megolm.outbound(ROOM)
        assert outbound is not None
        return msgspec.convert(self.megolm.encrypt(room, outbound, "m.room.message", {"body": body}), MegolmContent)

    def reads(self, sender: Client, content: MegolmContent, event: str = "$1", room: str = ROOM) -> str:
        header = Header(type="m.room.encrypted", sender=sender.user, event_id=event)
        return str(json.loads(bytes(self.megolm.decrypt(room, header, content).content))["body"])


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


NewDevice = Callable[..., Client]
