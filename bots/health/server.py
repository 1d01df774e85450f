"""``/health``, ``/ready`` and ``/metrics`` over HTTP, for this machine alone unless the owner says otherwise."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from aiohttp import web

from bots.config import HealthSection
from bots.errors import ClawbotError, ConfigError
from bots.health.endpoint import Endpoint, is_named_rightly
from bots.health.page import CONTENT_TYPE
from bots.health.verdict import Finding, Verdict

log = logging.getLogger(__name__)

_CONNECTIONS = 128
_ACCEPTED_AT_ONCE = 16  # so that nobody is cut for others before there was time to read what he asks
_CONNECTION_S = 10.0  # from its beginning to its end
_HEADER_S = 2.0  # from its beginning to the end of the request's header
_FRESH_S = 1.0  # a reading is shown again: many who ask cost no more than one
_CLOSING_S = 1.0
_JSON = "application/json"
# What aiohttp would log, with a traceback, of everybody who sends nonsense.
_SILENT = logging.getLogger(f"{__name__}.http")
_SILENT.setLevel(logging.CRITICAL + 1)
_HEADERS = {
    "Server": "clawbot",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


S = TypeVar("S")


class Readable(Protocol[S]):
    """Whose health is told, with the numbers of its own."""

    url: str  # where it is told, "" if nowhere

    @property
    def limits(self) -> HealthSection: ...

    def read(self) -> tuple[S, Verdict]:
        """The numbers of this moment, and what they mean. Raises StoreError."""

    def unready(self, state: S) -> Sequence[Finding]:
        """Why no work should be sent to it now, nothing if it may be."""

    def metrics(self, state: S, verdict: Verdict) -> bytes:
        """A page for Prometheus."""


class HealthServer(Generic[S]):
    """Listens between ``__aenter__`` and ``__aexit__``; ``url`` is where, without a path. Raises ConfigError."""

    def __init__(self, health: Readable[S], where: Endpoint) -> None:
        self._health = health
        self._where = where
        self._pages: dict[str, Callable[[], web.Response]] = {
            "/health": self._show_health,
            "/ready": self._show_ready,
            "/metrics": self._show_metrics,
        }
        # Connections that have not asked yet, the oldest first.
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._reading: tuple[float, S, Verdict] | None = None  # the last one, and when it was made
        self.url = ""

    async def __aenter__(self) -> HealthServer[S]:
        loop = asyncio.get_running_loop()
        self._http = web.Server(
            self._answer, loop=loop, access_log=None, max_line_size=1024, max_field_size=2048, max_headers=32,
            lingering_time=0, read_bufsize=4096, logger=_SILENT,
        )  # fmt: skip
        where = self._where
        try:
            self._server = await loop.create_server(self._connection, where.host, where.port, backlog=_ACCEPTED_AT_ONCE)
        except OSError as error:
            raise ConfigError(
                "health.port",
                f"The port {where.port} of {where.host} cannot be used ({error.strerror}).",
                "Choose another one; 0 finds a free one.",
            ) from None
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._health.url = f"http://{f'[{where.host}]' if ':' in where.host else where.host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._http.pre_shutdown()
        await self._http.shutdown(_CLOSING_S)
        self._health.url = ""

    def _connection(self) -> asyncio.Protocol:
        """One more connection: cut if it does not ask soon, or once it has lasted too long.

        If there are too many, whoever has been silent longest makes room: to hold connections open keeps nobody out.
        """
        if len(self._http.connections) >= _CONNECTIONS and not self._cut_silent():
            return _Turned()
        protocol, loop = self._http(), asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(_HEADER_S, self._too_slow, protocol)
        loop.call_later(_CONNECTION_S, _cut, protocol)
        return protocol

    def _cut_silent(self) -> bool:
        """Whether there was one to cut."""
        while self._silent:
            protocol = next(iter(self._silent))
            self._silent.pop(protocol).cancel()
            if protocol.transport is not None:
                _cut(protocol)
                return True
        return False

    def _too_slow(self, protocol: web.RequestHandler) -> None:
        del self._silent[protocol]
        _cut(protocol)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if timer := self._silent.pop(request.protocol, None):
            timer.cancel()
        page = self._pages.get(request.path)
        if request.method != "GET":
            answer = web.Response(status=405, text="Only GET.\n", headers={"Allow": "GET"})
        elif not is_named_rightly(request.headers.get("Host", ""), self._health.limits.hosts):
            answer = web.Response(status=421, text="This is no name of this server: see health.hosts.\n")
        elif page is None:
            answer = web.Response(status=404, text=f"There is {', '.join(self._pages)}.\n")
        else:
            answer = self._show(page)
        answer.headers.update(_HEADERS)
        answer.force_close()
        return answer

    def _show(self, page: Callable[[], web.Response]) -> web.Response:
        try:
            return page()
        except Exception:
            log.exception("a page of health could not be made")
            return web.Response(status=500, text="See the log.\n")

    def _read(self) -> tuple[S, Verdict]:
        """A reading that is not older than ``_FRESH_S``. Raises StoreError."""
        now_s = time.monotonic()
        if self._reading is None or now_s - self._reading[0] >= _FRESH_S:
            self._reading = now_s, *self._health.read()
        return self._reading[1:]

    def _show_health(self) -> web.Response:
        try:
            state, verdict = self._read()
        except ClawbotError as error:
            return _told([Finding(error.code, error.message)], {"status": "failing"})
        facts = {"status": verdict.status, "warnings": verdict.warnings, "state": state}
        return _told(verdict.problems, facts)

    def _show_ready(self) -> web.Response:
        try:
            reasons: Sequence[Finding] = self._health.unready(self._read()[0])
        except ClawbotError as error:
            reasons = [Finding(error.code, error.message)]
        return _told(reasons, {"ready": not reasons})

    def _show_metrics(self) -> web.Response:
        try:
            body = self._health.metrics(*self._read())
        except ClawbotError as error:
            return web.Response(status=503, text=f"{error.message}\n")
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def _cut(protocol: web.RequestHandler) -> None:
    if protocol.transport is not None:
        protocol.transport.abort()


class _Turned(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _told(problems: Sequence[Finding], facts: dict[str, Any]) -> web.Response:
    body = msgspec.json.encode({**facts, "problems": problems})
    return web.Response(status=503 if problems else 200, body=msgspec.json.format(body) + b"\n", content_type=_JSON)
