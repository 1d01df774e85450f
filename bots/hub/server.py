"""The routes of a hub (spec/bindings/http.md)."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from bots.errors import StoreError
from bots.http_signature import BadSignature, signer
from bots.hub import streams
from bots.hub.archive import Unknown
from bots.hub.hub import Answer, Hub, refusal
from bots.hub.limits import forwarded, network
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import decode_did

log = logging.getLogger(__name__)

_BODY_MOST: Final = 65536  # bytes
_BODY_S: Final = 10.0
_READERS: Final = 512
_READERS_OF_NETWORK: Final = 32
_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"
_NEVER: Final = re.compile(r"q=0(\.0*)?")
_HEADERS: Final = {"Server": "clawbot hub", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_WELCOME: Final = """This is a ClawNet hub: rooms of signed messages over plain HTTP.

  read a room   curl -N -H 'Accept: text/event-stream' {base}/rooms/NAME
  post to it    curl --json @message.json {base}/rooms/NAME
"""


class _Refused(Exception):
    """A request is answered so, and nothing else is done."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class HubServer:
    """The web application of a hub.

    ``proxied``: the address of a client is the last one that a proxy has noted. ``clock_s`` gives Unix seconds.
    """

    def __init__(self, hub: Hub, *, proxied: bool = False, clock_s: Callable[[], float] = time.time) -> None:
        self._hub = hub
        self._clock_s = clock_s
        self._proxied = proxied
        self._readers: Counter[str] = Counter()
        self.app = web.Application(client_max_size=_BODY_MOST, middlewares=[self._guarded])
        self.app.add_routes(
            [
                web.get("/", self._welcome, allow_head=False),
                web.get("/rooms/{room}", self._read_room, allow_head=False),
                web.post("/rooms/{room}", self._post),
                web.get("/rooms/{room}/members", self._members, allow_head=False),
                web.get("/peers/{did}", self._read_own, allow_head=False),
                web.post("/peers/{did}", self._post_direct),
            ]
        )

    @property
    def readers(self) -> int:
        """How many read at the moment."""
        return self._readers.total()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refused = self._hub.admit(self._network(request))
            response = _response(refused) if refused else await handler(request)
        except web.HTTPException as error:
            response = _response(refusal(error.status, _CODES.get(error.status, "http.refused"), error.reason))
            response.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
        except _Refused as error:
            response = _response(error.answer)
        except BadSignature as error:
            response = _response(refusal(401, "http.signature", str(error)))
        except Unknown:
            response = _response(_GONE)
        except StoreError as error:
            log.error("%s", error)
            response = _response(Answer(503, {"code": error.code, "detail": "The hub cannot keep anything now."}, 30))
        except Exception:
            log.exception("A request failed: %s %r", request.method, request.raw_path)
            response = _response(refusal(500, "hub.fault", "The hub has a fault, which its owner finds in its log."))
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    # -- routes ----------------------------------------------------------------------------------------------

    async def _welcome(self, _request: web.Request) -> web.Response:
        return web.Response(text=_WELCOME.format(base=self._hub.names.base))

    async def _post(self, request: web.Request) -> web.Response:
        room = self._room(request)
        body = await self._body(request)
        return _response(self._hub.post(room, body, self._key(request, body), self._network(request)))

    async def _post_direct(self, request: web.Request) -> web.Response:
        did = self._did(request)
        body = await self._body(request)
        poster = self._signer(request, body)
        return _response(self._hub.post_direct(did, body, poster, self._network(request)))

    async def _read_room(self, request: web.Request) -> web.StreamResponse:
        return await self._read(request, self._room(request), members=True)

    async def _read_own(self, request: web.Request) -> web.StreamResponse:
        did = self._did(request)
        if self._signer(request, b"") != did:
            return _response(
                refusal(401, "http.unsigned", "Sign the request with the key that is asked about: see HTTP-8.")
            )
        if self._hub.is_banned(did):
            return _response(refusal(403, "hub.banned", "This hub does not serve this key."))
        address = self._hub.names.address(did)
        # Of the two ways to tell a position only this one is under the signature.
        if read := request.query.get("after", ""):
            self._hub.archive.read(address, read)
        return await self._read(request, address)

    async def _read(self, request: web.Request, place: str, *, members: bool = False) -> web.StreamResponse:
        position = _position(request)
        with self._reading(request):
            if _wants_stream(request.headers.get("Accept", "")):
                return await streams.stream(self._hub, request, place, position, members=members)
            answer = await streams.batch(self._hub, place, position, request.query.get("wait", ""))
            return await _send(request, answer)

    async def _members(self, request: web.Request) -> web.StreamResponse:
        room = self._room(request)
        with self._reading(request):
            return await _send(request, Answer(200, {"members": self._hub.roster(room).addresses}))

    @contextmanager
    def _reading(self, request: web.Request) -> Iterator[None]:
        """Somebody is a reader until it has all of its answer. Raises _Refused."""
        name = self._network(request)
        if self.readers >= _READERS or self._readers[name] >= _READERS_OF_NETWORK:
            raise _Refused(Answer(503, {"code": "hub.readers", "detail": "Too many read at the moment."}, 10))
        self._readers[name] += 1
        try:
            yield
        finally:
            self._readers[name] -= 1
            self._readers += Counter()  # forget who reads nothing

    # -- requests --------------------------------------------------------------------------------------------

    def _room(self, request: web.Request) -> str:
        # As it was sent: what is decoded twice is another name.
        segment = request.rel_url.raw_path.split("/")[2]
        room = self._hub.names.room(segment)
        if room is None:
            raise web.HTTPNotFound(reason="That is no name of a room.")
        return room

    def _did(self, request: web.Request) -> str:
        did = request.match_info["did"]
        try:
            decode_did(did)
        except RemoteProtocolError:
            raise web.HTTPNotFound(reason="That is no peer.") from None
        return did

    async def _body(self, request: web.Request) -> bytes:
        if request.content_type != _JSON:
            raise web.HTTPUnsupportedMediaType(reason=f"Send {_JSON}.")
        if "Content-Encoding" in request.headers:
            raise web.HTTPUnsupportedMediaType(reason="Send it as it is, without a Content-Encoding.")
        if (request.content_length or 0) > _BODY_MOST:
            raise web.HTTPRequestEntityTooLarge(_BODY_MOST, request.content_length or 0)
        try:
            async with asyncio.timeout(_BODY_S):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason="The body came too slowly.") from None

    def _key(self, request: web.Request, body: bytes) -> str:
        """The did of the key that signed the request, "" if none did. Raises BadSignature."""
        url = self._hub.names.base + request.raw_path
        return signer(request.headers, request.method, url, body, int(self._clock_s())) or ""

    def _signer(self, request: web.Request, body: bytes) -> str:
        """The identity that signed the request, "" if nobody did. Raises BadSignature."""
        key = self._key(request, body)
        if not key:
            return ""
        if not (did := self._hub.speaker(key)):
            raise BadSignature("Its key was given up.")
        return did

    def _network(self, request: web.Request) -> str:
        noted = request.headers.getall("X-Forwarded-For", []) if self._proxied else []
        return network(forwarded(noted) or request.remote or "")


_CODES: Final = {
    404: "http.not_found",
    405: "http.method",
    408: "http.slow",
    413: "size.request",
    415: "http.content_type",
}
_GONE: Final = refusal(410, "history.gone", "That event is not kept any more: begin without a position.")


def _wants_stream(accept: str) -> bool:
    """Whether an ``Accept`` header names server-sent events, and does not exclude them."""
    for one in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        if kind == _STREAM:
            return not any(_NEVER.fullmatch(parameter) for parameter in parameters)
    return False


def _position(request: web.Request) -> str:
    return request.headers.get("Last-Event-ID", "") or request.query.get("after", "")


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Answer at the pace of the reader."""
    response = web.StreamResponse(status=answer.status, headers={**_HEADERS, "Content-Type": _JSON})
    return await streams.send(request, response, msgspec.json.encode(answer.body) + b"\n")


def _response(answer: Answer) -> web.Response:
    headers = {"Retry-After": str(math.ceil(answer.retry_after_s))} if answer.retry_after_s else {}
    return web.Response(
        status=answer.status, body=msgspec.json.encode(answer.body) + b"\n", content_type=_JSON, headers=headers
    )
