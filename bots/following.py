"""Following an agent's raw events: what its store remembers, then what comes, in one order.

The store is the queue: a follower is a position in it. So nothing is lost or doubled between what is remembered and
what is new, nobody waits for a slow reader, and what that one may fall behind is bounded by what the store keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from bots.agent import Agent
from bots.errors import ClawbotError
from bots.requests import AnyAnswer, Delivered, Follow, LinkChanged, Missed

_LOOK_S = 0.5  # how often one looks whether the transport is online


async def follow(agent: Agent, request: Follow, room_of: Callable[[str], str]) -> AsyncIterator[AnyAnswer]:
    """Stream deliveries for ever. ``room_of`` gives the URI of a room by its name. Raises ClawbotError."""
    news = asyncio.Event()
    end = agent.store.follow(news.set)
    try:
        link = _link(agent)
        yield link
        room, last = "", 0
        while True:
            news.clear()
            if _link(agent).online != link.online:
                link = _link(agent)
                yield link
            if not room and agent.rooms():
                room = _readable(agent, room_of(request.room))
                last = agent.store.newest(request.remembered)
            for seq, delivery in agent.store.history(last) if room else ():
                if lost := max(0, min(agent.store.forgotten, seq - 1) - last):
                    yield Missed(at_ms=agent.now_ms(), count=lost)
                last = seq
                if delivery.room in ("", room):
                    yield Delivered(at_ms=agent.now_ms(), delivery=delivery)
            try:
                async with asyncio.timeout(_LOOK_S):
                    await news.wait()
            except TimeoutError:
                pass
    finally:
        end()


def _readable(agent: Agent, room: str) -> str:
    """The room itself. Raises ClawbotError for an encrypted one."""
    if any(known.encrypted for known in agent.rooms() if known.uri == room):
        raise ClawbotError(
            "room.encrypted", "The room is encrypted, which this version cannot read.", "Use another room."
        )
    return room


def _link(agent: Agent) -> LinkChanged:
    online = agent.transport.online
    where = agent.config.matrix.homeserver or "The homeserver"
    return LinkChanged(
        at_ms=agent.now_ms(), online=online, detail="" if online else f"{where} cannot be reached just now."
    )
