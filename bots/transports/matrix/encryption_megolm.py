"""The sessions of rooms: ours, that we encrypt with, and those that others told us.

What we encrypt with is never kept on disk: each start begins with a session of its own, so that no position of one
is ever used twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec
import vodozemac

from bots.transports.matrix import events
from bots.transports.matrix.encryption_devices import Device, Devices
from bots.transports.matrix.encryption_olm import Olm
from bots.transports.matrix.encryption_store import HEARD_MOST, SHARED_MOST, EncryptionStore
from bots.transports.matrix.encryption_words import (
    MEGOLM,
    MegolmContent,
    MegolmPayload,
    RoomKey,
    decoded,
    from_base64,
    hostile,
)

MESSAGES_MOST = 100  # with one session; Matrix' defaults
AGE_MOST_S = 7 * 86_400.0
_Inbound: TypeAlias = vodozemac.InboundGroupSession
_CLAIMANTS_MOST = 4  # devices of one user that say of one session that it is theirs


class Unreadable(Exception):
    """A room event that cannot be read; ``lacks`` says what would change that, "" if nothing can."""

    def __init__(self, reason: str, lacks: Literal["", "key", "device", "file"] = "") -> None:
        super().__init__(reason)
        self.lacks = lacks


class Outbound:
    """A session that we encrypt with, and whom we told it."""

    def __init__(self) -> None:
        self.session = vodozemac.GroupSession()
        self.id = self.session.session_id
        self.told: set[tuple[str, str]] = set()  # (user, device)
        self._made_at = time.monotonic()

    @property
    def used_up(self) -> bool:
        return self.session.message_index >= MESSAGES_MOST or time.monotonic() - self._made_at >= AGE_MOST_S


class Megolm:
    """Encrypts and decrypts room events. Raises StoreError."""

    def __init__(self, store: EncryptionStore, olm: Olm, devices: Devices) -> None:
        self._store = store
        self._olm = olm
        self._devices = devices
        self._outbound: dict[str, Outbound] = {}
        self._heard: dict[tuple[str, int], str] = {}  # (whose session, position) -> event; not yet committed

    # --- ours ---

    def outbound(self, room: str) -> Outbound | None:
        """The session we encrypt with in this room, if there is one that may still be used."""
        session = self._outbound.get(room)
        return session if session is not None and not session.used_up else None

    def renew(self, room: str) -> Outbound:
        """Begin a new session: nobody knows it yet."""
        outbound = self._outbound[room] = Outbound()
        with self._store.transaction():
            inbound = vodozemac.InboundGroupSession(outbound.session.session_key)
            self._add(room, outbound.id, self._olm.user, self._olm.curve25519, self._olm.ed25519, inbound)
        return outbound

    def key(self, room: str, outbound: Outbound) -> dict[str, Any]:
        """What a device must be told to read all that comes from now on."""
        return {
            "algorithm": MEGOLM, "room_id": room, "session_id": outbound.id,
            "session_key": outbound.session.session_key.to_base64(),
        }  # fmt: skip

    def told(self, outbound: Outbound, devices: Iterable[Device]) -> None:
        """These devices know the session from here on."""
        place = outbound.session.message_index
        with self._store.transaction():
            for device in devices:
                outbound.told.add(device.id)
                self._store.execute(
                    "INSERT OR IGNORE INTO shared (session, user, device, place) VALUES (?, ?, ?, ?)",
                    outbound.id, *device.id, place,
                )  # fmt: skip
            self._store.bound("shared", SHARED_MOST)

    def encrypt(self, room: str, outbound: Outbound, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of the encrypted event."""
        payload = {"type": kind, "content": content, "room_id": room}
        text = outbound.session.encrypt(msgspec.json.encode(payload)).to_base64()
        return {
            "algorithm": MEGOLM, "ciphertext": text, "session_id": outbound.id,
            "sender_key": self._olm.curve25519, "device_id": self._olm.device,
        }  # fmt: skip

    # --- others' ---

    def take_key(self, user: str, sender_key: str, ed25519: str, key: RoomKey, *, exported: bool = False) -> bool:
        """Keep what a device told us of a session of its own; False if it is none, or tells nothing new."""
        if key.algorithm != MEGOLM:
            return False
        try:
            with hostile():
                session = (
                    vodozemac.InboundGroupSession.import_session(vodozemac.ExportedSessionKey(key.session_key))
                    if exported
                    else vodozemac.InboundGroupSession(vodozemac.SessionKey(key.session_key))
                )
        except ValueError:
            return False
        claimants = self._inbound(key.room_id, key.session_id, user)
        known = [row for row in claimants if row[0] == sender_key]
        if session.session_id != key.session_id or (not known and len(claimants) >= _CLAIMANTS_MOST):
            return False
        if known and known[0][2].first_known_index <= session.first_known_index:
            return False
        with self._store.transaction():
            self._add(key.room_id, key.session_id, user, sender_key, ed25519, session)
        return True

    def forget(self, room: str) -> None:
        """We are in this room no more."""
        self._outbound.pop(room, None)

    def exported(self, room: str, session_id: str, place: int) -> str | None:
        """The key of a session of ours from one position on."""
        for sender_key, _, session in self._inbound(room, session_id, self._olm.user):
            if sender_key == self._olm.curve25519:
                key = session.export_at(max(place, session.first_known_index))
                return None if key is None else key.to_base64()
        return None

    def knows(self, room: str, session_id: str, user: str) -> bool:
        """Whether a device of this user told us a key of a session as its own."""
        return bool(self._inbound(room, session_id, user))

    def decrypt(self, room: str, event: events.Header, content: MegolmContent) -> MegolmPayload:
        """What the sender of an event said in it. Raises Unreadable.

        The session must be one of a device of this very sender: nobody else's, whatever the server says.
        """
        if content.algorithm != MEGOLM:
            raise Unreadable("its algorithm is not known")
        claimants = self._inbound(room, content.session_id, event.sender)
        if not claimants:  # others may have told it as theirs: that is nothing to the sender
            raise Unreadable("its key is missing", "key")
        for sender_key, ed25519, session in claimants:
            if not self._is_of(event.sender, sender_key, ed25519):
                continue
            try:
                with hostile():
                    found = session.decrypt(vodozemac.MegolmMessage.from_bytes(from_base64(content.ciphertext)))
            except ValueError as error:
                # Told from a later position on, we may still get the earlier ones.
                raise Unreadable("its key does not fit", "key" if "index" in str(error) else "") from error
            payload = decoded(found.plaintext, MegolmPayload) or decoded(events.defused(found.plaintext), MegolmPayload)
            if payload is None or payload.room_id != room:
                raise Unreadable("it was made for another room")
            self._hear(f"{sender_key} {content.session_id} {room}", found.message_index, event.event_id)
            return payload
        known = event.sender in self._devices.current
        raise Unreadable("no device of its sender has this key", "" if known else "device")

    def commit(self) -> None:
        """Commit which positions of sessions were read."""
        if self._heard:
            with self._store.transaction():
                for (session, place), event in self._heard.items():
                    self._store.execute("INSERT OR IGNORE INTO heard VALUES (?, ?, ?)", session, place, event)
                self._store.bound("heard", HEARD_MOST)
            self._heard.clear()

    def _hear(self, session: str, place: int, event: str) -> None:
        """Each position of a session is for one event: the server may not show it again as another one."""
        kept = self._store.rows("SELECT event FROM heard WHERE session = ? AND place = ?", session, place)
        first = self._heard.get((session, place)) or (str(kept[0][0]) if kept else event)
        if first != event:
            raise Unreadable("it repeats another event")
        if not kept:
            self._heard[session, place] = event

    def _is_of(self, sender: str, sender_key: str, ed25519: str) -> bool:
        if sender == self._olm.user and (sender_key, ed25519) == (self._olm.curve25519, self._olm.ed25519):
            return True
        return self._devices.holding(sender, sender_key, ed25519) is not None

    def _inbound(self, room: str, session_id: str, user: str) -> list[tuple[str, str, _Inbound]]:
        rows = self._store.rows(
            "SELECT sender_key, ed25519, pickle FROM inbound WHERE room = ? AND session = ? AND user = ?",
            room, session_id, user,
        )  # fmt: skip
        restore = vodozemac.InboundGroupSession.from_pickle
        return [(key, ed25519, restore(pickle, self._store.pickle_key)) for key, ed25519, pickle in rows]

    def _add(self, room: str, session_id: str, user: str, sender_key: str, ed25519: str, session: _Inbound) -> None:
        self._store.execute(
            "INSERT OR REPLACE INTO inbound VALUES (?, ?, ?, ?, ?, ?)",
            room, session_id, user, sender_key, ed25519, session.pickle(self._store.pickle_key),
        )  # fmt: skip
        self._store.bound_sessions("inbound", user)
