"""Following an agent's raw events: what its store remembers, then what comes, in one order.

The store is the queue: a follower is a position in it. So nothing is lost or doubled between what is remembered and
what is new, nobody waits for a slow reader, and what that one may fall behind is bounded by what the store keeps.

What the agent says directly to others never comes back to it: that is overheard as it is said, unsealed, and kept by
nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from bots.agent import Agent
from bots.errors import ClawbotError
from bots.events import Notice
from bots.requests import AnyAnswer, Delivered, Follow, LinkChanged, Missed, RoomFollowed
from bots.transports import Delivery

_OVERHEARD = 1_000  # direct messages of our own that wait for a slow reader
_LOOK_S = 0.5  # how often one looks whether the transport is online


async def follow(agent: Agent, request: Follow, room_of: Callable[[str], str]) -> AsyncIterator[AnyAnswer]:
    """Stream deliveries until the agent is in the room no more, nor in one that took its place.

    ``room_of`` gives the URI of a room by its name. A room that is not followed to another is told as a ``Notice``.
    Raises ClawbotError.
    """
    news = asyncio.Event()
    own = _Overheard(agent, news.set)
    ends = (agent.store.follow(news.set), agent.overhear(own))
    try:
        link = _link(agent)
        yield link
        room, stayed, last = "", "", 0
        while True:
            news.clear()
            if _link(agent).online != link.online:
                link = _link(agent)
                yield link
            names = {known.uri: known.name for known in agent.rooms()}
            successor = agent.departures.successor(room)
            if (not room and names) or successor in names:
                room, stayed = successor or room_of(request.room), ""
                yield RoomFollowed(at_ms=agent.now_ms(), room=room, name=names.get(room, ""))
                last = agent.store.newest(request.remembered)
            elif why := agent.departures.why(successor or room):
                raise ClawbotError("room.gone", why, "Start again to watch where the agent is now.")
            if (why := agent.departures.why_stayed(room)) != stayed:
                stayed = why
                yield Notice(at_ms=agent.now_ms(), text=why)
            for seq, delivery in agent.store.history(last) if room else ():
                if lost := max(0, min(agent.store.forgotten, seq - 1) - last):
                    yield Missed(at_ms=agent.now_ms(), count=lost)
                last = seq
                if delivery.room in ("", room):
                    yield Delivered(at_ms=agent.now_ms(), delivery=delivery)
            for answer in own.taken() if room else ():
                yield answer
            try:
                async with asyncio.timeout(_LOOK_S):
                    await news.wait()
            except TimeoutError:
                pass
    finally:
        for end in ends:
            end()


class _Overheard:
    """Our own direct messages since they were last taken, as deliveries; the oldest go first if there are too many."""

    def __init__(self, agent: Agent, news: Callable[[], None]) -> None:
        self._agent = agent
        self._news = news
        self._waiting: deque[Delivery] = deque(maxlen=_OVERHEARD)
        self._lost = 0

    def __call__(self, carrier: bytes, address: str) -> None:
        ways = self._agent.transport
        transport = ways.towards(address) or ways.ways[0]
        self._lost += len(self._waiting) == _OVERHEARD
        self._waiting.append(
            Delivery(
                transport=transport.name,
                plane="direct",
                room="",
                sender=transport.address,
                event_id="",
                event=transport.direct_event(carrier.decode()),
                received_ms=self._agent.now_ms(),
                live=True,
            )
        )
        self._news()

    def taken(self) -> list[AnyAnswer]:
        now_ms, lost, waiting = self._agent.now_ms(), self._lost, list(self._waiting)
        self._waiting.clear()
        self._lost = 0
        missed: list[AnyAnswer] = [Missed(at_ms=now_ms, count=lost)] if lost else []
        return missed + [Delivered(at_ms=now_ms, delivery=delivery) for delivery in waiting]


def _link(agent: Agent) -> LinkChanged:
    online = agent.transport.online
    where = agent.config.matrix.homeserver or agent.config.http.hub or agent.transport.place
    return LinkChanged(
        at_ms=agent.now_ms(), online=online, detail="" if online else f"{where} cannot be reached just now."
    )
