"""Where an agent keeps its files: the XDG base directories, one folder an agent."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from bots.errors import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Paths(msgspec.Struct, frozen=True):
    """The files of one agent. Folders are 0700, files 0600."""

    config: Path  # config.toml
    state: Path  # folder of everything below

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    @property
    def store(self) -> Path:
        return self.state / "store.sqlite"

    @property
    def socket(self) -> Path:
        return self.state / "control.sock"


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    # The XDG specification says that a relative path is ignored.
    return Path(value) if value.startswith("/") else Path.home() / default


def config_home() -> Path:
    """Folder of all agents' configurations."""
    return _base("XDG_CONFIG_HOME", ".config") / "clawnet"


def state_home() -> Path:
    """Folder of all agents' keys and stores."""
    return _base("XDG_STATE_HOME", ".local/state") / "clawnet"


def paths_of(name: str) -> Paths:
    """The files of the agent called ``name``. Raises ConfigError for a name that is no file name."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "config.name", f"{name!r} cannot name an agent.", "Use letters, digits, dots, dashes, underscores."
        )
    return Paths(config_home() / name / "config.toml", state_home() / name)


def known_agents() -> list[str]:
    """Names of the agents that have a configuration here."""
    return sorted(path.parent.name for path in config_home().glob("*/config.toml"))


def make_private(folder: Path) -> None:
    """Create a folder and the parents it lacks, all 0700. Raises ConfigError."""
    try:
        # ``mkdir(parents=True)`` gives its mode to the last folder alone.
        for path in [*reversed([parent for parent in folder.parents if not parent.exists()]), folder]:
            path.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError("config.folder", f"The folder {folder} cannot be made: {error.strerror}.") from None
