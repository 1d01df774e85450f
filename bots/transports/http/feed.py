"""One room of a hub, or what is sent to us there, read without end (spec/bindings/http.md, HTTP-9 to HTTP-15)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from bots.errors import RetryLater
from bots.transports.http.events import BadStream, Event, events
from bots.transports.http.members import KINDS, Told
from bots.transports.http.wire import Gone, Wire, is_event_id

log = logging.getLogger(__name__)

_AT_ONCE: Final = 100  # events committed together
_GATHER_S: Final = 0.005  # what comes at once is committed at once


class Said(msgspec.Struct, frozen=True):
    """What ``data`` of an event holds."""

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


class Feed:
    """Reads ``url``. ``take`` is called with every piece, ``enter`` with what is told of members, None to begin anew.

    ``valid`` tells which texts are addresses at this hub: what comes from anybody else is skipped, and counted in
    ``skipped``.
    """

    def __init__(
        self,
        wire: Wire,
        url: str,
        position: str,
        take: Callable[[Piece], Awaitable[None]],
        enter: Callable[[str, Told | None], None],
        valid: Callable[[str], bool],
    ) -> None:
        self._wire = wire
        self.url = url
        self._take = take
        self._enter = enter
        self._valid = valid
        self.position = position
        self.skipped = 0

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
            log.warning("%s has dropped what we had not read yet: reading what it still has", self.url)
            self.position = ""
            raise RetryLater("http.gone", "The hub has dropped what we had not read yet.", 0.1) from None
        except BadStream as error:
            raise RetryLater("http.unreachable", f"The stream {self.url} broke off: {error}.", 0.0) from error
        finally:
            taking.cancel()
            receiving.cancel()
            await asyncio.gather(taking, receiving, return_exceptions=True)

    async def _receive(self, coming: asyncio.Queue[Event | None]) -> None:
        self._enter("members", None)
        async with self._wire.stream(self.url, self.position) as stream:
            async for event in events(stream):
                await coming.put(event)
        await coming.put(None)

    async def _take_all(self, coming: asyncio.Queue[Event | None]) -> None:
        while True:
            found = [await coming.get()]
            await asyncio.sleep(_GATHER_S)
            while not coming.empty() and len(found) < _AT_ONCE:
                found.append(coming.get_nowait())
            await self._hand_on([event for event in found if event is not None])
            if None in found:
                return

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
                log.warning("%s: %d events were skipped that are none of a hub", self.url, self.skipped)
