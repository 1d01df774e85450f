"""``clawbot init``: a commented configuration and new keys."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from bots import config as configuration
from bots import identity
from bots.cli import OK
from bots.cli.selection import by_transport, overrides
from bots.cli.terminal import write_line
from bots.errors import ConfigError
from bots.paths import make_private, paths_of


def main(options: argparse.Namespace) -> int:
    name = options.name or os.environ.get("CLAWNET_AGENT_NAME") or "clawbot"
    paths = paths_of(name)
    if options.config is not None:
        paths = msgspec.structs.replace(paths, config=Path(options.config))
    if paths.config.exists():
        raise ConfigError("config.exists", f"{paths.config} exists already.", "Edit it, or choose another --name.")
    rooms = by_transport(options)
    values = {
        "name": name,
        "kind": options.kind or "ai",
        "role": options.role or "generalist",
        "homeserver": options.homeserver or "",
        "user": options.user or "",
        "rooms": rooms.get("matrix") or [],
        "hub": options.hub or "",
        "hub_rooms": rooms.get("http") or [],
        "actor_host": options.activitypub or "",
        "follow": options.follow or [],
        "lan": bool(options.lan),
        "lan_rooms": rooms.get("lan") or ["clawnet"],
        "owner": options.owner or "",
        "engine": options.engine or "auto",
        "model_path": options.model_path or "",
    }
    # What does not fit is refused before there is any file.
    configuration.load(None, overrides(options))
    text = configuration.template(values)
    make_private(paths.config.parent)
    if not identity.complete(paths.keys):
        identity.create(paths.keys)
    handle = os.open(paths.config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    did = identity.load(paths.keys).did
    write_line(sys.stdout, f"{name} is {did}")
    write_line(sys.stdout, f"configuration: {paths.config}")
    write_line(sys.stdout, f"keys:          {paths.keys}")
    account = options.hub or (options.homeserver and options.user)
    complete = options.activitypub or options.lan or (options.room and account)
    first = "" if complete else "Fill in homeserver, user and rooms there, then: "
    write_line(sys.stdout, f"{first}clawbot run --name {name}")
    return OK
