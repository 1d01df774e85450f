"""``clawbot discover``: who is on the local network, by their own signed word."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bots import config as configuration
from bots.cli import FAILED, OK
from bots.cli.look import show_table
from bots.cli.terminal import write_json, write_line
from bots.errors import ConfigError
from bots.transports.lan.interfaces import interfaces
from bots.transports.lan.survey import Seen, survey

_HEAD = ("NAME", "KIND", "ROLE", "MODELS", "ROOMS", "IDENTITY", "AT", "STATE")
_CLOCK_MS = 60_000  # a difference that is worth to be told


def main(options: argparse.Namespace) -> int:
    if not 0 < options.seconds <= 3600:
        raise ConfigError("lan.seconds", f"{options.seconds} is no number of seconds to listen.", "E.g.: --seconds 5")
    chosen = tuple(options.interface) or configuration.load(None).lan.interfaces
    return asyncio.run(_discover(chosen, options.seconds, json=options.json))


async def _discover(chosen: tuple[str, ...], seconds: float, *, json: bool) -> int:
    near = interfaces(chosen)
    if not json and near:
        networks = ", ".join(f"{one.name} ({one.address})" for one in near)
        write_line(sys.stderr, f"Listening on {networks} for {seconds:g} s")
    found = []
    async for seen in survey(near, seconds):
        found.append(seen)
        if json:
            write_json(sys.stdout, _fact(seen))
    if not json:
        if found:
            show_table(_HEAD, [_row(seen) for seen in found])
        else:
            write_line(sys.stdout, "Nobody is there. Agents are, where somebody runs: clawbot run --lan")
    return OK if any(not seen.unproven for seen in found) else FAILED


def _fact(seen: Seen) -> dict[str, object]:
    announce = seen.announce
    fact: dict[str, object] = {"did": seen.did, "at": seen.at, "proven": not seen.unproven}
    if seen.unproven:
        return fact | {"why": seen.unproven}
    fact |= {"rooms": list(seen.rooms), "clock_ahead_ms": seen.clock_ahead_ms}
    return fact if announce is None else fact | {"announce": announce}


def _row(seen: Seen) -> tuple[str, ...]:
    announce = seen.announce
    who = ("-", "-", "-", "-")
    if announce is not None:
        models = ", ".join(model.name for model in announce.models) or "-"
        who = (announce.name, announce.kind, announce.role, models)
    rooms = ", ".join(room.removeprefix("lan:") for room in seen.rooms) or "-"
    return (*who, rooms, seen.did[-12:], seen.at, _state(seen))


def _state(seen: Seen) -> str:
    if seen.unproven:
        return f"not proven: {seen.unproven}"
    if abs(seen.clock_ahead_ms) > _CLOCK_MS:
        return f"its clock is {abs(seen.clock_ahead_ms) // 1000} s {'ahead' if seen.clock_ahead_ms > 0 else 'behind'}"
    return "here" if seen.announce is not None else "here, says nothing of itself"
