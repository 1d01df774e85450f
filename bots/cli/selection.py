"""Which agent a command means, with its files, configuration and keys."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from bots import config as configuration
from bots import identity
from bots.cli.terminal import write_line
from bots.config import Config
from bots.errors import ConfigError
from bots.identity import Identity
from bots.paths import Paths, known_agents, paths_of


class Selection(msgspec.Struct, frozen=True):
    """One agent on this machine."""

    name: str
    paths: Paths
    config: Config


def overrides(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the command line sets, by section and key; None where it says nothing."""
    rooms = by_transport(options)
    return {
        "agent": {"kind": options.kind, "role": options.role},
        "matrix": {
            "homeserver": options.homeserver,
            "user": options.user,
            "rooms": rooms.get("matrix"),
            "owner": options.owner,
        },
        "http": {"hub": getattr(options, "hub", None), "rooms": rooms.get("http")},
        "activitypub": {"host": getattr(options, "activitypub", None), "follow": getattr(options, "follow", None)},
        "lan": {"enabled": getattr(options, "lan", None), "rooms": rooms.get("lan")},
        "engine": {"use": options.engine, "model_path": options.model_path},
        "log": {"level": getattr(options, "log_level", None), "format": getattr(options, "log_format", None)},
        "health": health(options),
    }


def health(options: argparse.Namespace) -> dict[str, Any]:
    """What the command line sets of the section of this name."""
    port = getattr(options, "health", None)
    return {"listen": None if port is None else f"127.0.0.1:{port}"}


def by_transport(options: argparse.Namespace) -> dict[str, list[str] | None]:
    """The rooms of the command line, by the section of the configuration that they belong to."""
    given = options.room if options.module in ("run", "setup") else None
    hub, server, lan = getattr(options, "hub", None), options.homeserver, getattr(options, "lan", None)
    usual = "http" if hub else "lan" if lan and not server else "matrix"
    if given is None:
        return {usual: None}
    found: dict[str, list[str]] = {"http": [], "matrix": []} if hub and server else {}
    for room in given:
        found.setdefault(_belongs(room, usual, matrix=bool(server or not hub)), []).append(room)
    return dict(found)


def _belongs(room: str, usual: str, *, matrix: bool) -> str:
    """The section of one room; ``matrix``: what looks like a room of Matrix is one."""
    if room.startswith("lan:"):
        return "lan"
    return "matrix" if matrix and room.startswith(("#", "!", "matrix:")) else usual


def select(options: argparse.Namespace) -> Selection:
    """The agent that flags, environment or the only configuration name. Raises ConfigError."""
    name = _name(options)
    paths = paths_of(name)
    if options.config is not None:
        paths = msgspec.structs.replace(paths, config=Path(options.config))
    there = paths.config.is_file() or options.config is not None
    changes = overrides(options)
    if not there or options.name is not None:
        changes["agent"]["name"] = options.name
    config = configuration.load(paths.config if there else None, changes)
    return Selection(name, paths, config)


def _name(options: argparse.Namespace) -> str:
    if options.name or os.environ.get("CLAWNET_AGENT_NAME"):
        return str(options.name or os.environ["CLAWNET_AGENT_NAME"])
    known = known_agents()
    if len(known) > 1:
        raise ConfigError(
            "config.ambiguous", f"There are {len(known)} agents here.", f"Choose by --name: {', '.join(known)}."
        )
    return known[0] if known else "clawbot"


def require_account(selection: Selection) -> None:
    """Raises ConfigError naming what is missing to log in."""
    matrix = selection.config.matrix
    config = selection.config
    if (config.http.hub or config.activitypub.host or config.lan.enabled) and not matrix.homeserver:
        return
    missing = [flag for flag, value in (("--homeserver", matrix.homeserver), ("--user", matrix.user)) if not value]
    if missing:
        raise ConfigError(
            "config.incomplete",
            f"The agent {selection.name} has no {' and no '.join(flag.strip('-') for flag in missing)}.",
            f"Give {' and '.join(missing)}, or set them in {selection.paths.config}."
            if selection.paths.config.is_file()
            else f"Run `clawbot init` to make one, or give {' and '.join(missing)}.",
        )


def keys(selection: Selection) -> Identity:
    """The agent's keys; made at first need. Raises ConfigError."""
    if not identity.complete(selection.paths.keys):
        write_line(sys.stderr, f"Making keys for {selection.name} in {selection.paths.keys}")
        return identity.create(selection.paths.keys)
    return identity.load(selection.paths.keys)


def password(user: str) -> str:
    """From the environment or the file it names, else from a prompt, else "" (the transport then says what is missing).

    Raises ConfigError if that file cannot be read.
    """
    given = os.environ.get("CLAWNET_MATRIX_PASSWORD", "")
    if file := os.environ.get("CLAWNET_MATRIX_PASSWORD_FILE", ""):
        try:
            given = given or Path(file).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                "password.unreadable", f"The password cannot be read from {file}.", "See CLAWNET_MATRIX_PASSWORD_FILE."
            ) from None
    if given or not sys.stdin.isatty():
        return given
    return getpass.getpass(f"Password of {user}: ")
