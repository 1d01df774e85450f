"""Server-sent events, read from a stream (WHATWG HTML, section 9.2), bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

import aiohttp
import msgspec

EVENT_MOST: Final = 1 << 18  # bytes of its lines
LINES_MOST: Final = 64  # of an event
SILENCE_S: Final = 60.0

_FIELDS: Final = frozenset({"id", "event", "data"})


class Event(msgspec.Struct, frozen=True):
    """One event. Of one that is ``too_large`` nothing but the id is kept, if that came in time."""

    id: str
    kind: str
    data: str
    too_large: bool = False


Pace = Callable[[int, int], Awaitable[None]]
"""Is told how many bytes and events were read, and returns once more may be."""


async def unhurried(_bytes: int, _events: int) -> None:
    """As fast as it comes."""


class BadStream(Exception):
    """What comes is no stream of events, or the other side has fallen silent."""


class Parser:
    """Makes events of the bytes as they come; never holds more than one event at most may have, ``most`` bytes."""

    def __init__(self, most: int = EVENT_MOST) -> None:
        self._most = most
        self._rest = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._fields: dict[str, str] = {}
        self._bytes = self._lines = 0

    @property
    def _too_large(self) -> bool:
        return self._bytes > self._most or self._lines > LINES_MOST

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that end in these bytes. Raises BadStream."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = bytes(self._rest + line)
            self._rest.clear()
            if (event := self._take(whole)) is not None:
                yield event
        self._rest += rest
        if len(self._rest) > self._most:
            self._bytes += len(self._rest)
            self._rest[:] = b":"  # whatever follows in this line is skipped like a remark

    def _take(self, line: bytes) -> Event | None:
        line = line.rstrip(b"\r")
        if not line:
            return self._end()
        if line.startswith(b":"):
            return None
        self._bytes += len(line)
        self._lines += 1
        if self._too_large:
            self._fields.pop("data", None)
            return None
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError:
            raise BadStream("it sends no events") from None
        if name in _FIELDS:
            value = value.removeprefix(" ")
            more = name == "data" and "data" in self._fields
            self._fields[name] = f"{self._fields['data']}\n{value}" if more else value
        return None

    def _end(self) -> Event | None:
        fields, too_large = self._fields, self._too_large
        self._begin()
        if not fields and not too_large:
            return None
        data = "" if too_large else fields.get("data", "")
        return Event(fields.get("id", ""), fields.get("event", "message"), data, too_large)


async def events(stream: aiohttp.StreamReader, most: int = EVENT_MOST, pace: Pace = unhurried) -> AsyncIterator[Event]:
    """Events of at most so many bytes as they come, until the stream is over. Raises BadStream."""
    parser = Parser(most)
    while data := await _some(stream):
        await pace(len(data), 0)
        for event in parser.feed(data):
            await pace(0, 1)
            yield event


async def _some(stream: aiohttp.StreamReader) -> bytes:
    """What comes next, b"" at the end."""
    try:
        async with asyncio.timeout(SILENCE_S):
            return await stream.readany()
    except TimeoutError:
        raise BadStream(f"it was silent for {SILENCE_S:.0f} s") from None
