"""``clawbot actor``: by what name the fediverse finds the agent."""

from __future__ import annotations

import argparse
import sys

from bots.cli import OK
from bots.cli.selection import select
from bots.cli.terminal import write_json, write_line
from bots.errors import ConfigError


def main(options: argparse.Namespace) -> int:
    from bots.transports.activitypub.config import from_section
    from bots.transports.activitypub.names import Names

    selection = select(options)
    if not selection.config.activitypub.host:
        raise ConfigError(
            "activitypub.none",
            f"The agent {selection.name} is no actor of the fediverse.",
            "Say where with --activitypub https://my.host, or set activitypub.host.",
        )
    settings = from_section(selection.config)
    names = Names(settings.host, settings.name)
    listen = "{}:{}".format(*settings.listen)
    if options.json:
        write_json(
            sys.stdout,
            {"handle": names.handle, "actor": names.actor, "listen": listen, "follow": list(settings.follow)},
        )
        return OK
    for title, value in (("handle", names.handle), ("actor", names.actor), ("listens", listen)):
        write_line(sys.stdout, f"{title + ':':9}{value}")
    for one in settings.follow:
        write_line(sys.stdout, f"{'follows:':9}{one}")
    return OK
