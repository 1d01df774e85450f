"""Serving places to readers, whoever keeps them (spec/bindings/http.md, HTTP-6 and HTTP-9 to HTTP-11)."""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from bots.errors import StoreError
from bots.http_signature import BadSignature
from bots.hub import streams
from bots.hub.archive import Unknown
from bots.hub.hub import Answer, Hub, refusal
from bots.serving.limits import forwarded, network

log = logging.getLogger(__name__)

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"

_READERS: Final = 512
_READERS_OF_NETWORK: Final = 32
_STREAM: Final = "text/event-stream"
_NEVER: Final = re.compile(r"q=0(\.0*)?")
_HEADERS: Final = {"Server": "clawbot", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_CODES: Final = {
    404: "http.not_found",
    405: "http.method",
    408: "http.slow",
    413: "size.request",
    415: "http.content_type",
    421: "http.misdirected",
}
_GONE: Final = refusal(410, "history.gone", "That event is not kept any more: begin without a position.")


class _Refused(Exception):
    """A request is answered so, and nothing else is done."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class FeedServer:
    """What every server of feeds does alike. ``proxied``: a client's address is the last one that a proxy has noted."""

    def __init__(self, hub: Hub, *, proxied: bool = False) -> None:
        self._hub = hub
        self._proxied = proxied
        self._readers: Counter[str] = Counter()

    @property
    def readers(self) -> int:
        """How many read at the moment."""
        return self._readers.total()

    @web.middleware
    async def guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer with what is refused, and why."""
        try:
            refused = self._hub.admit(self.network(request))
            answered = response(refused) if refused else await handler(request)
        except web.HTTPException as error:
            answered = response(refusal(error.status, _CODES.get(error.status, "http.refused"), error.reason))
            answered.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
        except _Refused as error:
            answered = response(error.answer)
        except BadSignature as error:
            answered = response(refusal(401, "http.signature", str(error)))
        except Unknown:
            answered = response(_GONE)
        except StoreError as error:
            log.error("%s", error)
            answered = response(Answer(503, {"code": error.code, "detail": "Nothing can be kept here now."}, 30))
        except Exception:
            log.exception("A request failed: %s %r", request.method, request.raw_path)
            answered = response(refusal(500, "hub.fault", "There is a fault here, which the owner finds in the log."))
        if not answered.prepared:
            answered.headers.update(_HEADERS)
        return answered

    async def read(self, request: web.Request, place: str, *, members: bool = False) -> web.StreamResponse:
        """A place as a stream or a batch, as the request wants it. Raises Unknown."""
        position = request.headers.get("Last-Event-ID", "") or request.query.get("after", "")
        with self.reading(request):
            if _wants_stream(request.headers.get("Accept", "")):
                return await streams.stream(self._hub, request, place, position, members=members)
            return await _send(request, await streams.batch(self._hub, place, position, request.query.get("wait", "")))

    async def tell(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """A long answer, at the pace of the reader."""
        with self.reading(request):
            return await _send(request, answer)

    async def hand_over(self, request: web.Request, data: bytes) -> web.StreamResponse:
        """Bytes that are nothing but bytes, at the pace of the reader."""
        headers = {**_HEADERS, "Content-Type": BYTES, "Content-Disposition": "attachment"}
        with self.reading(request):
            return await streams.send(request, web.StreamResponse(headers=headers), data)

    @contextmanager
    def reading(self, request: web.Request) -> Iterator[None]:
        """Somebody takes much, or brings much, until this is over. Raises _Refused."""
        name = self.network(request)
        if self.readers >= _READERS or self._readers[name] >= _READERS_OF_NETWORK:
            raise _Refused(Answer(503, {"code": "hub.readers", "detail": "Too many read at the moment."}, 10))
        self._readers[name] += 1
        try:
            yield
        finally:
            self._readers[name] -= 1
            self._readers += Counter()  # forget who reads nothing

    def network(self, request: web.Request) -> str:
        """The network address that a request comes from."""
        noted = request.headers.getall("X-Forwarded-For", []) if self._proxied else []
        return network(forwarded(noted) or request.remote or "")


def response(answer: Answer) -> web.Response:
    """A short answer."""
    headers = {"Retry-After": str(math.ceil(answer.retry_after_s))} if answer.retry_after_s else {}
    return web.Response(
        status=answer.status, body=msgspec.json.encode(answer.body) + b"\n", content_type=JSON, headers=headers
    )


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    headers = {**_HEADERS, "Content-Type": JSON}
    sent = web.StreamResponse(status=answer.status, headers=headers)
    return await streams.send(request, sent, msgspec.json.encode(answer.body) + b"\n")


def _wants_stream(accept: str) -> bool:
    """Whether an ``Accept`` header names server-sent events, and does not exclude them."""
    for one in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        if kind == _STREAM:
            return not any(_NEVER.fullmatch(parameter) for parameter in parameters)
    return False
