"""What the encryption of Matrix says on the wire, in types. Nothing here trusts it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec

OLM: Final = "m.olm.v1.curve25519-aes-sha2"
MEGOLM: Final = "m.megolm.v1.aes-sha2"
ROOM_KEY: Final = "m.room_key"
FORWARDED_KEY: Final = "m.forwarded_room_key"
KEY_REQUEST: Final = "m.room_key_request"
DUMMY: Final = "m.dummy"
SIGNED_KEY: Final = "signed_curve25519"

T = TypeVar("T")

_NOTHING = msgspec.Raw(b"{}")


class OlmText(msgspec.Struct, frozen=True):
    """A message to one device; ``type`` 0 begins a session."""

    type: int
    body: str


class OlmContent(msgspec.Struct, frozen=True):
    """An encrypted to-device event: one text for each device, by its Curve25519 key."""

    algorithm: str
    sender_key: str
    ciphertext: dict[str, OlmText]


class SigningKey(msgspec.Struct, frozen=True):
    """A device's Ed25519 key."""

    ed25519: str


class OlmPayload(msgspec.Struct, frozen=True):
    """What stands in an encrypted to-device event."""

    type: str
    sender: str
    recipient: str
    recipient_keys: SigningKey
    keys: SigningKey
    content: msgspec.Raw = _NOTHING


class MegolmContent(msgspec.Struct, frozen=True):
    """An encrypted room event."""

    algorithm: str
    ciphertext: str
    session_id: str
    device_id: str = ""


class MegolmPayload(msgspec.Struct, frozen=True):
    """What stands in an encrypted room event."""

    type: str
    room_id: str
    content: msgspec.Raw = _NOTHING


class RoomKey(msgspec.Struct, frozen=True):
    """A session's key, from the device that made it, or (``m.forwarded_room_key``) as it was exported."""

    algorithm: str
    room_id: str
    session_id: str
    session_key: str


class WantedKey(msgspec.Struct, frozen=True):
    """The session that a key request is about."""

    algorithm: str
    room_id: str
    session_id: str


class KeyRequest(msgspec.Struct, frozen=True):
    """Somebody lacks a session's key, or lacks it no more."""

    action: str
    request_id: str
    requesting_device_id: str
    body: WantedKey | None = None


class DeviceKeys(msgspec.Struct, frozen=True):
    """A device as its owner signed it."""

    user_id: str
    device_id: str
    keys: dict[str, str]
    algorithms: list[str] = []


class QueriedKeys(msgspec.Struct, frozen=True):
    """The answer to ``/keys/query``: what each user's own server says of the user's devices."""

    device_keys: dict[str, msgspec.Raw] = {}
    failures: dict[str, msgspec.Raw] = {}


class ClaimedKeys(msgspec.Struct, frozen=True):
    """The answer to ``/keys/claim``: what each user's own server hands out."""

    one_time_keys: dict[str, msgspec.Raw] = {}


class UploadedKeys(msgspec.Struct, frozen=True):
    """The answer to ``/keys/upload``."""

    one_time_key_counts: dict[str, int] = {}


def decoded(raw: bytes | str | msgspec.Raw, kind: type[T]) -> T | None:
    """Text as ``kind``, None if it does not fit. Never raises."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def canonical(value: dict[str, Any]) -> bytes:
    """Matrix canonical JSON, which signatures are made of. Raises ValueError for lone surrogates."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def unpadded(data: bytes) -> str:
    """Base64 as Matrix writes it."""
    return base64.b64encode(data).decode().rstrip("=")


@contextmanager
def hostile() -> Iterator[None]:
    """Inside, what vodozemac can not take raises ValueError, also where it panics (which no ``except`` would catch)."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise ValueError("nothing that vodozemac can take") from error
        raise


def key_bytes(text: str) -> bytes:
    """The 32 bytes of a public key. Raises ValueError."""
    if len(found := from_base64(text)) != 32:
        raise ValueError("a key has 32 bytes")
    return found


def from_base64(text: str) -> bytes:
    """Base64 with or without padding. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
