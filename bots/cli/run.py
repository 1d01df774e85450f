"""``clawbot run``: the agent in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from typing import Any

from bots.cli import OK
from bots.cli.opening import opened
from bots.cli.selection import Selection, select
from bots.cli.terminal import printable
from bots.control import ControlServer, socket_path
from bots.service import Service


def main(options: argparse.Namespace) -> int:
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])
    # nio logs its own view of what the transport handles and reports.
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    asyncio.run(_run(select(options), options.record))
    return OK


class _Printable(logging.Formatter):
    """Logs hold what others said, too: a message is one line, and only a traceback has more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))


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
