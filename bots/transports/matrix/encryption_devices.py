"""The devices of those we share rooms with, as their owners signed them.

Nobody compares fingerprints for an agent: a device is trusted by the first keys we see of it, and nothing changes
them afterwards. A device that comes back with other keys is told, and gets nothing any more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec
import vodozemac

from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_words import DeviceKeys, canonical, decoded, hostile, key_bytes

log = logging.getLogger(__name__)

DEVICES_MOST = 100  # of one user; as many again that are gone, or changed
_SHOWN_MOST = 100
_ID_CHARACTERS = 255


class Device(msgspec.Struct, frozen=True):
    """One device of somebody, by the first keys we saw of it."""

    user: str
    device: str
    ed25519: str
    curve25519: str
    name: str = ""
    gone: int = 0  # 1: its owner logged it out
    changed: int = 0  # 1: it came back with other keys

    @property
    def id(self) -> tuple[str, str]:
        return self.user, self.device


class Devices:
    """What we know of devices; ``us`` is our own (user id, device id), which is never among them."""

    def __init__(self, store: EncryptionStore, us: tuple[str, str]) -> None:
        self._store = store
        self._us = us
        self.current: set[str] = set()  # users whose list is as the server has it, in this run
        self._asked: set[str] = set()  # users whose list is being asked for, and did not change meanwhile

    def of(self, user: str) -> list[Device]:
        """The devices of a user that may be told something."""
        return [device for device in self._known(user).values() if not (device.gone or device.changed)]

    def named(self, user: str, device: str) -> Device | None:
        """One device of a user that may be told something."""
        return next((known for known in self.of(user) if known.device == device), None)

    def holding(self, user: str, curve25519: str, ed25519: str) -> Device | None:
        """The device of a user with these keys, also one that is logged out by now."""
        for device in self._known(user).values():
            if (device.curve25519, device.ed25519) == (curve25519, ed25519):
                return device
        return None

    def changed(self) -> list[tuple[str, str]]:
        """(User id, device id) of devices that came back with other keys, as many as people look at."""
        rows = self._store.rows(
            "SELECT user, device FROM device WHERE changed ORDER BY user, device LIMIT ?", _SHOWN_MOST
        )
        return [(str(user), str(device)) for user, device in rows]

    def outdated(self, user: str) -> None:
        """The list of this user is not what it was."""
        self.current.discard(user)
        self._asked.discard(user)

    def asking(self, users: Iterable[str]) -> None:
        """The lists of these users are being asked for."""
        self._asked.update(users)

    def take(self, user: str, listed: Mapping[str, msgspec.Raw]) -> None:
        """The devices of a user, as the server lists them now.

        None may have the Curve25519 key of another one of this user. Of other users it may: the signature does not
        prove that a device has this key, and whoever lists it first would lock its owner out.
        """
        before = self._known(user)
        pinned = {device.curve25519 for device in before.values()}
        news: list[Device] = []
        for name, raw in islice(listed.items(), DEVICES_MOST):
            device = _signed_device(user, name, raw)
            if device is None or device.id == self._us:
                continue
            known = before.get(name)
            if known is None:
                if device.curve25519 in pinned:
                    log.warning("The device %s of %s has the key of another one: it gets nothing", name, user)
                    continue
                pinned.add(device.curve25519)
                news.append(device)
                if before:
                    log.info("%s has a new device: %s", user, name)
            elif (known.ed25519, known.curve25519) != (device.ed25519, device.curve25519):
                if not known.changed:
                    log.warning("The keys of the device %s of %s have changed: it gets nothing any more", name, user)
                news.append(msgspec.structs.replace(known, changed=1))
            elif known.gone:
                news.append(msgspec.structs.replace(known, gone=0))
        gone = [known for name, known in before.items() if name not in listed and not known.gone]
        news += [msgspec.structs.replace(known, gone=1) for known in gone]
        with self._store.transaction():
            for device in news:
                self._store.execute(
                    "INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?, ?, ?, ?)", *msgspec.structs.astuple(device)
                )
            self._bound(user)
        if user in self._asked:
            self._asked.discard(user)
            self.current.add(user)

    def _known(self, user: str) -> dict[str, Device]:
        rows = self._store.rows(
            "SELECT user, device, ed25519, curve25519, name, gone, changed FROM device WHERE user = ?", user
        )
        return {row[1]: Device(*row) for row in rows}

    def _bound(self, user: str) -> None:
        """Forget devices that are too many: those that are gone first, and last those whose keys have changed."""
        self._store.execute(
            "DELETE FROM device WHERE user = ? AND device IN"
            " (SELECT device FROM device WHERE user = ? ORDER BY gone, changed DESC, device LIMIT -1 OFFSET ?)",
            user, user, DEVICES_MOST * 2,
        )  # fmt: skip


def printable(device: str) -> bool:
    """Whether this may be a device's id."""
    return 0 < len(device) <= _ID_CHARACTERS and device.isprintable()


def verified(value: dict[str, Any], user: str, device: str, ed25519: str) -> bool:
    """Whether a device signed this object."""
    try:
        signature = value["signatures"][user][f"ed25519:{device}"]
        text = canonical({key: value[key] for key in value if key not in ("signatures", "unsigned")})
        key_bytes(ed25519)
        with hostile():
            key = vodozemac.Ed25519PublicKey.from_base64(ed25519)
            key.verify_signature(text, vodozemac.Ed25519Signature.from_base64(signature))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return True


def _signed_device(user: str, name: str, raw: msgspec.Raw) -> Device | None:
    keys, value = decoded(raw, DeviceKeys), decoded(raw, dict[str, Any])
    if keys is None or value is None or (keys.user_id, keys.device_id) != (user, name) or not printable(name):
        return None
    ed25519, curve25519 = keys.keys.get(f"ed25519:{name}", ""), keys.keys.get(f"curve25519:{name}", "")
    try:
        key_bytes(curve25519)
    except ValueError:
        return None
    if not verified(value, user, name, ed25519):
        return None
    shown = value.get("unsigned")
    title = shown.get("device_display_name") if isinstance(shown, dict) else None
    return Device(user, name, ed25519, curve25519, title[:100] if isinstance(title, str) else "")
