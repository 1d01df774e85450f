"""Reading from a hub: as server-sent events, or a batch at a time (spec/bindings/http.md, HTTP-9, HTTP-10, HTTP-13)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
from aiohttp import web

from bots.hub.archive import Said, Unknown
from bots.hub.hub import Answer, Hub, refusal
from bots.hub.members import Change, Roster

_BREATH_S: Final = 15.0  # the longest silence
_TAKE_S: Final = 30.0  # how long a reader may take for what lies before it, less than 128 KiB
_PIECE: Final = 1 << 15  # bytes written at once
_WAIT_MOST_S: Final = 25.0
_ADDRESSES: Final = 100  # in one line
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that gathers would hold back what is said
}


class _Data(msgspec.Struct):
    """What ``data`` holds."""

    sender: str
    received_ms: int
    carriers: msgspec.Raw


async def stream(
    hub: Hub, request: web.Request, place: str, position: str, *, members: bool = False
) -> web.StreamResponse:
    """All of a place from a position on, until the reader goes; of a room also its ``members``.

    Raises Unknown before anything is sent.
    """
    page = hub.after(place, position)
    response = web.StreamResponse(headers=_HEADERS)
    caught_up = False
    told: tuple[Roster, int] | None = None
    with hub.bell(place) as bell:
        try:
            await response.prepare(request)
            while True:
                if members:
                    roster = hub.roster(place)
                    lines = list(_changed(roster, told))
                    told = roster, roster.version
                    for line in lines:
                        await write(response, line)
                for one in page.said:
                    await write(response, _event(one))
                if not page.more:
                    if not caught_up:
                        caught_up = True
                        # With its id a reader of an empty room has a position, too: what comes is live.
                        await write(response, b"id: %s\nevent: caught-up\ndata: {}\n\n" % page.position.encode())
                    if hub.ended:
                        break
                    if not await bell.wait(_BREATH_S):
                        await write(response, b":\n\n")
                bell.hush()
                page = hub.after(place, page.position)
        except (ConnectionError, TimeoutError, Unknown):
            # It went, or reads too slowly and takes it up again from where it was.
            _abort(request)
        except Exception:
            _abort(request)  # no other answer fits behind what was sent
            raise
    return response


async def batch(hub: Hub, place: str, position: str, wait: str) -> Answer:
    """The next events as one answer. Raises Unknown."""
    try:
        wait_s = min(_WAIT_MOST_S, max(0.0, float(wait or 0)))
    except ValueError:
        return refusal(400, "http.query", "wait must be a number of seconds.")
    with hub.bell(place) as bell:
        page = hub.after(place, position)
        if not page.said and wait_s and await bell.wait(wait_s):
            page = hub.after(place, page.position)
    events = [{"id": one.id, **msgspec.structs.asdict(_data(one))} for one in page.said]
    return Answer(200, {"events": events, "after": page.position, "caught_up": not page.more})


async def send(request: web.Request, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    """Send a whole answer, as fast as its reader takes it; who takes too long is let go."""
    response.content_length = len(body)
    try:
        await response.prepare(request)
        await write(response, body)
        await response.write_eof()
    except (ConnectionError, TimeoutError):
        _abort(request)
    return response


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Send some of a response. Raises TimeoutError, ConnectionError."""
    for begin in range(0, len(data), _PIECE):
        async with asyncio.timeout(_TAKE_S):
            await response.write(data[begin : begin + _PIECE])


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _changed(roster: Roster, told: tuple[Roster, int] | None) -> Iterator[bytes]:
    """Events that bring a reader to who is there now, from what it was told before."""
    changes = roster.since(told[1]) if told is not None and told[0] is roster else None
    if changes is None:
        portions = list(_portions(roster.addresses)) or [()]
        for number, portion in enumerate(portions, start=1):
            yield _told("members", {"members": portion, "more": number < len(portions)})
        return
    for here, group in groupby(changes, key=_here):
        for portion in _portions([change.address for change in group]):
            yield _told("joined" if here else "left", {"members": portion})


def _here(change: Change) -> bool:
    return change.here


def _portions(addresses: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(addresses), _ADDRESSES):
        yield addresses[begin : begin + _ADDRESSES]


def _told(kind: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(data))


def _event(said: Said) -> bytes:
    return b"id: %s\nevent: message\ndata: %s\n\n" % (said.id.encode(), msgspec.json.encode(_data(said)))


def _data(said: Said) -> _Data:
    return _Data(said.sender, said.received_ms, said.carriers)
