"""``clawbot run``: the agent in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal

from bots.cli import OK
from bots.cli.opening import opened
from bots.cli.selection import Selection, select
from bots.control import ControlServer, socket_path
from bots.service import Service


def main(options: argparse.Namespace) -> int:
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    # nio logs its own view of what the transport handles and reports.
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    asyncio.run(_run(select(options), options.record))
    return OK


async def _run(selection: Selection, record: str | None) -> None:
    agent = await opened(selection, record=record)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    log = logging.getLogger("clawbot")
    log.info("%s is %s (process %d)", agent.config.agent.name, agent.identity.did, os.getpid())
    try:
        async with ControlServer(Service(agent), socket_path(selection.paths.state)):
            await agent.run()
    finally:
        agent.store.close()
    log.info("%s has left", agent.config.agent.name)
