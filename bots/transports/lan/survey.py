"""Looking around once on the local network, without being there ourselves (docs/lan.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from bots.errors import RetryLater
from bots.transports.lan.candidates import Candidates, Endpoint
from bots.transports.lan.discovery import Discovery
from bots.transports.lan.interfaces import Interface, is_near
from bots.transports.lan.proving import Unproven, ask, base
from bots.transports.lan.records import Record
from clawnet_proto.bindings import lan
from clawnet_proto.bindings.http import carriers
from clawnet_proto.bindings.lan import Proof
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.presence import Announce, Leave
from clawnet_proto.freshness import is_in_time
from clawnet_proto.keys import SigningKey

_PAGES_MOST: Final = 64
_PAGE_MOST: Final = 1 << 20  # bytes
_TOTAL_S: Final = 10.0  # for a page, and for all that is asked when its time is over
_ASKED_AT_ONCE: Final = 64  # nodes


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A node that says it is there. What it announced is signed by its key; nothing is known of one ``unproven``."""

    did: str
    at: str
    unproven: str = ""  # why
    rooms: tuple[str, ...] = ()  # URIs
    clock_ahead_ms: int = 0
    announce: Announce | None = None  # the newest that counts


class _Batch(msgspec.Struct):
    events: list[msgspec.Raw]
    after: str
    caught_up: bool


async def survey(near: Sequence[Interface], seconds: float) -> AsyncIterator[Seen]:
    """Every node that shows up in that time, as it is known. Raises RetryLater if there is no network."""
    if not near:
        raise RetryLater("lan.unreachable", "This machine is in no local network now.", 0.0)
    key = SigningKey.generate()
    found: asyncio.Queue[tuple[str, Endpoint]] = asyncio.Queue()
    candidates = Candidates()

    def note(record: Record) -> None:
        node, _ = candidates.space(record.did)
        for address in record.addresses:
            endpoint = Endpoint(address, record.port)
            if node is not None and is_near(address, record.port, near) and node.add(endpoint):
                found.put_nowait((record.did, endpoint))

    discovery = Discovery(key.did, note)
    try:
        await discovery.open(near, 0, ())
    except OSError as error:
        raise RetryLater("lan.unreachable", f"The local network cannot be used: {error.strerror}.", 0.0) from error
    asking: set[asyncio.Task[Seen]] = set()
    shown: set[str] = set()  # a node may be at several addresses
    coming = asyncio.ensure_future(found.get())
    deadline_s = time.monotonic() + seconds
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session:
            while (left_s := deadline_s - time.monotonic()) > 0 or asking:
                waiting = {*asking, coming} if left_s > 0 and len(asking) < _ASKED_AT_ONCE else asking
                timeout_s = left_s if left_s > 0 else max(0.0, left_s + _TOTAL_S)
                done, _ = await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if coming in done:
                    asking.add(asyncio.ensure_future(_look(session, key.did, *coming.result())))
                    coming = asyncio.ensure_future(found.get())
                for task in [task for task in asking if task.done()]:
                    asking.discard(task)
                    seen = task.result()
                    if seen.unproven or seen.did not in shown:
                        yield seen
                    if not seen.unproven:
                        shown.add(seen.did)
                if (not done and left_s <= 0) or left_s + _TOTAL_S <= 0:
                    return
    finally:
        for one in (coming, *asking):
            one.cancel()
        await asyncio.gather(coming, *asking, return_exceptions=True)
        await discovery.close()


async def _look(session: aiohttp.ClientSession, me: str, did: str, endpoint: Endpoint) -> Seen:
    try:
        proof, proven = await ask(session, endpoint, did, me)
    except Unproven as error:
        return Seen(did=did, at=str(endpoint), unproven=str(error))
    ahead_ms = proof.now_ms - time.time_ns() // 1_000_000
    announce: Announce | None = None
    for room in proof.rooms:
        if lan.is_room(room):
            url = f"{base(endpoint, did)}/rooms/{room.removeprefix('lan:')}"
            announce = await _announced(session, url, room, proof, proven.kid) or announce
    return Seen(did=did, at=str(endpoint), rooms=proof.rooms, clock_ahead_ms=ahead_ms, announce=announce)


async def _announced(session: aiohttp.ClientSession, url: str, room: str, proof: Proof, kid: str) -> Announce | None:
    """What a node says of itself in a room, None if it says nothing that counts."""
    newest: Announce | None = None
    position = ""
    for _ in range(_PAGES_MOST):
        batch = await _batch(session, f"{url}?after={position}" if position else url)
        if batch is None:
            break
        for event in batch.events:
            for carrier in carriers(bytes(event).decode(), "room"):
                newest = _newer(newest, carrier, room, proof, kid)
        position = batch.after
        if batch.caught_up:
            break
    return newest


def _newer(newest: Announce | None, carrier: object, room: str, proof: Proof, kid: str) -> Announce | None:
    try:
        message = verify(msgspec.json.encode(carrier))
    except (RemoteProtocolError, msgspec.MsgspecError, UnicodeEncodeError):
        return newest
    envelope, body = message.envelope, message.body
    if (message.sender, envelope.kid, envelope.room) != (proof.node, kid, room) or not is_in_time(
        message, proof.now_ms
    ):
        return newest
    revision = -1 if newest is None else newest.revision
    if isinstance(body, Leave) and body.revision >= revision:
        return None
    return body if isinstance(body, Announce) and body.revision > revision else newest


async def _batch(session: aiohttp.ClientSession, url: str) -> _Batch | None:
    limits = aiohttp.ClientTimeout(total=_TOTAL_S)
    headers = {"Accept": "application/json"}
    try:
        async with session.get(
            URL(url, encoded=True), headers=headers, timeout=limits, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                return None
            data = await answer.content.read(_PAGE_MOST)
            while not answer.content.at_eof() and len(data) < _PAGE_MOST:
                data += await answer.content.read(_PAGE_MOST - len(data))
            return msgspec.json.decode(data, type=_Batch)
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
