"""The routes of a node (spec/bindings/lan.md, LAN-6 to LAN-10, LAN-14)."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from aiohttp import web

from bots.http_signature import BadSignature, signer
from bots.hub.feeds import JSON, FeedServer, response
from bots.hub.hub import Answer, Hub, refusal
from bots.identity import Identity
from bots.transports.lan.own import Contact
from clawnet_proto import base64url
from clawnet_proto.bindings.lan import Proof, prove
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import decode_did

_TICKETS: Final = 4096
_TICKET_S: Final = 60.0
_NONCE: Final = 32  # bytes


class NodeServer(FeedServer):
    """The web application of one node: nothing can be posted to it."""

    def __init__(
        self, hub: Hub, own: Callable[[], Identity], now_ms: Callable[[], int], now_s: Callable[[], float]
    ) -> None:
        super().__init__(hub)
        self._own = own
        self._now_ms = now_ms
        self._now_s = now_s
        self._tickets: OrderedDict[str, tuple[str, float]] = OrderedDict()  # whose, and until when
        self.rooms: Callable[[], Sequence[str]] = tuple
        self.contact: Contact = lambda did, address, port: None
        self.app = web.Application(client_max_size=1, middlewares=[self.guarded])
        self.app.add_routes(
            [
                web.get("/{did}/proof", self._prove, allow_head=False),
                web.get("/{did}/rooms/{room}", self._read_room, allow_head=False),
                web.get("/{did}/chunks/{digest}", self._fetch, allow_head=False),
                web.get("/{did}/peers/{reader}/{ticket}", self._read_own, allow_head=False),
            ]
        )

    async def _prove(self, request: web.Request) -> web.StreamResponse:
        self._ours(request)
        reader, nonce = request.query.get("reader", ""), request.query.get("nonce", "")
        port = request.query.get("port", "")
        try:
            decode_did(reader)
            if len(base64url.decode(nonce)) != _NONCE:
                raise ValueError
        except (RemoteProtocolError, ValueError):
            return response(refusal(400, "http.query", "reader must be a did:key, and nonce 32 bytes in base64url."))
        if port.isascii() and port.isdecimal() and len(port) < 6:
            self.contact(reader, request.remote or "", int(port))
        own = self._own()
        proof = Proof(
            node=own.did,
            reader=reader,
            at=_at(request),
            nonce=nonce,
            ticket=self._ticket(reader),
            now_ms=self._now_ms(),
            rooms=tuple(self.rooms()),
        )
        body = msgspec.json.encode(prove(own.key, own.chain, proof)) + b"\n"
        return web.Response(body=body, content_type=JSON)

    def _ticket(self, reader: str) -> str:
        """What this reader may use once, and soon."""
        ticket = base64url.encode(os.urandom(_NONCE))
        self._tickets[ticket] = reader, self._now_s() + _TICKET_S
        if len(self._tickets) > _TICKETS:
            self._tickets.popitem(last=False)
        return ticket

    async def _read_room(self, request: web.Request) -> web.StreamResponse:
        self._ours(request)
        # As it was sent: what is decoded twice is another name.
        room = self._hub.names.room(request.rel_url.raw_path.split("/")[3])
        if room is None or room not in self.rooms():
            raise web.HTTPNotFound(reason="We are in no such room.")
        return await self.read(request, room)

    async def _read_own(self, request: web.Request) -> web.StreamResponse:
        self._ours(request)
        reader = request.match_info["reader"]
        whose, until_s = self._tickets.pop(request.match_info["ticket"], ("", 0.0))
        if whose != reader or self._now_s() > until_s:
            raise BadSignature("Its ticket was used, or is not for this reader.")
        # Where it came to is what we know, not what it says: who passes it on to us is found out.
        key = signer(request.headers, "GET", f"http://{_at(request)}{request.raw_path}", b"", self._now_ms() // 1000)
        if not key or self._hub.speaker(key) != reader:
            raise BadSignature("It must be signed with the key in use of the peer that is asked about.")
        address = self._hub.names.address(reader)
        if read := request.query.get("after", ""):
            self._hub.archive.read(address, read)
        return await self.read(request, address)

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        self._ours(request)
        found = self._hub.fetch(request.match_info["digest"], self.network(request))
        return response(found) if isinstance(found, Answer) else await self.hand_over(request, found)

    def _ours(self, request: web.Request) -> None:
        if request.host != _at(request):
            raise web.HTTPMisdirectedRequest(reason="Ask the address and port that the node listens on.")
        if request.match_info["did"] != self._own().did:
            raise web.HTTPNotFound(reason="That node is not here.")


def _at(request: web.Request) -> str:
    """Our own address and port that a request came to."""
    assert request.transport is not None
    address, port = request.transport.get_extra_info("sockname")[:2]
    return f"{address}:{port}"
