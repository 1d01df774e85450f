"""Requests to a hub, signed by us, and what becomes of them.

What is not the word of a hub never makes a parcel fail for good: a proxy, a captive portal or a page of some other
server says nothing about what was sent.

    no answer, 3xx, 502, 503, 504    RetryLater http.unreachable
    whatever has no ``code``         RetryLater http.unreachable
    401, 408, 410                    RetryLater http.not_now: our clock, our key that is not known yet, ...
    hub.not_member                   RetryLater http.not_member: our announce is on its way
    429                              RetryLater http.rate_limited, with the hub's figure
    other 5xx                        RetryLater http.server_error
    peer.unreachable                 Refused http.no_peer
    413                              Refused http.too_large
    everything else                  Refused, with the last part of the hub's code
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from bots.errors import Refused, RetryLater, TransportError
from bots.http_signature import sign
from bots.identity import Identity
from clawnet_proto.rendering import clean

BODY_MOST: Final = 65536  # bytes that may be posted at once
_BYTES: Final = "application/octet-stream"

_ANSWER_MOST: Final = 1 << 18  # bytes
_ANSWER_S: Final = 30.0
_CONNECT_S: Final = 10.0
_READ_S: Final = 60.0  # the longest silence
_WAIT_MOST_S: Final = 3600.0
_DETAIL_MOST: Final = 200  # characters
_CODE: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9_]+(\.[a-z0-9_]+)*")
_EVENT_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,64}")

_JUDGED: Final = frozenset({200, 400, 403, 413})  # with these each carrier has a result of its own
_NOT_NOW: Final = frozenset({401, 408, 410})
_AWAY: Final = frozenset({502, 503, 504})


class Gone(Exception):
    """The hub does not have what lies behind our position any more."""


class Result(msgspec.Struct, frozen=True):
    """What became of one carrier: ``event`` if it was taken, else ``code``."""

    event: str = ""
    code: str = ""


class _Answer(msgspec.Struct, frozen=True):
    results: tuple[Result, ...] | None = None
    uri: str = ""
    code: str = ""
    detail: str = ""


_NO_ANSWER: Final = _Answer()


def is_event_id(text: str) -> bool:
    """Whether it may be the id of an event, and so a position (HTTP-11)."""
    return _EVENT_ID.fullmatch(text) is not None


def body_of(carriers: Sequence[str]) -> bytes:
    """What is posted to say these carriers, each of them JSON text."""
    return f'{{"carriers":[{",".join(carriers)}]}}'.encode()


class Wire:
    """Connections to one hub. ``own`` gives our keys as they are now, ``clock`` Unix milliseconds.

    Without ``own`` rooms can be read, and nothing else. ``on_answer`` is called with the date that an answer bears, and
    how many seconds it took.
    """

    def __init__(
        self,
        hub: str,
        own: Callable[[], Identity] | None,
        clock: Callable[[], int],
        on_answer: Callable[[str, float], None] | None = None,
        connector: Callable[[], aiohttp.BaseConnector | None] = lambda: None,
    ) -> None:
        self._hub = hub
        self._own = own
        self._clock = clock
        self._on_answer = on_answer
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, body: bytes, *, signed: bool) -> tuple[Result, ...]:
        """Post carriers and return what became of each. Raises RetryLater, Refused."""
        headers = {"Content-Type": "application/json"} | (self._proof("POST", url, body) if signed else {})
        async with self._request("POST", url, body, headers, _ANSWER_S) as response:
            answer = await self._answer(response)
            results = answer.results
            if results is None or response.status not in _JUDGED:
                raise self._fault(response, answer)
        if not all(is_event_id(one.event) or (not one.event and _CODE.fullmatch(one.code)) for one in results):
            raise self._nonsense()
        return results

    async def greet(self, url: str) -> None:
        """See that this URL of a hub answers as one does. Raises RetryLater, Refused."""
        headers = {"Accept": "application/json"} | self._proof("GET", url, b"")
        async with self._request("GET", url, b"", headers, _ANSWER_S) as response:
            if response.status != 200:
                raise self._fault(response, await self._answer(response))
            if response.content_type != "application/json":
                raise self._nonsense()

    async def put(self, url: str, data: bytes) -> None:
        """Store a chunk there. Raises RetryLater, Refused."""
        headers = {"Content-Type": _BYTES} | self._proof("PUT", url, data)
        async with self._request("PUT", url, data, headers, _ANSWER_S) as response:
            answer = await self._answer(response)
            if response.status != 200 or answer.uri != url:
                raise self._fault(response, answer)

    async def fetch(self, url: str, most: int) -> bytes:
        """A chunk, of which ``most`` bytes and one are read at most. Raises RetryLater, Refused."""
        async with self._request("GET", url, b"", {"Accept": _BYTES}, _ANSWER_S) as response:
            if response.status != 200:
                raise self._fault(response, await self._answer(response))
            if response.content_type != _BYTES:
                raise self._nonsense()
            data = bytearray()
            async for piece in response.content.iter_any():
                data += piece
                if len(data) > most:
                    break
            return bytes(data[: most + 1])

    @asynccontextmanager
    async def stream(self, url: str, after: str) -> AsyncIterator[aiohttp.StreamReader]:
        """Server-sent events from a position on. Raises Gone, RetryLater, Refused; and while it is read, RetryLater."""
        # In the URL the position is under our signature: a hub forgets by it what we have read (HTTP-15).
        url = f"{url}?after={after}" if after else url
        headers = {"Accept": "text/event-stream"} | self._proof("GET", url, b"")
        async with self._request("GET", url, b"", headers, None) as response:
            if response.status != 200:
                answer = await self._answer(response)
                raise Gone if answer.code == "history.gone" else self._fault(response, answer)
            if response.content_type != "text/event-stream":
                raise self._nonsense()
            yield response.content

    def _proof(self, method: str, url: str, body: bytes) -> dict[str, str]:
        if self._own is None:
            return {}
        key = self._own().key
        return sign(key, key.did, method, str(URL(url, encoded=True)), body, self._clock() // 1000)

    @asynccontextmanager
    async def _request(
        self, method: str, url: str, body: bytes, headers: Mapping[str, str], total_s: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        limits = aiohttp.ClientTimeout(total=total_s, sock_connect=_CONNECT_S, sock_read=_READ_S)
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body or None,
                headers=headers,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                if self._on_answer is not None and (date := response.headers.get("Date")):
                    self._on_answer(date, loop.time() - began_s)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            reason = clean(str(error), limit=_DETAIL_MOST) or type(error).__name__
            raise RetryLater("http.unreachable", f"The hub {self._hub} cannot be reached ({reason}).", 0.0) from error

    async def _answer(self, response: aiohttp.ClientResponse) -> _Answer:
        """What a hub says with this answer; nothing if it is none of a hub. Raises RetryLater."""
        data = bytearray()
        async for piece in response.content.iter_any():
            data += piece
            if len(data) > _ANSWER_MOST:
                raise self._nonsense()
        try:
            return msgspec.json.decode(data, type=_Answer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return _NO_ANSWER

    def _fault(self, response: aiohttp.ClientResponse, answer: _Answer) -> TransportError:
        """What an answer means that is no good one."""
        status, wait_s = response.status, _wait_s(response)
        code = answer.code if _CODE.fullmatch(answer.code) else ""
        detail = clean(answer.detail if code else response.reason or "", limit=_DETAIL_MOST)
        message = f"The hub {self._hub} refused ({status} {code}: {detail})."
        if status == 429:
            return RetryLater("http.rate_limited", f"The hub {self._hub} limits how fast we may go.", wait_s)
        if not code or status < 400:
            return RetryLater("http.unreachable", f"What answers at {self._hub} is no hub ({status} {detail}).", wait_s)
        if status >= 500:
            return RetryLater(f"http.{'unreachable' if status in _AWAY else 'server_error'}", message, wait_s)
        if status in _NOT_NOW:
            return RetryLater("http.not_now", message, wait_s)
        if code == "hub.not_member":
            return RetryLater("http.not_member", message, wait_s)
        if code == "peer.unreachable":
            return Refused("http.no_peer", message)
        return Refused(f"http.{'too_large' if status == 413 else code.rpartition('.')[2]}", message)

    def _nonsense(self) -> RetryLater:
        return RetryLater("http.unreachable", f"What answers at {self._hub} is no hub.", 0.0)


def _wait_s(response: aiohttp.ClientResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), _WAIT_MOST_S) if text.isdecimal() and text.isascii() and len(text) < 9 else 0.0
