"""An agent's keys: who it is, the key it will rotate to, and the key others seal to."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bots.errors import ConfigError
from bots.paths import make_private
from clawnet_proto.errors import KeyFileError
from clawnet_proto.keys import SigningKey, read_key_file, write_key_file
from clawnet_proto.sealing import SealKey
from clawnet_proto.signing import digest

# In the order in which they are made: the identity's presence says that the agent has all its keys.
_PURPOSES = ("seal", "next", "identity")


class Identity(msgspec.Struct, frozen=True):
    """The keys of one agent."""

    key: SigningKey
    seal: SealKey
    next_key_digest: str

    @property
    def did(self) -> str:
        return self.key.did


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
    """Whether all key files of an agent are there."""
    return all((folder / f"{purpose}.key").exists() for purpose in _PURPOSES)


def load(folder: Path) -> Identity:
    """Read the keys. Raises ConfigError with the way out."""
    try:
        seal, following, identity = (read_key_file(folder / f"{purpose}.key", purpose) for purpose in _PURPOSES)
    except KeyFileError as error:
        raise ConfigError("keys.unreadable", str(error), "Run `clawbot init` to make keys for a new agent.") from None
    return Identity(SigningKey(identity), SealKey(seal), digest(SigningKey(following).public))
