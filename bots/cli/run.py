"""``clawbot run``: the agent in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack

from bots.agent import Agent
from bots.cli import INTERRUPTED, OK
from bots.cli.opening import opened
from bots.cli.selection import Selection, select
from bots.cli.terminal import write_line
from bots.control import ControlServer, socket_path
from bots.health.endpoint import endpoint
from bots.health.reading import Health
from bots.logging_format import configure, log_event
from bots.service import Service
from bots.serving.descriptors import raise_limit

log = logging.getLogger("clawbot")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(options: argparse.Namespace) -> int:
    selection = select(options)
    configure(sys.stderr, selection.config.log.format, selection.config.log.level)
    raise_limit()
    return asyncio.run(_run(selection, options.record))


async def _run(selection: Selection, record: str | None) -> int:
    where = endpoint(selection.config.health)
    agent = await opened(selection, record=record)
    agent.observe(log_event)
    health = Health(agent, selection.paths.state)
    log.info("%s is %s (process %d)", agent.config.agent.name, agent.identity.did, os.getpid())
    try:
        async with AsyncExitStack() as stack:
            if where is not None:
                from bots.health.server import HealthServer

                server = await stack.enter_async_context(HealthServer(health, where))
                write_line(sys.stdout, f"health: {server.url}/health")
            await stack.enter_async_context(ControlServer(Service(agent, health), socket_path(selection.paths.state)))
            if not await _lives(agent):
                log.warning("%s was ended at once: what is unfinished is taken up at the next start", selection.name)
                return INTERRUPTED
    finally:
        agent.store.close()
    log.info("%s has left", agent.config.agent.name)
    return OK


async def _lives(agent: Agent) -> bool:
    """Run the agent to its end; False if a second signal would not wait for it."""
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(agent.run())

    def end() -> None:
        if not agent.stopping:
            log.info("stopping; a second signal ends it at once")
            agent.stop()
            return
        running.cancel()
        for number in _SIGNALS:
            # Whoever asks a third time does not even want the files closed.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        running.cancel()
        raise
    if running.cancelled():
        return False
    running.result()
    return True
