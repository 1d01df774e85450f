"""``clawbot homeserver``: a Synapse of one's own on loopback."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from bots.cli import OK
from bots.cli.terminal import write_json, write_line
from bots.homeserver import accounts
from bots.homeserver.serve import Ready, run_homeserver


def main(options: argparse.Namespace) -> int:
    def ready(server: Ready) -> None:
        if options.json:
            write_json(sys.stdout, server)
            return
        write_line(sys.stdout, f"homeserver: {server.url}")
        if server.room_alias:
            write_line(sys.stdout, f"room:       {server.room_alias}")
        for user in server.users:
            write_line(sys.stdout, f"user:       {user}")
        write_line(sys.stdout, f"passwords:  {server.accounts}")
        write_line(sys.stdout, "Ctrl-C stops it.")

    users = [(name, accounts.from_environment(name)) for name in options.user]
    asyncio.run(
        run_homeserver(
            Path(options.directory),
            options.port,
            users,
            options.room,
            ready,
            progress=None if options.json else _progress,
        )
    )
    return OK


def _progress(text: str) -> None:
    write_line(sys.stderr, text)
