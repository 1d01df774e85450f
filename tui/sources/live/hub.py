"""A room of a hub, read without an account or a key: whoever reaches a hub may read along (spec/bindings/http.md)."""

from __future__ import annotations

import random
import time

from bots.backoff import delay_s
from bots.errors import Refused, RetryLater
from bots.transports.http.config import HttpConfig
from bots.transports.http.feed import Feed, Piece, raw_event
from bots.transports.http.transport import NAME
from bots.transports.http.wire import Wire
from tui.arrivals import Arrival
from tui.sources import Deliver, Link, Ready, SourceError, Tell, always
from tui.sources.live.onlooker import Onlooker

_BACKOFF_S = (0.5, 10.0)  # somebody is waiting


class HubObserver(Onlooker):
    """The first room of ``config``, as a ``tui.sources.Source``. Nothing is kept: it always begins with the oldest."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self.room = config.room(config.rooms[0])
        own = f"{config.hub}/rooms/"
        self.title = f"{self.room.removeprefix(own)} at {config.hub.partition('://')[2]}"

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        wire = Wire(self._config.hub, None, _now_ms)
        try:
            await _Reading(self._config, self.room, wire, deliver, told, ready).run()
        finally:
            await wire.close()


class _Reading:
    """One run."""

    def __init__(
        self, config: HttpConfig, room: str, wire: Wire, deliver: Deliver, told: Tell, ready: Ready = always
    ) -> None:
        self._hub = config.hub
        self._room = room
        self._wire = wire
        self._deliver = deliver
        self._told = told
        self._ready = ready
        self._link = Link("connecting", f"Connecting to {config.hub}.")
        self._feed = Feed(wire, config.url(room), "", self._take, lambda kind, told: None, config.is_address)

    async def run(self) -> None:
        """Read until cancelled. Raises SourceError if the hub refuses from the first."""
        self._told(self._link)
        try:
            await self._wire.greet(f"{self._feed.url}/members")
        except Refused as error:
            raise SourceError(error.code, error.message, "Check the hub's URL and the room's name.") from error
        except RetryLater as error:
            self._lost(error.message)
        await self._feed.follow(self._lost, lambda tries: delay_s(tries, _BACKOFF_S, random.random))

    async def _take(self, piece: Piece) -> None:
        received_ms = _now_ms()
        if arrivals := [
            Arrival(
                transport=NAME,
                plane="room",
                room=self._room,
                sender=said.sender,
                event_id=event.id,
                event=raw_event(event.id, said),
                received_ms=received_ms,
            )
            for event, said in piece.said
        ]:
            self._deliver(arrivals)
        if piece.caught_up or self._link.state == "live":
            self._tell(Link("live", self._trouble()))
        await self._ready()

    def _lost(self, why: str) -> None:
        self._tell(Link("connecting" if self._link.state == "connecting" else "stale", f"{why} Trying again."))

    def _tell(self, link: Link) -> None:
        if link != self._link:
            self._link = link
            self._told(link)

    def _trouble(self) -> str:
        """What of the room cannot be shown, "" if all of it can."""
        told = [f"{self._feed.skipped:,} left out: no messages of a hub"] if self._feed.skipped else []
        return "; ".join(told + (["some missed"] if self._feed.gaps else []))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
