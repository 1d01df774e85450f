"""An agent that runs only as long as something needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bots.agent import Agent
from bots.errors import ClawbotError, RetryLater

JOIN_S = 60.0


@asynccontextmanager
async def taking_part(agent: Agent, *, join_s: float = JOIN_S) -> AsyncIterator[None]:
    """Run an agent while the body runs, from the moment it is in a room; it leaves politely afterwards.

    Raises ClawbotError if it cannot connect, or joins no room within ``join_s`` seconds. If the agent ends
    while the body still runs, the body is canceled and the error that ended the agent is raised.
    """
    body = asyncio.current_task()
    assert body is not None
    try:
        await agent.transport.connect()
    except BaseException as error:
        await agent.transport.close()
        agent.store.close()
        if isinstance(error, RetryLater):
            raise ClawbotError(error.code, error.message, "Check the address and the network.") from error
        raise
    running = asyncio.ensure_future(agent.run())
    synced = asyncio.ensure_future(agent.synced.wait())
    barred = asyncio.ensure_future(agent.barred.wait())
    waiting: list[asyncio.Future[Any]] = [running, synced, barred]
    inside = interrupted = False

    def interrupt(_: object) -> None:
        nonlocal interrupted
        if inside:
            interrupted = True
            body.cancel()

    try:
        await asyncio.wait(waiting, timeout=join_s, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        if barred.done() and not synced.done():
            raise ClawbotError(
                "room.none", "No room could be joined.", "Check the name, or have the account invited to it."
            )
        if not synced.done():
            raise ClawbotError(
                "room.none", f"No room could be joined within {join_s:.0f} s.", "Check the homeserver and --room."
            )
        running.add_done_callback(interrupt)
        cancelling, inside = body.cancelling(), True
        try:
            yield
        except asyncio.CancelledError:
            # Whoever else wants the body canceled is obeyed.
            if not interrupted or body.cancelling() > cancelling + 1:
                raise
        finally:
            inside = False
            if interrupted:
                body.uncancel()
        if interrupted:
            running.result()
            raise ClawbotError("agent.stopped", "The agent was stopped.", "Start it again.")
    finally:
        synced.cancel()
        barred.cancel()
        agent.stop()
        await asyncio.gather(*waiting, return_exceptions=True)
        agent.store.close()
