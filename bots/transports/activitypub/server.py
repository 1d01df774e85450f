"""The inbox of an actor, and what keeps strangers from asking too much (spec/bindings/activitypub.md, "Limits")."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from bots.errors import RetryLater, StoreError
from bots.serving.limits import Allowance, Meters, forwarded, network
from bots.transports.activitypub.activities import BODY_MOST
from bots.transports.activitypub.names import BadUrl, Names, canonical, origin, site
from bots.transports.activitypub.plain_json import Malformed
from bots.transports.activitypub.references import reference
from bots.transports.activitypub.request import Request
from bots.transports.activitypub.shares import Full, Shares
from bots.transports.activitypub.shown import Shown
from bots.transports.activitypub.verification import Arrival, Rejected
from bots.transports.http.names import is_near
from clawnet_proto.rendering import clean

log = logging.getLogger(__name__)

_BODY_S: Final = 15.0
_ARRIVING: Final = (128, 8)  # bodies at a time, in all and of one network address
_JUDGED: Final = (64, 8)  # activities at a time, in all and of one network address or host
_REQUESTS: Final = Allowance(600, 20)  # of one network address
_CHUNK: Final = 8  # requests that a chunk counts for
_ACTIVITIES: Final = Allowance(300, 10)  # of one host
_CODES: Final = {400: "query", 404: "not_found", 405: "method", 408: "slow", 413: "too_large", 421: "host"}


class _Claim(msgspec.Struct):
    actor: object = None


_actor: Final = msgspec.json.Decoder(_Claim).decode


class Sender(Protocol):
    """Who sent a request, and what."""

    async def arrival(self, request: Request) -> Arrival: ...


class Taker(Protocol):
    """What is done with it."""

    async def take(self, arrival: Arrival) -> None: ...


class Refusal(Exception):
    """A request is answered so, and nothing else is done."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class ActorServer:
    """The web application of one actor.

    ``shown`` are its pages; ``is_blocked`` tells of a URL whether its host is not served; ``heard``
    is called with the origin of whoever has proven that it is there; ``now_s`` only goes on.
    """

    def __init__(
        self,
        names: Names,
        shown: Shown,
        sender: Sender,
        taker: Taker,
        is_blocked: Callable[[str], bool],
        heard: Callable[[str], None],
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = names
        self._sender = sender
        self._taker = taker
        self._is_blocked = is_blocked
        self._heard = heard
        self._now_s = now_s
        self._requests = Meters(_REQUESTS)
        self._servers = Meters(_ACTIVITIES)
        self._arriving = Shares(*_ARRIVING)
        self._judged = Shares(*_JUDGED)
        self.app = web.Application(client_max_size=BODY_MOST, middlewares=[self._guarded])
        self.app.add_routes(shown.routes())
        self.app.add_routes([web.post("/inbox", self._inbox), web.post("/actor/inbox", self._inbox)])

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._admit(request)
            response = await handler(request)
        except web.HTTPException as error:
            response = _refused(error.status, f"activitypub.{_CODES.get(error.status, 'refused')}", error.reason)
            response.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
        except Rejected as error:
            response = _refused(error.status, error.code, error.message, 30.0 if error.status == 503 else 0.0)
        except Refusal as error:
            response = _refused(error.status, error.code, error.message, error.retry_after_s)
        except Full:
            response = _refused(503, "activitypub.busy", "Too much arrives at the moment.", 5.0)
        except RetryLater as error:
            response = _refused(503, error.code, error.message, error.after_s)
        except StoreError as error:
            log.error("%s", error)
            response = _refused(503, error.code, "Nothing can be kept now.", 30.0)
        except Exception:
            log.exception("A request failed: %s %r", request.method, request.raw_path[:200])
            response = _refused(500, "activitypub.fault", "This agent has a fault, which its owner finds in its log.")
        if not response.prepared:
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _admit(self, request: web.Request) -> None:
        """Raises Refusal for what is not meant for us, and for too much."""
        if not self._is_ours(request.headers.getall("Host", [])):
            raise Refusal(421, "activitypub.host", f"This is {self._names.host}; a proxy must pass on Host as it is.")
        amount = _CHUNK if request.path.startswith("/chunks/") else 1
        if wait_s := self._requests.wait_s(_client(request), amount, self._now_s()):
            raise Refusal(429, "activitypub.rate_limited", "Too many requests.", wait_s)

    def _is_ours(self, hosts: list[str]) -> bool:
        scheme = self._names.base.partition(":")[0]
        try:
            return [origin(canonical(f"{scheme}://{host}/")) for host in hosts] == [self._names.base]
        except BadUrl:
            return False

    # -- the inbox -------------------------------------------------------------------------------------------

    async def _inbox(self, request: web.Request) -> web.Response:
        client = _client(request)
        with self._arriving.place(client):
            arrived = await self._request(request)
        claimed = _claimed(arrived.body)
        self._check_blocked(claimed)
        with self._judged.place(client, f"host {site(claimed)}"):
            arrival = await self._sender.arrival(arrived)
            self._check_blocked(arrival.actor.id)
            if wait_s := self._servers.wait_s(site(arrival.actor.id), 1, self._now_s()):
                raise Refusal(429, "activitypub.rate_limited", "Too many activities of one server.", wait_s)
            await self._taker.take(arrival)
        self._heard(origin(arrival.actor.id))
        return web.Response(status=202)

    def _check_blocked(self, actor: str) -> None:
        """Raises Refusal. Before anything is fetched from there to find out whether it is true."""
        if self._is_blocked(actor):
            raise Refusal(403, "activitypub.blocked", "This agent takes nothing from your server.")

    async def _request(self, request: web.Request) -> Request:
        if (request.content_length or 0) > BODY_MOST:
            raise web.HTTPRequestEntityTooLarge(BODY_MOST, request.content_length or 0)
        try:
            async with asyncio.timeout(_BODY_S):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason="The body came too slowly.") from None
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
        return Request(
            method=request.method, base=self._names.base, target=request.raw_path, headers=headers, body=body
        )


def _claimed(body: bytes) -> str:
    """Whose word an activity says that it is, "" if it does not say so."""
    try:
        return reference(_actor(body).actor, "actor")
    except (msgspec.MsgspecError, Malformed, ValueError, RecursionError):
        return ""


def _client(request: web.Request) -> str:
    """The network address that counts as the client's: a proxy beside us tells who asked it."""
    remote = request.remote or ""
    noted = request.headers.getall("X-Forwarded-For", []) if is_near(remote) else []
    return network(forwarded(noted) or remote)


def _refused(status: int, code: str, detail: str, retry_after_s: float = 0.0) -> web.Response:
    headers = {"Retry-After": str(math.ceil(retry_after_s))} if retry_after_s else {}
    body = json.dumps({"code": code, "detail": clean(detail, limit=300)}).encode() + b"\n"
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
