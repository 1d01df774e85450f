"""``clawbot bridge``: carry a room between transports."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from bots import config as configuration
from bots.bridge.bridge import Bridge
from bots.bridge.counts import Report, line
from bots.bridge.opening import home_of, open_bridge
from bots.cli import OK
from bots.cli.selection import Selection, health, keys, password
from bots.cli.terminal import write_json, write_line
from bots.health.endpoint import Endpoint, endpoint
from bots.identity import require_sound
from bots.logging_format import configure
from bots.paths import paths_of
from bots.serving.descriptors import raise_limit

log = logging.getLogger("clawbot")

_EVERY_S = 60.0
_NAME = "bridge"


class Ready(msgspec.Struct, frozen=True, tag="ready", tag_field="event"):
    """The bridge carries from now on."""

    identity: str
    room: str
    addresses: dict[str, str]  # by transport: what to name in trust.bridges


class Told(msgspec.Struct, frozen=True, tag="health", tag_field="event"):
    """How it does is told by HTTP from now on."""

    url: str


def main(options: argparse.Namespace) -> int:
    selection = _select(options)
    configure(sys.stderr, selection.config.log.format, selection.config.log.level)
    raise_limit()
    return asyncio.run(_serve(selection, json=options.json))


def _select(options: argparse.Namespace) -> Selection:
    """The bridge that is named, with its configuration as that of an agent is. Raises ConfigError."""
    name = options.name or os.environ.get("CLAWNET_AGENT_NAME") or _NAME
    paths = paths_of(name)
    if options.config is not None:
        paths = msgspec.structs.replace(paths, config=Path(options.config))
    there = paths.config.is_file() or options.config is not None
    file = paths.config if there else None
    changes: dict[str, dict[str, Any]] = {
        "agent": {"name": None if there and options.name is None else name},
        "matrix": {"homeserver": options.homeserver, "user": options.user},
        "http": {"hub": options.hub},
        "activitypub": {"host": options.activitypub},
        "lan": {"enabled": True if options.lan else None},
        "health": health(options),
    }
    config = configuration.load(file, changes)
    if options.room is not None:
        changes[home_of(config)]["rooms"] = [options.room]
        config = configuration.load(file, changes)
    return Selection(name, paths, config)


async def _serve(selection: Selection, *, json: bool) -> int:
    own = keys(selection)
    require_sound(own, selection.name)
    where = endpoint(selection.config.health)
    user = selection.config.matrix.user
    bridge, file = await open_bridge(selection.config, selection.paths.state, own, lambda: password(user))
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(_close, bridge)
            if where is not None:
                await _tell_health(stack, bridge, where, selection, json=json)
            await _carry(bridge, own.did, json=json)
    finally:
        file.close()
    return OK


async def _close(bridge: Bridge) -> None:
    """Let go of all sides, also of a bridge that has not run."""
    await asyncio.gather(*(side.transport.close() for side in bridge.sides))


async def _tell_health(
    stack: AsyncExitStack, bridge: Bridge, where: Endpoint, selection: Selection, *, json: bool
) -> None:
    from bots.health.crossing import BridgeHealth
    from bots.health.server import HealthServer

    told = BridgeHealth(bridge, selection.config.health, selection.paths.state)
    server = await stack.enter_async_context(HealthServer(told, where))
    url = f"{server.url}/health"
    if json:
        write_json(sys.stdout, Told(url))
    else:
        write_line(sys.stdout, f"health: {url}")


async def _carry(bridge: Bridge, did: str, *, json: bool) -> None:
    running = asyncio.ensure_future(bridge.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, bridge.stop)
    telling = asyncio.ensure_future(_tell(bridge, did, json=json))
    await asyncio.wait([running, telling], return_when=asyncio.FIRST_COMPLETED)
    # It has ended, or nobody reads what it says any more.
    bridge.stop()
    telling.cancel()
    await asyncio.wait([running, telling])
    running.result()
    if telling.cancelled():
        _count(bridge.report(), json=json)
    else:
        telling.result()


async def _tell(bridge: Bridge, did: str, *, json: bool) -> None:
    """Say that it carries once it does, and every minute how much."""
    addresses = {side.name: side.address for side in bridge.sides}
    if not json:
        places = " and ".join(side.place for side in bridge.sides)
        write_line(sys.stdout, f"bridge: {did}")
        write_line(sys.stdout, f"room:   {bridge.room}")
        for side in bridge.sides:
            write_line(sys.stdout, f"        {side.place}, as {side.address}")
        write_line(sys.stdout, f"What is said in it on {places} can be read on all of them. Ctrl-C stops it.")
    told = False
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EVERY_S):
                await bridge.ready.wait()
                if json and not told:
                    write_json(sys.stdout, Ready(did, bridge.room, addresses))
                told = True
                await asyncio.Event().wait()  # for the rest of the minute
        _count(bridge.report(), json=json)


def _count(report: Report, *, json: bool) -> None:
    if json:
        write_json(sys.stdout, report)
    else:
        write_line(sys.stdout, line(report))
