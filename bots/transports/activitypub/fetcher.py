"""GET and POST to strangers' servers: every address judged as it is connected to, everything bounded (AP-23 to AP-26).

An address that is not of the public internet is never connected to, whatever a name resolves to and whoever
redirects there. Signed by both schemes in turn where a server does not take the first (double-knock).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urljoin

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDictProxy
from yarl import URL

from bots.transports.activitypub.inbound_note import CARRIERS_BYTES_MOST, MEDIA_TYPE
from bots.transports.activitypub.keys import ActorKeys
from bots.transports.activitypub.media_types import ACCEPT, ACTIVITY_JSON, is_activity, is_one_of
from bots.transports.activitypub.names import BadUrl, ascii_authority, canonical, origin, without_fragment
from bots.transports.activitypub.plain_json import Malformed, parse
from bots.transports.activitypub.reachable import NotPublic, is_local, public_socket
from bots.transports.activitypub.references import items, reference
from bots.transports.activitypub.resolver import Resolver
from bots.transports.activitypub.schemes import SCHEMES, Memory, Recent, headers
from clawnet_proto.rendering import clean

REDIRECTS_MOST: Final = 3
BYTES_MOST: Final = 1 << 20
HEARSAY_BYTES_MOST: Final = 1 << 18
TIME_MOST_S: Final = 10.0

BYTES: Final = "application/octet-stream"

_JRD: Final = "application/jrd+json"
_HANDLE: Final = re.compile(r"@?([A-Za-z0-9_.-]{1,64})@([^@/?#\s]{1,255})")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_UNPROVEN: Final = frozenset({400, 401})  # what servers answer to a signature that they cannot read
_DETAIL_BYTES: Final = 1000
_WAIT_MOST_S: Final = 86400.0
_CONNECTIONS: Final = 64
_CONNECTIONS_OF_HOST: Final = 4
_ALWAYS: Final = {"User-Agent": "clawbot", "Accept-Encoding": "identity"}


class FetchError(Exception):
    """It was not fetched. ``status`` is what the server answered, 0 if none did. The text never has what it sent."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    @property
    def gone(self) -> bool:
        """Whether the server said that it has no such thing (404, 410)."""
        return self.status in (404, 410)

    @property
    def lasting(self) -> bool:
        """Whether whoever asks again is told the same."""
        return 300 <= self.status < 500 and self.status not in (408, 429)


class Forbidden(FetchError):
    """We do not go there: no https, an address that is not public, too many redirects."""


class Bad(FetchError):
    """What came is not what was asked for: media type, size, JSON, or an ``id`` that is not where it was fetched."""

    @property
    def lasting(self) -> bool:
        return True


class Answer(msgspec.Struct, frozen=True):
    """What became of a POST."""

    status: int
    retry_after_s: float | None = None  # 0 to 86400
    detail: str = ""  # the beginning of the answer, made harmless, for the log


class _Want(msgspec.Struct, frozen=True, kw_only=True):
    """What a GET is for, and how far it may go."""

    accept: str
    is_wanted: Callable[[str], bool]  # by its Content-Type
    most: int  # bytes
    signed: bool = True
    redirects: int = REDIRECTS_MOST
    abroad: bool = False  # they may lead to another origin
    hearsay: bool = False  # for whoever has proven nothing yet

    def fault(self, status: int, headers: CIMultiDictProxy[str]) -> FetchError | None:
        """Why an answer is not read."""
        if status != 200:
            return FetchError(f"The server answered {status}.", status)
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            return Bad("It is compressed, which was not asked for.", status)
        if not self.is_wanted(headers.get("Content-Type", "")):
            return Bad("It is of another media type than was asked for.", status)
        return None


def _any_of(*kinds: str) -> Callable[[str], bool]:
    return lambda content_type: is_one_of(content_type, kinds)


_DOCUMENT: Final = _Want(accept=ACCEPT, is_wanted=is_activity, most=BYTES_MOST)
_HEARSAY: Final = msgspec.structs.replace(_DOCUMENT, most=HEARSAY_BYTES_MOST, hearsay=True)
_CARRIERS: Final = _Want(accept=MEDIA_TYPE, is_wanted=_any_of(MEDIA_TYPE), most=CARRIERS_BYTES_MOST)
_WEBFINGER: Final = _Want(
    accept=_JRD, is_wanted=_any_of(_JRD, "application/json"), most=BYTES_MOST, signed=False, abroad=True
)


class _Response(msgspec.Struct, frozen=True):
    url: str
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Fetcher:
    """One agent's way out. ``clock`` gives Unix milliseconds. ``allow_private``: http and private addresses, too."""

    def __init__(
        self,
        keys: ActorKeys,
        key_id: str,
        clock: Callable[[], int],
        *,
        allow_private: bool = False,
        memory: Memory | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._keys = keys
        self._key_id = key_id
        self._clock = clock
        self._allow_private = allow_private
        self._memory: Memory = memory or Recent()
        self._resolver = resolver
        # What is fetched on hearsay has connections and lookups of its own: it holds up nothing else.
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._resolvers: list[AbstractResolver] = []

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        for resolver in self._resolvers:
            await resolver.close()

    async def document(self, url: str, *, hearsay: bool = False) -> dict[str, Any]:
        """The ActivityStreams document whose ``id`` is where it was found, by a signed GET. Raises FetchError.

        If its ``id`` is another URL of the same origin it is fetched anew from there, once. ``hearsay``: somebody who
        has proven nothing yet makes us fetch it.
        """
        want = _HEARSAY if hearsay else _DOCUMENT
        async with _bounded():
            place, document = await self._document(_canonical(url), want)
            named = _id(document)
            if named != place and origin(named) == origin(place):
                place, document = await self._document(named, want)
                named = _id(document)
        if named != place:
            raise Bad("Its id is not where it was found.")
        return document

    async def carriers(self, url: str) -> str:
        """The text behind a ``Link`` to carriers (AP-13), whose SHA-256 its URL ends with. Raises FetchError."""
        async with _bounded():
            response = await self._get(_canonical(url), _CARRIERS)
        if hashlib.sha256(response.body).hexdigest() != without_fragment(url).rpartition("/")[2]:
            raise Bad("It is not what its name says.", response.status)
        try:
            return response.body.decode()
        except UnicodeDecodeError:
            raise Bad("It is no UTF-8.", response.status) from None

    async def chunk(self, url: str, most: int) -> bytes:
        """The bytes of a chunk of an artifact (AP-48), ``most`` of them at most, unverified. Raises FetchError."""
        want = _Want(accept=BYTES, is_wanted=_any_of(BYTES), most=most, signed=False, redirects=0)
        async with _bounded():
            return (await self._get(_canonical(url), want)).body

    async def webfinger(self, handle: str) -> str:
        """The actor's id behind ``@user@host`` (the first @ may be missing). Raises FetchError."""
        match = _HANDLE.fullmatch(handle)
        host = ascii_authority(match[2], "https:") if match else ""
        if match is None or not host:
            raise Forbidden("A handle is written as @user@host.")
        resource = quote(f"acct:{match[1]}@{host}", safe="")
        url = f"{host}/.well-known/webfinger?resource={resource}"
        first, *others = self._schemes(host)
        try:
            return await self._self_link(f"{first}://{url}")
        except FetchError as error:
            if error.status or not others:
                raise
        return await self._self_link(f"{others[0]}://{url}")

    async def post(self, url: str, body: bytes) -> Answer:
        """Post an activity to an inbox, signed; a redirect is an answer as any other. Raises FetchError.

        The second scheme is tried at once if the first one is answered 400 or 401.
        """
        async with _bounded():
            response = await self._knock("POST", _canonical(url), body, {"Content-Type": ACTIVITY_JSON})
        plain = "Content-Encoding" not in response.headers
        detail = clean(response.body[:_DETAIL_BYTES].decode(errors="replace"), limit=200) if plain else ""
        return Answer(response.status, _retry_after(response.headers.get("Retry-After", "")), detail)

    # -- one fetch -------------------------------------------------------------------------------------------

    async def _document(self, url: str, want: _Want) -> tuple[str, dict[str, Any]]:
        """Where a document was found in the end, and the document."""
        response = await self._get(without_fragment(url), want)
        try:
            return response.url, parse(response.body, BYTES_MOST)
        except Malformed as error:
            raise Bad(str(error), response.status) from None

    async def _self_link(self, url: str) -> str:
        """The actor that a WebFinger document (RFC 7033) leads to. Raises FetchError."""
        async with _bounded():
            response = await self._get(_canonical(url), _WEBFINGER)
        try:
            for link in items(parse(response.body, BYTES_MOST).get("links")):
                if isinstance(link, dict) and link.get("rel") == "self" and is_activity(str(link.get("type", ""))):
                    return reference(link.get("href"), "href")
        except Malformed as error:
            raise Bad(str(error), response.status) from None
        raise Bad("WebFinger names no actor there.", response.status)

    async def _get(self, url: str, want: _Want) -> _Response:
        more = {"Accept": want.accept}
        for _ in range(want.redirects + 1):
            if want.signed:
                response = await self._knock("GET", url, b"", more, want)
            else:
                response = await self._send("GET", url, b"", more, want)
            if response.status not in _REDIRECTS:
                break
            place, url = url, _redirected(url, response.headers.get("Location", ""))
            if not want.abroad and origin(url) != origin(place):
                raise Forbidden("It redirects to another server.", response.status)
        else:
            raise Forbidden("There are too many redirects.", response.status)
        if (fault := want.fault(response.status, response.headers)) is not None:
            raise fault
        if len(response.body) > want.most:
            raise Bad(f"It has more than {want.most} bytes.", response.status)
        return response

    async def _knock(
        self, method: str, url: str, body: bytes, more: Mapping[str, str], want: _Want | None = None
    ) -> _Response:
        """A request signed by one scheme, and by the other one if the server cannot read the first."""
        server = origin(url)
        first = self._memory.scheme(server)
        for scheme in sorted(SCHEMES, key=lambda one: one != first):
            signed = headers(scheme, self._keys, self._key_id, method, url, body, self._clock() // 1000)
            response = await self._send(method, url, body, {**more, **signed}, want)
            if response.status not in _UNPROVEN:
                break
        if 200 <= response.status < 300:
            self._memory.worked(server, scheme)
        return response

    async def _send(self, method: str, url: str, body: bytes, more: Mapping[str, str], want: _Want | None) -> _Response:
        """One request and its answer: of one that is not wanted nothing, of one to a POST the beginning."""
        self._check(url)
        async with self._session(want is not None and want.hearsay).request(
            method,
            URL(url, encoded=True),
            data=body or None,
            headers={**_ALWAYS, **more},
            allow_redirects=False,
        ) as response:
            most = _DETAIL_BYTES if want is None else want.most
            refused = want is not None and want.fault(response.status, response.headers) is not None
            found = b"" if refused else await beginning(response.content, most)
            return _Response(url, response.status, response.headers, found)

    def _check(self, url: str) -> None:
        """Raises Forbidden."""
        if not self._allow_private and not url.startswith("https:"):
            raise Forbidden("Nothing is fetched but by https.")

    def _schemes(self, host: str) -> tuple[str, ...]:
        """By which schemes, in turn, a host is asked that was named without one."""
        if not self._allow_private:
            return ("https",)
        near = is_local(URL(f"https://{host}", encoded=True).raw_host or "")
        return ("http", "https") if near else ("https", "http")

    def _session(self, hearsay: bool) -> aiohttp.ClientSession:
        if hearsay not in self._sessions:
            resolver = self._resolver or Resolver()
            self._resolvers.append(resolver)
            connector = aiohttp.TCPConnector(
                limit=_CONNECTIONS,
                limit_per_host=_CONNECTIONS_OF_HOST,
                resolver=resolver,
                socket_factory=None if self._allow_private else public_socket,
            )
            self._sessions[hearsay] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=TIME_MOST_S),
            )
        return self._sessions[hearsay]


async def beginning(content: aiohttp.StreamReader, most: int) -> bytes:
    """At most so many bytes of an answer, and one, which shows that it is longer."""
    found = bytearray()
    while len(found) <= most and (piece := await content.read(most + 1 - len(found))):
        found += piece
    return bytes(found)


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """Ends in time, redirects and second tries included; whatever goes wrong becomes a FetchError."""
    try:
        async with asyncio.timeout(TIME_MOST_S):
            yield
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, NotPublic):
            raise Forbidden(str(error.os_error)) from None
        raise FetchError("The server cannot be reached.") from None
    except TimeoutError:
        raise FetchError(f"The server took longer than {TIME_MOST_S:.0f} s.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"The server does not answer as one does ({type(error).__name__}).") from None


def _canonical(url: str) -> str:
    try:
        return canonical(url)
    except BadUrl as error:
        raise Forbidden(str(error)) from None


def _redirected(url: str, location: str) -> str:
    """Where an answer sends us, without a fragment. Raises Forbidden."""
    try:
        return without_fragment(canonical(urljoin(url, location)))
    except ValueError:
        raise Forbidden("It redirects to no URL.") from None


def _id(document: dict[str, Any]) -> str:
    try:
        return reference(document.get("id"), "id")
    except Malformed as error:
        raise Bad(str(error)) from None


def _retry_after(value: str) -> float | None:
    """Seconds, if the header has a number of them."""
    return min(float(value), _WAIT_MOST_S) if value.isascii() and value.isdigit() and len(value) < 10 else None
