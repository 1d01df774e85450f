"""One room of a hub, or what is sent to us there, read without end (spec/bindings/http.md, HTTP-9 to HTTP-15)."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from bots.complaints import Complaints
from bots.errors import Refused, RetryLater
from bots.transports.http.backlog import Backlog
from bots.transports.http.events import EVENT_MOST, BadStream, Event, Pace, events, unhurried
from bots.transports.http.members import KINDS, Told
from bots.transports.http.wire import Gone, Wire, is_event_id

log = logging.getLogger(__name__)

_AT_ONCE: Final = 100  # events committed together
_GATHER_S: Final = 0.005  # between two commits


class Said(msgspec.Struct, frozen=True):
    """What ``data`` of an event holds."""

    sender: str
    received_ms: int
    carriers: msgspec.Raw


class _Kept(msgspec.Struct):
    id: str
    sender: str
    received_ms: int
    carriers: msgspec.Raw


class Piece(msgspec.Struct, frozen=True):
    """Events that were read together, and the position they bring the reader to."""

    said: tuple[tuple[Event, Said], ...]
    position: str
    caught_up: bool  # with these everything that was there is read


_said: Final = msgspec.json.Decoder(Said).decode
_told: Final = msgspec.json.Decoder(Told).decode


def raw_event(event_id: str, said: Said) -> str:
    """The raw event of this transport, as JSON text: what is kept of an event."""
    return msgspec.json.encode(_Kept(event_id, said.sender, said.received_ms, said.carriers)).decode()


def direct_event(sender: str, carrier: str, now_ms: int) -> str:
    """The raw event that a carrier arrives as which is sent to somebody directly."""
    return raw_event("", Said(sender, now_ms, msgspec.Raw(f"[{carrier}]".encode())))


class Feed:
    """Reads ``url``. ``take`` is called with every piece, ``enter`` with what is told of members, None to begin anew.

    ``valid`` tells which texts are addresses at this hub: what comes from anybody else is skipped, and counted in
    ``skipped``. ``gaps`` counts how often the hub had dropped what was not read yet. ``pace`` says how fast to read,
    ``backlog`` how much of it may lie here until it is taken. ``complaints`` bounds what is logged.
    """

    def __init__(
        self,
        wire: Wire,
        url: str,
        position: str,
        take: Callable[[Piece], Awaitable[None]],
        enter: Callable[[str, Told | None], None],
        valid: Callable[[str], bool],
        *,
        event_most: int = EVENT_MOST,
        pace: Pace = unhurried,
        backlog: Backlog | None = None,
        complaints: Complaints | None = None,
    ) -> None:
        self._wire = wire
        self.url = url
        self._take = take
        self._enter = enter
        self._valid = valid
        self._event_most = event_most
        self._pace = pace
        self._backlog = backlog or Backlog()
        self._complaints = complaints or Complaints(log, lambda: time.monotonic_ns() // 1_000_000)
        self._held = 0  # bytes of the backlog
        self.position = position
        self.skipped = 0
        self.gaps = 0

    async def follow(self, lost: Callable[[str], None], delay_s: Callable[[int], float]) -> None:
        """Read without end. Whenever the stream is over ``lost`` is told why, in a sentence.

        ``delay_s`` gives the seconds to wait after so many tries in vain, where a hub says nothing of it.
        """
        tries = 0
        while True:
            before, wait_s = self.position, 0.0
            try:
                await self.read()
                tries, why = 0, f"{self.url} has ended."
            except RetryLater as error:
                tries = 0 if self.position != before else tries + 1
                why, wait_s = error.message, error.after_s
            except Refused as error:
                # A hub may come to another mind: a ban ends, a room finds space.
                tries, why = tries + 1, error.message
            lost(why)
            await asyncio.sleep(wait_s or delay_s(tries))

    async def read(self) -> None:
        """Read until the stream is over. Raises RetryLater, Refused, and what ``take`` raises, at once."""
        coming: asyncio.Queue[Event | None] = asyncio.Queue(_AT_ONCE)
        taking = asyncio.ensure_future(self._take_all(coming))
        receiving = asyncio.ensure_future(self._receive(coming))
        try:
            await asyncio.wait((taking, receiving), return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                await receiving
            await taking
        except Gone:
            if not self.position:
                raise RetryLater("http.unreachable", f"{self.url} is dropped as soon as it is there.", 0.0) from None
            self._complain("%s has dropped what we had not read yet: reading what it still has", self.url)
            self.position = ""
            self.gaps += 1
            raise RetryLater("http.gone", "The hub has dropped what we had not read yet.", 0.1) from None
        except BadStream as error:
            raise RetryLater("http.unreachable", f"The stream {self.url} broke off: {error}.", 0.0) from error
        finally:
            taking.cancel()
            receiving.cancel()
            await asyncio.gather(taking, receiving, return_exceptions=True)
            self._free(self._held)

    async def _receive(self, coming: asyncio.Queue[Event | None]) -> None:
        self._enter("members", None)
        async with self._wire.stream(self.url, self.position) as stream:
            async for event in events(stream, self._event_most, self._pace):
                size = _size(event)
                await self._backlog.hold(size)
                self._held += size
                await coming.put(event)
        await coming.put(None)

    async def _take_all(self, coming: asyncio.Queue[Event | None]) -> None:
        now, next_s = asyncio.get_running_loop().time, 0.0
        while True:
            found = [await coming.get()]
            # Who speaks alone is heard at once; where many do, what comes meanwhile goes along.
            await asyncio.sleep(max(0.0, next_s - now()))
            while not coming.empty() and len(found) < _AT_ONCE:
                found.append(coming.get_nowait())
            fresh = [event for event in found if event is not None]
            await self._hand_on(fresh)
            self._free(sum(map(_size, fresh)))
            if None in found:
                return
            next_s = now() + _GATHER_S

    def _free(self, size: int) -> None:
        self._held -= size
        self._backlog.free(size)

    async def _hand_on(self, found: Sequence[Event]) -> None:
        """Hand on in pieces that end where everything is read that was there."""
        for event in found:
            if not is_event_id(event.id) and (event.id or event.kind in ("message", "caught-up")):
                raise BadStream("it has an event with an id that is none")
        said: list[tuple[Event, Said]] = []
        position = self.position
        for event in found:
            position = event.id or position
            if event.kind == "caught-up":
                await self._commit(Piece(tuple(said), position, caught_up=True))
                said = []
            else:
                self._read_one(event, said)
        if said or position != self.position:
            await self._commit(Piece(tuple(said), position, caught_up=False))

    async def _commit(self, piece: Piece) -> None:
        await self._take(piece)
        self.position = piece.position

    def _read_one(self, event: Event, said: list[tuple[Event, Said]]) -> None:
        try:
            if event.too_large:
                raise ValueError(event.kind)
            if event.kind in KINDS:
                self._enter(event.kind, _told(event.data))
            elif event.kind == "message":
                found = _said(event.data)
                if not self._valid(found.sender):
                    raise ValueError(event.kind)
                said.append((event, found))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            # One bad event must not keep all others from us.
            self.skipped += 1
            if self.skipped.bit_count() == 1:
                self._complain("%s: %d events were skipped that are none of a hub", self.url, self.skipped)

    def _complain(self, text: str, *values: object) -> None:
        self._complaints.say(logging.WARNING, self.url, text, *values, extra={})


def _size(event: Event) -> int:
    """The bytes of memory that it takes."""
    return sum(map(sys.getsizeof, (event.id, event.kind, event.data)))
