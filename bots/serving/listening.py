"""Connections: how many there may be, and how long each may take to ask for something."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from bots.errors import ConfigError
from bots.serving.limits import network

_CONNECTIONS: Final = 1024
_CONNECTIONS_OF_NETWORK: Final = 64
_ASK_S: Final = 20.0  # from its beginning, or from the last answer, to the end of a request's header
_HANDSHAKE_S: Final = 10.0
_CLOSING_S: Final = 2.0
# What aiohttp would log, with a traceback, of everybody who sends nonsense.
_SILENT: Final = logging.getLogger(f"{__name__}.http")
_SILENT.setLevel(logging.CRITICAL + 1)


class Listener:
    """Serves ``app`` between ``__aenter__`` and ``__aexit__``. Raises ConfigError if it cannot listen there.

    Without a ``host`` it waits to be told with ``open`` where to listen. ``proxied``: all connections come from a
    proxy, which bounds those of one client itself. There are at most so many ``connections``, and ``of_network`` of
    one network address.
    """

    def __init__(
        self,
        app: web.Application,
        host: str | None,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        proxied: bool = False,
        connections: int | None = None,
        of_network: int | None = None,
    ) -> None:
        self._host = host
        self._tls = tls
        self._most = connections or _CONNECTIONS
        self._of_network = self._most if proxied else of_network or _CONNECTIONS_OF_NETWORK
        self._servers: dict[str, asyncio.Server] = {}  # by address
        self._open: dict[asyncio.BaseProtocol, _Connection] = {}  # by what serves it
        self._networks: Counter[str] = Counter()
        self._closing = False
        app.middlewares.insert(0, self._timed)
        self._runner = web.AppRunner(
            app, access_log=None, logger=_SILENT, max_line_size=4096, max_field_size=4096, max_headers=64,
            lingering_time=0, handler_cancellation=True, auto_decompress=False, shutdown_timeout=_CLOSING_S,
        )  # fmt: skip
        self.port = port

    @property
    def connections(self) -> int:
        """How many there are at the moment."""
        return len(self._open)

    async def __aenter__(self) -> Listener:
        await self._runner.setup()
        try:
            if self._host is not None:
                await self.open(self._host)
        except ConfigError:
            await self._runner.cleanup()
            raise
        return self

    async def open(self, host: str) -> None:
        """Listen on one more address, at the same port. Raises ConfigError."""
        try:
            server = await asyncio.get_running_loop().create_server(
                self._connection,
                host,
                self.port,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_S if self._tls else None,
            )
        except OSError as error:
            raise ConfigError(
                "http.port",
                f"The port {self.port} of {host} cannot be used ({error.strerror}).",
                "Choose another one; 0 finds a free one.",
            ) from None
        self._servers[host] = server
        self.port = server.sockets[0].getsockname()[1]

    def shut(self, host: str) -> None:
        """Listen on an address no more, and cut the connections that came there."""
        self._servers.pop(host).close()
        for connection in list(self._open.values()):
            if connection.host == host:
                connection.cut()

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        self._closing = True
        try:
            for _turn in range(3):
                await asyncio.sleep(0)  # what was accepted a moment ago becomes a connection, which is refused
        finally:
            for connection in self._open.values():
                connection.hurry(None)
            await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        serve = self._runner.server
        assert serve is not None
        return _Connection(self, serve())

    def enter(self, connection: _Connection) -> bool:
        """Whether there is space for one more."""
        name = connection.network
        if self._closing or len(self._open) >= self._most or self._networks[name] >= self._of_network:
            return False
        self._open[connection.inner] = connection
        self._networks[name] += 1
        return True

    def leave(self, connection: _Connection) -> None:
        """It is over."""
        del self._open[connection.inner]
        self._networks[connection.network] -= 1
        self._networks += Counter()  # forget who has none

    @web.middleware
    async def _timed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        connection = self._open.get(request.protocol)
        if connection is not None:
            connection.hurry(None)
        try:
            return await handler(request)
        finally:
            if connection is not None:
                connection.hurry(_ASK_S)


class _Connection(asyncio.Protocol):
    """Hands on to ``inner`` what comes, and is cut when it asks for nothing in time."""

    def __init__(self, listener: Listener, inner: web.RequestHandler) -> None:
        self._listener = listener
        self.inner = inner
        self.network = ""
        self.host = ""  # our address that it came to
        self._transport: asyncio.Transport | None = None  # while it is open
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.network = network(str((transport.get_extra_info("peername") or ("",))[0]))
        self.host = str((transport.get_extra_info("sockname") or ("",))[0])
        if not self._listener.enter(self):
            transport.abort()
            return
        self._transport = transport
        self.inner.connection_made(transport)
        self.hurry(_ASK_S)

    def connection_lost(self, error: BaseException | None) -> None:
        if self._transport is not None:
            self.hurry(None)
            self._transport = None
            self._listener.leave(self)
            self.inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self.inner.data_received(data)

    def eof_received(self) -> None:
        if self._transport is not None:
            self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()

    def cut(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()

    def hurry(self, ask_s: float | None) -> None:
        """It has so long for its next request; None for as long as this one takes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if ask_s is not None and self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(ask_s, self._transport.abort)
