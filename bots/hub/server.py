"""The routes of a hub (spec/bindings/http.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bots.http_signature import BadSignature, signer
from bots.hub.feeds import BYTES, JSON, FeedServer, response
from bots.hub.hub import Answer, Hub, refusal
from bots.transports.http.names import DIGEST
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import decode_did
from clawnet_proto.specification import LIMITS

_BODY_MOST: Final = 65536  # bytes
_BODY_S: Final = 10.0
_CHUNK_S: Final = 30.0
_WELCOME: Final = """This is a ClawNet hub: rooms of signed messages over plain HTTP.

  read a room   curl -N -H 'Accept: text/event-stream' {base}/rooms/NAME
  post to it    curl --json @message.json {base}/rooms/NAME
"""


class HubServer(FeedServer):
    """The web application of a hub. ``clock_s`` gives Unix seconds."""

    def __init__(self, hub: Hub, *, proxied: bool = False, clock_s: Callable[[], float] = time.time) -> None:
        super().__init__(hub, proxied=proxied)
        self._clock_s = clock_s
        self.app = web.Application(client_max_size=_BODY_MOST, middlewares=[self.guarded])
        self.app.add_routes(
            [
                web.get("/", self._welcome, allow_head=False),
                web.get("/rooms/{room}", self._read_room, allow_head=False),
                web.post("/rooms/{room}", self._post),
                web.get("/rooms/{room}/members", self._members, allow_head=False),
                web.get("/peers/{did}", self._read_own, allow_head=False),
                web.post("/peers/{did}", self._post_direct),
                web.put("/chunks/{digest}", self._store),
                web.get("/chunks/{digest}", self._fetch, allow_head=False),
            ]
        )

    # -- routes ----------------------------------------------------------------------------------------------

    async def _welcome(self, _request: web.Request) -> web.Response:
        return web.Response(text=_WELCOME.format(base=self._hub.names.base))

    async def _post(self, request: web.Request) -> web.Response:
        room = self._room(request)
        body = await self._body(request)
        return response(self._hub.post(room, body, self._key(request, body), self.network(request)))

    async def _post_direct(self, request: web.Request) -> web.Response:
        did = self._did(request)
        body = await self._body(request)
        poster = self._signer(request, body)
        return response(self._hub.post_direct(did, body, poster, self.network(request)))

    async def _read_room(self, request: web.Request) -> web.StreamResponse:
        return await self.read(request, self._room(request), members=True)

    async def _read_own(self, request: web.Request) -> web.StreamResponse:
        did = self._did(request)
        if self._signer(request, b"") != did:
            return response(
                refusal(401, "http.unsigned", "Sign the request with the key that is asked about: see HTTP-8.")
            )
        if self._hub.is_banned(did):
            return response(refusal(403, "hub.banned", "This hub does not serve this key."))
        address = self._hub.names.address(did)
        # Of the two ways to tell a position only this one is under the signature.
        if read := request.query.get("after", ""):
            self._hub.archive.read(address, read)
        return await self.read(request, address)

    async def _members(self, request: web.Request) -> web.StreamResponse:
        room = self._room(request)
        return await self.tell(request, Answer(200, {"members": self._hub.roster(room).addresses}))

    async def _store(self, request: web.Request) -> web.Response:
        name = self._digest(request)
        with self.reading(request):
            data = await self._chunk(request)
        return response(self._hub.store(name, data, self._signer(request, data), self.network(request)))

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        found = self._hub.fetch(self._digest(request), self.network(request))
        return response(found) if isinstance(found, Answer) else await self.hand_over(request, found)

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

    def _digest(self, request: web.Request) -> str:
        digest = request.rel_url.raw_path.split("/")[2]
        if not DIGEST.fullmatch(digest):
            raise web.HTTPNotFound(reason="That is no digest.")
        return digest

    async def _chunk(self, request: web.Request) -> bytes:
        _check(request, BYTES, LIMITS.chunk_bytes)
        data = bytearray()
        try:
            async with asyncio.timeout(_CHUNK_S):
                async for piece in request.content.iter_any():
                    data += piece
                    if len(data) > LIMITS.chunk_bytes:
                        raise web.HTTPRequestEntityTooLarge(LIMITS.chunk_bytes, len(data))
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason="The chunk came too slowly.") from None
        return bytes(data)

    async def _body(self, request: web.Request) -> bytes:
        _check(request, JSON, _BODY_MOST)
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


def _check(request: web.Request, kind: str, most: int) -> None:
    """Whether a request brings what it should, before any of it is read."""
    if request.content_type != kind:
        raise web.HTTPUnsupportedMediaType(reason=f"Send {kind}.")
    if "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(reason="Send it as it is, without a Content-Encoding.")
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
