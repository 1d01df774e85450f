"""The record beside the keys: which of them is in use, the words that lead to it, and the word for the next.

Written whole and moved into place, so that it is the old one or the new one whatever happens.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from bots.errors import ConfigError
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.identity import Link, prove_chain
from clawnet_proto.wire import Did, Line, Millis, Signature


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """The identity was revoked: it says nothing more from ``since_ms`` on."""

    since_ms: Millis
    reason: Line = ""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be remembered of an identity's keys. Nothing of it is secret."""

    identity: Did  # the first key, for ever
    links: tuple[Link, ...]  # all rotations so far
    commitment: Signature  # the word of the key in use for the key after it
    revocation: Revocation | None = None


def read_record(path: Path) -> KeyRecord | None:
    """The record, or None if there is none. Raises ConfigError if it cannot be used."""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=KeyRecord)
        prove_chain(record.identity, record.links)
        return record
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except (msgspec.MsgspecError, UnicodeDecodeError, RemoteProtocolError):
        reason = "does not hold the history of an identity's keys"
    raise ConfigError("keys.unreadable", f"{path} {reason}.", "Put it back from a copy.")


def write_record(path: Path, record: KeyRecord) -> None:
    """Write the record to disk, 0600. Raises ConfigError; what was there is then there still."""
    fresh = path.with_name(path.name + ".new")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(record) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise ConfigError(
            "keys.unwritable",
            f"{path} cannot be written: {error.strerror}.",
            "Make room, or give yourself the right, and repeat.",
        ) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
