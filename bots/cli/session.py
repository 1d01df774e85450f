"""Put a request to the running agent through its socket, or to an agent opened for this command alone."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator

from bots.cli.selection import select
from bots.control import call, socket_path
from bots.errors import ClawbotError, ConfigError
from bots.service import AnyAnswer, AnyRequest, Service

_READY_S = 60.0


async def answers(options: argparse.Namespace, request: AnyRequest) -> AsyncIterator[AnyAnswer]:
    """Everything the agent answers. Raises ClawbotError."""
    selection = select(options)
    record = getattr(options, "record", None)
    try:
        async for answer in call(socket_path(selection.paths.state), request):
            if record:
                raise ConfigError(
                    "record.elsewhere", "The agent is running already.", "Restart it: clawbot run --record FILE"
                )
            yield answer
        return
    except ConnectionError:
        pass
    async for answer in _alone(options, request, record):
        yield answer


async def _alone(options: argparse.Namespace, request: AnyRequest, record: str | None) -> AsyncIterator[AnyAnswer]:
    """Open the agent here; it serves nobody and leaves once the request is answered."""
    from bots.cli.opening import opened

    if options.room and not options.homeserver:
        options.module = "run"
    selection = select(options)
    agent = await opened(selection, record=record, with_engine=False)
    running = asyncio.ensure_future(agent.run())
    synced = asyncio.ensure_future(agent.synced.wait())
    try:
        await asyncio.wait([running, synced], timeout=_READY_S, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        if not synced.done():
            raise ClawbotError("room.none", "No room could be joined within a minute.", "Check the homeserver and --room.")
        async for answer in Service(agent).answer(request):
            yield answer
    finally:
        synced.cancel()
        agent.stop()
        await asyncio.gather(running, synced, return_exceptions=True)
        agent.store.close()
