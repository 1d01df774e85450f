"""An agent's keys: who it is, the key in use, the key after it, and the key others seal to (spec/04-identity.md)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from bots.errors import ConfigError
from bots.key_record import KeyRecord, Revocation, read_record, write_record
from bots.paths import make_private
from clawnet_proto.errors import KeyFileError
from clawnet_proto.families.identity import Link, commit
from clawnet_proto.keys import SigningKey, read_key_file, write_key_file
from clawnet_proto.rendering import clean
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import digest
from clawnet_proto.specification import LIMITS

log = logging.getLogger(__name__)

Purpose = Literal["seal", "next", "identity"]

# In the order in which they are made: the identity's presence says that the agent has all its keys.
_PURPOSES: tuple[Purpose, ...] = ("seal", "next", "identity")
_RECORD = "history.json"


class Identity(msgspec.Struct, frozen=True):
    """The keys of one agent. ``did`` is its first key for ever, ``key`` the one it signs with."""

    did: str
    key: SigningKey
    seal: SealKey
    next_key_digest: str
    chain: tuple[Link, ...] = ()
    revocation: Revocation | None = None
    folder: Path | None = None


def create(folder: Path) -> Identity:
    """Make the keys of a new agent, 0600 in a 0700 folder, or those that an interrupted try did not make.

    Raises ConfigError if they are all there already, or cannot be written.
    """
    if complete(folder):
        raise ConfigError("keys.exist", f"There are keys in {folder} already; a key is never overwritten.")
    make_private(folder)
    try:
        for purpose in _PURPOSES:
            if not (folder / f"{purpose}.key").exists():
                write_key_file(folder / f"{purpose}.key", os.urandom(32), purpose)
    except KeyFileError as error:
        raise ConfigError("keys.unwritable", str(error), "Make room, or give yourself the right, and repeat.") from None
    return load(folder)


def complete(folder: Path) -> bool:
    """Whether an agent's keys were made here."""
    return (folder / _RECORD).exists() or all((folder / f"{purpose}.key").exists() for purpose in _PURPOSES)


def load(folder: Path) -> Identity:
    """Read the keys. Raises ConfigError with the way out.

    For keys that are older than the record of them, the word for the next key is made here.
    """
    record = _record(folder)
    seal = SealKey(_read(folder, "seal.key", "seal"))
    following = SigningKey(_read(folder, _name(_generation(record) + 1), _purpose(_generation(record) + 1)))
    lost = "Go on with the next one: clawbot identity rotate." if record else ""
    key = SigningKey(_read(folder, _name(_generation(record)), _purpose(_generation(record)), lost))
    if record is None:
        word = commit(key, identity=key.did, generation=1, following=following.public)
        record = KeyRecord(identity=key.did, links=(), commitment=word)
        try:
            write_record(folder / _RECORD, record)
        except ConfigError as error:
            # As long as the key in use is there, the word can be given any time.
            log.warning("%s", error)
    expected = record.links[-1].key if record.links else record.identity
    if key.did != expected:
        raise ConfigError(
            "keys.unreadable",
            f"{folder / _name(_generation(record))} holds another key than {folder / _RECORD} names.",
            "Put the right one back from a copy.",
        )
    return Identity(record.identity, key, seal, digest(following.public), record.links, record.revocation, folder)


def require_sound(own: Identity, name: str) -> None:
    """Raises ConfigError for an identity that was revoked."""
    if own.revocation is not None:
        raise ConfigError(
            "identity.revoked",
            f"The identity of {name} was revoked: nothing it says counts any more.",
            f"Make a new agent with clawbot init, or go on with its next key: clawbot identity rotate --name {name}",
        )


def rotate(folder: Path, since_ms: int, entropy: Callable[[int], bytes] = os.urandom) -> Identity:
    """Give up the key in use for the next one, from ``since_ms`` on; the key in use may be lost.

    The key after the next, and the word for it, are on disk before anything is signed with the next: whatever
    interrupts this leaves an identity that can be used, and a repetition does the same. Raises ConfigError.
    """
    record = _record(folder)
    if record is None:
        load(folder)
        record = _record(folder)
        assert record is not None
    generation = _generation(record) + 1
    if generation > LIMITS.rotations:
        raise ConfigError(
            "identity.rotations",
            f"This identity was rotated {LIMITS.rotations} times, which is all that the protocol allows.",
            "Make a new agent: clawbot init --name NAME.",
        )
    key = SigningKey(_read(folder, _name(generation), _purpose(generation)))
    try:
        if not (folder / _name(generation + 1)).exists():
            write_key_file(folder / _name(generation + 1), entropy(32), "next")
    except KeyFileError as error:
        raise ConfigError("keys.unwritable", str(error), "Make room, or give yourself the right, and repeat.") from None
    following = SigningKey(_read(folder, _name(generation + 1), "next"))
    link = Link(key=key.did, commitment=record.commitment, since_ms=since_ms)
    word = commit(key, identity=record.identity, generation=generation + 1, following=following.public)
    write_record(folder / _RECORD, KeyRecord(identity=record.identity, links=(*record.links, link), commitment=word))
    # Whoever breaks in later shall not sign with it as of before.
    (folder / _name(generation - 1)).unlink(missing_ok=True)
    return load(folder)


def revoke(folder: Path, since_ms: int, reason: str = "") -> Identity:
    """Note that the identity says nothing more from ``since_ms`` on; of two revocations the first counts.

    Raises ConfigError.
    """
    identity = load(folder)
    record = _record(folder)
    assert record is not None
    if identity.revocation is None:
        revocation = Revocation(since_ms=since_ms, reason=clean(reason, limit=300))
        write_record(folder / _RECORD, msgspec.structs.replace(record, revocation=revocation))
    return load(folder)


def _record(folder: Path) -> KeyRecord | None:
    return read_record(folder / _RECORD)


def _generation(record: KeyRecord | None) -> int:
    return 0 if record is None else len(record.links)


def _name(generation: int) -> str:
    """The file of the key of a generation: a key stays in the file it was made in."""
    return ("identity.key", "next.key")[generation] if generation < 2 else f"next-{generation}.key"


def _purpose(generation: int) -> Purpose:
    return "identity" if generation == 0 else "next"


def _read(folder: Path, name: str, purpose: Purpose, hint: str = "") -> bytes:
    try:
        return read_key_file(folder / name, purpose)
    except KeyFileError as error:
        hint = hint or "Put it back from a copy, or run `clawbot init` to make keys for a new agent."
        raise ConfigError("keys.unreadable", str(error), hint) from None
