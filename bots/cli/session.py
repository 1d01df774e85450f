"""Put a request to the running agent through its socket, or to an agent opened for this command alone."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator

import msgspec

from bots.cli.selection import require_account, select
from bots.control import call, socket_path
from bots.errors import ClawbotError, ConfigError
from bots.lifetime import taking_part
from bots.requests import AnyAnswer, AnyRequest, Status
from bots.service import Service


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
        require_account(selection)
        if isinstance(request, Status):
            raise ClawbotError(
                "agent.not_running",
                f"The agent {selection.name} is not running.",
                f"Start it: clawbot run --name {selection.name}",
            ) from None
    async for answer in _alone(options, request, record):
        yield answer


async def _alone(options: argparse.Namespace, request: AnyRequest, record: str | None) -> AsyncIterator[AnyAnswer]:
    """Open the agent here; it serves nobody and leaves once the request is answered."""
    from bots.cli.opening import opened

    if options.room:
        # It need not be one of the agent's rooms: it joins this one for the command alone.
        options.module = "run"
    selection = select(options)
    config = selection.config
    config = msgspec.structs.replace(
        config,
        limits=msgspec.structs.replace(config.limits, serve="nobody"),
        people=msgspec.structs.replace(config.people, answer="nobody"),
    )
    agent = await opened(msgspec.structs.replace(selection, config=config), record=record, with_engine=False)
    async with taking_part(agent):
        async for answer in Service(agent).answer(request):
            yield answer
