"""Rooms that we take part in no more: who did it and why, and what becomes of the work there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from bots.events import Notice
from bots.transports import Departure, Room
from clawnet_proto.rendering import clean

if TYPE_CHECKING:
    from bots.agent import Agent

log = logging.getLogger(__name__)

_KEY = "departed "  # and a room that we were put out of, and have not closed our tasks in since
_TOLD_MOST = 32
_KEPT_MS = 86_400_000  # no task lives longer
_WORDS = {
    "room.left": "This account has left {name}{reason}.",
    "room.kicked": "{by} put this agent out of {name}{reason}. It comes back when it is invited, or started anew.",
    "room.banned": "{by} banned this agent from {name}{reason}. It comes back when that is lifted and it is invited.",
    "room.replaced": "{name} was replaced by another room{reason}. Ask again there.",
}


class _Departed(msgspec.Struct, frozen=True):
    code: str
    message: str
    at_ms: int


class Departures:
    """Of one agent. ``left``, ``stayed`` and ``entered`` are what its transport tells."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._gone: dict[str, Departure] = {}  # by room
        self._stayed: dict[str, str] = {}  # by room: why it is not followed to the room that it names
        self._entered: set[str] = set()
        self._outside = {key.removeprefix(_KEY) for key in agent.store.facts(_KEY)}

    @property
    def sentences(self) -> tuple[str, ...]:
        """For each room that we were put out of in this run and are not back in: who did it and why."""
        return tuple(sentence(gone) for gone in self._gone.values() if gone.code != "room.replaced")

    def why(self, room: str) -> str:
        """Why we take part in a room no more, "" if we do, or did not in this run."""
        gone = self._gone.get(room)
        return "" if gone is None else sentence(gone)

    def successor(self, room: str) -> str:
        """The URI of the room that took the place of this one, or of that one; "" if none did in this run."""
        found = ""
        while (gone := self._gone.get(found or room)) is not None and gone.successor:
            found = gone.successor
        return found

    def why_stayed(self, room: str) -> str:
        """Why we are still in a room that names another in its place, "" if it does not."""
        return self._stayed.get(room, "")

    def outside(self, room: str) -> bool:
        """Whether we were put out of a room and are not back in: what was said there is not acted upon any more."""
        return room in self._outside or room in self._gone

    def left(self, departure: Departure) -> None:
        """End what we have to do in a room. Raises StoreError."""
        agent, text = self._agent, sentence(departure)
        log.warning("%s", text, extra={"code": departure.code})
        agent.notify(Notice(at_ms=agent.now_ms(), text=text))
        self._stayed.pop(departure.room, None)
        if any(room.uri == departure.room for room in agent.rooms()):
            return  # another transport carries it, and the others there go on
        self._gone[departure.room] = departure
        if len(self._gone) > _TOLD_MOST:
            del self._gone[next(iter(self._gone))]
        with agent.store.transaction():
            if departure.code != "room.replaced":
                # Perhaps nothing that is open there was taken up yet, so soon after a start.
                kept = _Departed(departure.code, text, agent.now_ms())
                agent.store.set_fact(_KEY + departure.room, msgspec.json.encode(kept).decode())
                self._outside.add(departure.room)
            agent.requester.abandon(departure.room, departure.code, text)
            agent.executor.abandon(departure.room)
            agent.people.abandon(departure.room)
        agent.wake()

    def stayed(self, room: Room, why: str) -> None:
        """A room names another in its place, which we do not take for that."""
        text = f"{clean(room.name, limit=100)} is not followed to the room it names: {clean(why, limit=200)}"
        if text == self.why_stayed(room.uri):
            return
        self._stayed[room.uri] = text
        if len(self._stayed) > _TOLD_MOST:
            del self._stayed[next(iter(self._stayed))]
        self._agent.notify(Notice(at_ms=self._agent.now_ms(), text=text))

    def entered(self, room: Room) -> None:
        """We are in a room: perhaps again."""
        self._gone.pop(room.uri, None)
        self._outside.discard(room.uri)
        self._entered.add(room.uri)
        self._agent.wake()

    def advance(self) -> None:
        """Where we are back, close what we gave up, once all that we know of the room is folded. Raises StoreError."""
        if not self._entered:
            return
        agent, entered = self._agent, self._entered
        self._entered = set()
        for key, text in agent.store.facts(_KEY).items():
            room, departed = key.removeprefix(_KEY), msgspec.json.decode(text, type=_Departed)
            if room in entered:
                with agent.store.transaction():
                    self._close(room, departed)
                    agent.store.forget_fact(key)
            elif agent.now_ms() - departed.at_ms > _KEPT_MS:
                agent.store.forget_fact(key)

    def _close(self, room: str, departed: _Departed) -> None:
        """Close what we had asked in a room before we were put out of it."""
        agent = self._agent
        agent.requester.resume()
        for task_id in agent.requester.open_tasks():
            view = agent.mesh(room).task(task_id) if agent.requester.room_of(task_id) == room else None
            if view is not None and view.request.envelope.sent_ms <= departed.at_ms:
                agent.requester.fail(task_id, departed.code, departed.message)


def sentence(departure: Departure) -> str:
    """Who did it and why, for people; whatever strangers wrote is cleaned."""
    reason = clean(departure.reason, limit=200).strip(" .")
    return _WORDS[departure.code].format(
        name=clean(departure.name, limit=100),
        by=clean(departure.by, limit=255) or "Somebody",
        reason=f": “{reason}”" if reason else "",
    )
