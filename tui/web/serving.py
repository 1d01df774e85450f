"""The server: a page, the terminal in it, and one session a window."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from string import Template

import msgspec
import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from tui.web import WebError
from tui.web.gate import Gate
from tui.web.packets import read_browser
from tui.web.session import Session

WINDOWS = 4  # sessions at once
MESSAGE_BYTES = 1 << 18  # a paste
_HEARTBEAT_S = 15.0
_CLOSING_S = 2.0
_ENDING_S = 8.0

_HERE = Path(__file__).parent
_TERMINAL = Path(textual_serve.__file__).parent / "static"
_FULL = f"clawtui is open in {WINDOWS} windows, and that is the most: close one of them, then reload this page."

# aiohttp logs what it could not read, and with it whatever secret was in there.
_SILENT = logging.getLogger("tui.web")
_SILENT.setLevel(logging.CRITICAL + 1)


class Windows:
    """The web application: ``command`` runs once for each window that comes through the gate."""

    def __init__(self, command: Sequence[str], gate: Gate) -> None:
        self._command = tuple(command)
        self._gate = gate
        self._open: dict[Session, web.WebSocketResponse] = {}
        self._closing = False

    def application(self) -> web.Application:
        """The routes, with the gate before all of them."""
        place = self._gate.place
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/", self._enter),
                web.get(place, self._page),
                web.get(f"{place}page.css", self._style),
                web.get(f"{place}ws", self._window),
                web.get(f"{place}download/{{key}}", self._download),
                web.static(f"{place}static", _TERMINAL),
            ]
        )
        application.on_response_prepare.append(self._add_headers)
        application.on_shutdown.append(self._shut)
        return application

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        gate = self._gate
        objection = gate.objection_to_host(request.host)
        if not objection and request.path == "/":
            objection = gate.objection_to_token(request.query.get("token"))
        elif not objection:
            objection = gate.objection_to_cookie(request.cookies)
        return web.Response(status=403, text=objection) if objection else await handler(request)

    async def _add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._gate.headers)

    async def _enter(self, _: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": self._gate.place})
        self._gate.let_in(response)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        if self._full:
            return web.Response(status=503, text=_FULL)
        page = Template((_HERE / "page.html").read_text("utf-8"))
        text = page.substitute(websocket=f"ws://{request.host}{self._gate.place}ws")
        return web.Response(text=text, content_type="text/html")

    async def _style(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(_HERE / "page.css")

    async def _window(self, request: web.Request) -> web.StreamResponse:
        if objection := self._gate.objection_to_origin(request.headers.get("Origin"), request.host):
            return web.Response(status=403, text=objection)
        if self._full:
            return web.Response(status=503, text=_FULL)
        websocket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_S, max_msg_size=MESSAGE_BYTES, compress=False, timeout=_CLOSING_S
        )
        session = Session(self._command, websocket)
        self._open[session] = websocket
        try:
            await websocket.prepare(request)
            await session.start(*(_cells(request.query.get(side), usual) for side, usual in _USUAL))
            async for message in websocket:
                if message.type is not WSMsgType.TEXT:
                    break
                await session.take(read_browser(message.data))
        except (msgspec.MsgspecError, OSError):
            pass  # not our page, or it is gone, or no process can be had: the window ends
        finally:
            await session.stop()
            del self._open[session]
        await websocket.close()
        return websocket

    async def _download(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        for session in tuple(self._open):
            try:
                file = await session.downloads.get_download_metadata(key)
            except KeyError:
                continue
            name = re.sub(r"[^A-Za-z0-9._-]", "_", file.file_name)[-100:]
            response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
            await response.prepare(request)
            async for chunk in session.downloads.download(key):
                await response.write(chunk)
            return response
        return web.Response(status=404, text="This file is no longer there: export it again.")

    async def _shut(self, _: web.Application) -> None:
        self._closing = True
        await asyncio.gather(*(session.stop() for session in self._open))
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._open.values()))

    @property
    def _full(self) -> bool:
        return self._closing or len(self._open) >= WINDOWS


_USUAL = (("width", 80), ("height", 24))


def _cells(text: str | None, usual: int) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,4}", text) else usual


async def listen(command: Sequence[str], port: int, announce: Callable[[str], None], stopped: asyncio.Event) -> None:
    """Serve ``command`` on 127.0.0.1 until ``stopped`` is set; no child is left when this returns.

    ``announce`` gets the sentence with the URL once the server listens. Port 0 is a free one. Raises WebError.
    """
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise WebError(
            "web.port", f"Port {port} cannot be used: {error.strerror}.", "Leave out --port to have a free one."
        ) from None
    gate = Gate(listener.getsockname()[1])
    runner = web.AppRunner(
        Windows(command, gate).application(), access_log=None, logger=_SILENT, shutdown_timeout=_ENDING_S
    )
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        announce(f"clawtui is at {gate.url} (Ctrl-C ends it)")
        await stopped.wait()
    finally:
        await runner.cleanup()
        listener.close()
