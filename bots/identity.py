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

_PURPOSES = ("identity", "next", "seal")


class Identity(msgspec.Struct, frozen=True):
    """The keys of one agent."""

    key: SigningKey
    seal: SealKey
    next_key_digest: str

    @property
    def did(self) -> str:
        return self.key.did


def create(folder: Path) -> Identity:
    """Make the keys of a new agent, 0600 in a 0700 folder. Raises ConfigError if there are some already."""
    make_private(folder)
    try:
        for purpose in _PURPOSES:
            write_key_file(folder / f"{purpose}.key", os.urandom(32), purpose)
    except KeyFileError as error:
        raise ConfigError("keys.exist", str(error)) from None
    return load(folder)


def load(folder: Path) -> Identity:
    """Read the keys. Raises ConfigError with the way out."""
    try:
        identity, following, seal = (read_key_file(folder / f"{purpose}.key", purpose) for purpose in _PURPOSES)
    except KeyFileError as error:
        raise ConfigError("keys.unreadable", str(error), "Run `clawbot init` to make keys for a new agent.") from None
    return Identity(SigningKey(identity), SealKey(seal), digest(SigningKey(following).public))
