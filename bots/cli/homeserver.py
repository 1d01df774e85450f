"""``clawbot homeserver``: a Synapse of one's own on loopback."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from bots.cli import OK
from bots.homeserver import accounts
from bots.homeserver.serve import Ready, run_homeserver


def main(options: argparse.Namespace) -> int:
    def ready(server: Ready) -> None:
        if options.json:
            sys.stdout.buffer.write(msgspec.json.encode(server, enc_hook=str) + b"\n")
        else:
            sys.stdout.write(f"homeserver: {server.url}\n")
            if server.room_alias:
                sys.stdout.write(f"room:       {server.room_alias}\n")
            for user in server.users:
                sys.stdout.write(f"user:       {user}\n")
            sys.stdout.write(f"passwords:  {server.accounts}\nCtrl-C stops it.\n")
        sys.stdout.flush()

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
    sys.stderr.write(text + "\n")
