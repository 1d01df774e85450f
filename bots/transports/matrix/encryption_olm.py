"""Our device in the world of encryption: its identity, its one-time keys, and its sessions with other devices.

Every change is committed before anything that follows from it leaves this process: a one-time key that the server
hands out is one that we have, and no position of a ratchet is used twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec
import vodozemac

from bots.errors import StoreError
from bots.transports.matrix.encryption_devices import Device
from bots.transports.matrix.encryption_store import EncryptionStore
from bots.transports.matrix.encryption_words import (
    MEGOLM,
    OLM,
    SIGNED_KEY,
    OlmContent,
    OlmPayload,
    canonical,
    decoded,
    from_base64,
    hostile,
    key_bytes,
    unpadded,
)

SESSIONS_PER_DEVICE = 5  # a device that begins ever new ones makes us forget its own
_PAYLOAD_BYTES = 128 * 1024


class Wedged(Exception):
    """A message of a session that we do not have, or that went out of step."""


class Olm:
    """Our account and the sessions of it. Raises StoreError; what others sent never raises anything but Wedged."""

    def __init__(self, store: EncryptionStore, user: str, device: str) -> None:
        self._store = store
        self.user = user
        self.device = device
        self._account: Any  # vodozemac.Account, whose stubs lack fallback keys
        kept = store.account(user, device)
        if kept is None:
            self.uploaded = False
            self._account = vodozemac.Account()
            self._save()
        else:
            self.uploaded, pickle = kept
            try:
                self._account = vodozemac.Account.from_pickle(pickle, store.pickle_key)
            except ValueError as error:
                raise StoreError(
                    "store.damaged",
                    "The keys of encrypted rooms cannot be read with the key kept beside them.",
                    "Restore both files from a copy, or move them away together with the kept login.",
                ) from error
        self.curve25519 = self._account.curve25519_key.to_base64()
        self.ed25519 = self._account.ed25519_key.to_base64()

    # --- our keys ---

    def device_keys(self) -> dict[str, Any]:
        """Who this device is, signed by it."""
        keys = {f"curve25519:{self.device}": self.curve25519, f"ed25519:{self.device}": self.ed25519}
        return self._signed({"algorithms": [OLM, MEGOLM], "device_id": self.device, "keys": keys, "user_id": self.user})

    def keys_to_upload(self, on_server: int, *, fallback: bool) -> dict[str, Any]:
        """What ``/keys/upload`` is to be told; {} if nothing. ``fallback``: the server has no unused fallback key.

        The same keys again until ``keys_uploaded``: an answer may be lost.
        """
        most = self._account.max_number_of_one_time_keys
        on_server = min(max(on_server, 0), most)
        unpublished = len(self._account.one_time_keys)
        if on_server + unpublished < most // 2:
            self._account.generate_one_time_keys(most - on_server - unpublished)
        if (fallback or not self.uploaded) and not self._account.fallback_key:
            self._account.generate_fallback_key()
        self._save()
        told: dict[str, Any] = {} if self.uploaded else {"device_keys": self.device_keys()}
        if keys := self._account.one_time_keys:
            told["one_time_keys"] = {
                f"{SIGNED_KEY}:{name}": self._signed({"key": key.to_base64()}) for name, key in keys.items()
            }
        if keys := self._account.fallback_key:
            told["fallback_keys"] = {
                f"{SIGNED_KEY}:{name}": self._signed({"fallback": True, "key": key.to_base64()})
                for name, key in keys.items()
            }
        return told

    def keys_uploaded(self) -> None:
        """The server has what it was told."""
        self.uploaded = True
        self._account.mark_keys_as_published()
        self._save()

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        signature = self._account.sign(canonical(value)).to_base64()
        return value | {"signatures": {self.user: {f"ed25519:{self.device}": signature}}}

    def _save(self) -> None:
        self._store.save_account(self.user, self.device, self.uploaded, self._account.pickle(self._store.pickle_key))

    # --- sessions ---

    def age_s(self, device: Device) -> float | None:
        """How old our newest session with a device is, in seconds; None without one."""
        made = self._store.rows(
            "SELECT max(made_s) FROM olm WHERE user = ? AND sender_key = ?", device.user, device.curve25519
        )[0][0]
        return None if made is None else max(0.0, time.time() - made)

    def begin(self, device: Device, one_time_key: str) -> bool:
        """Begin a session with a device; False if its key is none."""
        try:
            keys = key_bytes(device.curve25519), key_bytes(one_time_key)
            with hostile():
                session = self._account.create_outbound_session(*map(vodozemac.Curve25519PublicKey.from_bytes, keys))
        except ValueError:
            return False
        self._add(device.user, device.curve25519, session)
        return True

    def encrypt(self, device: Device, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of a to-device event that this device alone can read. Raises KeyError without a session."""
        rows = self._sessions(device.user, device.curve25519)
        if not rows:
            raise KeyError(device.device)
        session = rows[0]
        payload = {
            "type": kind, "content": content, "sender": self.user, "sender_device": self.device,
            "keys": {"ed25519": self.ed25519}, "recipient": device.user,
            "recipient_keys": {"ed25519": device.ed25519},
        }  # fmt: skip
        number, text = session.encrypt(msgspec.json.encode(payload)).to_parts()
        self._keep(session, used=False)
        ciphertext = {device.curve25519: {"type": number, "body": unpadded(text)}}
        return {"algorithm": OLM, "sender_key": self.curve25519, "ciphertext": ciphertext}

    def encrypt_to(self, devices: Iterable[Device], kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The ``messages`` of a to-device request, each for one device alone. Raises KeyError as ``encrypt``."""
        messages: dict[str, dict[str, Any]] = {}
        with self._store.transaction():
            for device in devices:
                messages.setdefault(device.user, {})[device.device] = self.encrypt(device, kind, content)
        return messages

    def decrypt(self, sender: str, content: OlmContent) -> OlmPayload | None:
        """What the device with ``sender_key`` told us; None for what is not for us or says so of itself wrongly.

        Raises Wedged if this device must have said something that we can not read.
        """
        text = content.ciphertext.get(self.curve25519)
        if content.algorithm != OLM or text is None or text.type not in (0, 1) or len(text.body) > _PAYLOAD_BYTES:
            return None
        with self._store.transaction():
            try:
                key_bytes(content.sender_key)
                with hostile():
                    message = vodozemac.AnyOlmMessage.from_parts(text.type, from_base64(text.body))
                    plaintext, begun = self._plaintext(sender, content.sender_key, message)
            except ValueError:
                return None  # no Olm message at all, or under no key
            payload = decoded(plaintext, OlmPayload)
            if payload is None or (payload.sender, payload.recipient) != (sender, self.user):
                return None
            if payload.recipient_keys.ed25519 != self.ed25519:
                return None
            if begun is not None:
                self._add(sender, content.sender_key, begun)
        return payload

    def _plaintext(
        self, sender: str, sender_key: str, message: vodozemac.AnyOlmMessage
    ) -> tuple[bytes, vodozemac.Session | None]:
        """What a message says, and the session that it begins."""
        first = message.to_pre_key()
        for session in self._sessions(sender, sender_key):
            ours = first is not None and session.session_matches(first)
            if first is not None and not ours:
                continue
            try:
                plaintext = session.decrypt(message)
            except ValueError as error:
                if ours:
                    raise Wedged from error
                continue
            self._keep(session, used=True)
            return bytes(plaintext), None
        if first is None:
            raise Wedged
        key = vodozemac.Curve25519PublicKey.from_base64(sender_key)
        try:
            session, plaintext = self._account.create_inbound_session(key, first)
        except ValueError as error:
            raise Wedged from error
        self._save()  # without the one-time key that was used
        return bytes(plaintext), session

    def _sessions(self, user: str, sender_key: str) -> list[vodozemac.Session]:
        """Our sessions with a device, the one last heard from first.

        They are those of a user and a key: anybody can list a device with somebody else's key.
        """
        rows = self._store.rows(
            "SELECT pickle FROM olm WHERE user = ? AND sender_key = ? ORDER BY used_s DESC", user, sender_key
        )
        return [vodozemac.Session.from_pickle(pickle, self._store.pickle_key) for (pickle,) in rows]

    def _add(self, user: str, sender_key: str, session: vodozemac.Session) -> None:
        now, pickle = time.time(), session.pickle(self._store.pickle_key)
        with self._store.transaction():
            self._store.execute(
                "INSERT OR REPLACE INTO olm VALUES (?, ?, ?, ?, ?, ?)",
                session.session_id, user, sender_key, pickle, now, now,
            )  # fmt: skip
            self._store.execute(
                "DELETE FROM olm WHERE session IN (SELECT session FROM olm"
                " WHERE user = ? AND sender_key = ? ORDER BY used_s DESC LIMIT -1 OFFSET ?)",
                user, sender_key, SESSIONS_PER_DEVICE,
            )  # fmt: skip
            self._store.bound_sessions("olm", user)

    def _keep(self, session: vodozemac.Session, *, used: bool) -> None:
        self._store.execute(
            "UPDATE olm SET pickle = ?, used_s = CASE WHEN ? THEN ? ELSE used_s END WHERE session = ?",
            session.pickle(self._store.pickle_key), used, time.time(), session.session_id,
        )  # fmt: skip
