"""``clawbot homeserver``: a Synapse of one's own on loopback, or two that federate."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from bots.cli import OK
from bots.cli.terminal import write_json, write_line
from bots.homeserver import accounts
from bots.homeserver.pair import Pair, run_pair
from bots.homeserver.serve import Ready, run_homeserver


def main(options: argparse.Namespace) -> int:
    directory, progress = Path(options.directory), None if options.json else _progress
    users = [(name, accounts.from_environment(name)) for name in options.user]
    if options.federate:
        tell_pair = _tell_json if options.json else _tell_pair
        asyncio.run(run_pair(directory, options.port, users, options.room, tell_pair, progress=progress))
    else:
        tell = _tell_json if options.json else _tell
        asyncio.run(run_homeserver(directory, options.port, users, options.room, tell, progress=progress))
    return OK


def _tell_json(what: Ready | Pair) -> None:
    write_json(sys.stdout, what)


def _tell(server: Ready) -> None:
    _tell_server(server)
    write_line(sys.stdout, "Ctrl-C stops it.")


def _tell_pair(pair: Pair) -> None:
    for server in pair.servers:
        _tell_server(server)
        write_line(sys.stdout, "")
    write_line(sys.stdout, "An agent, or a person with any chat client, uses either of them; rooms span both.")
    room = pair.servers[0].room_alias
    for server in pair.servers if room else ():
        for user in server.users[:1]:
            name = f"{user[1:].partition(':')[0]}-{server.accounts.parent.name}"
            flags = f"--name {name} --homeserver {server.url} --user {user}"
            write_line(sys.stdout, f"  clawbot init {flags} --room '{room}'")
    write_line(sys.stdout, "Ctrl-C stops both.")


def _tell_server(server: Ready) -> None:
    write_line(sys.stdout, f"homeserver: {server.url}")
    if server.room_alias:
        write_line(sys.stdout, f"room:       {server.room_alias}")
    for user in server.users:
        write_line(sys.stdout, f"user:       {user}")
    write_line(sys.stdout, f"passwords:  {server.accounts}")


def _progress(text: str) -> None:
    write_line(sys.stderr, text)
