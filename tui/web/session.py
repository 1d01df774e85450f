"""One browser window and the child process behind it, in the packets of Textual's web driver."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from tui.text import cell
from tui.web.child import GRACE_S
from tui.web.packets import (
    Blurred,
    Cells,
    Delivery,
    Focused,
    FromBrowser,
    Keys,
    OpenUrl,
    Ping,
    Resized,
    clamped,
    read_app,
)

_PRELUDE = b"__GANGLION__\n"  # how the driver says that packets follow
_PRELUDE_LINES = 10
_PACKET_BYTES = 1 << 24
_MODE_BYTES = 64  # what sets a mode is shorter, a frame longer
_STDERR_BYTES = 4096
_PATIENCE_S = 30.0  # with a browser that takes nothing

_ENVIRONMENT = {
    "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
    "TEXTUAL_COLOR_SYSTEM": "truecolor",
    "TERM": "xterm-256color",
    "COLORTERM": "truecolor",
    "PYTHONIOENCODING": "utf-8",
}


class Session(AppService):
    """A window that runs ``command``, an argument list: no shell reads it."""

    def __init__(self, command: Sequence[str], websocket: web.WebSocketResponse) -> None:
        self.downloads = DownloadManager()
        super().__init__(
            "",
            write_bytes=self._write,
            write_str=websocket.send_str,
            close=self._close,
            download_manager=self.downloads,
        )
        self._arguments = command
        self._websocket = websocket
        self._ending: asyncio.Task[None] | None = None
        self._drawn = False
        self._wanted: Cells | None = None  # the size to take once it has drawn

    async def take(self, message: FromBrowser) -> None:
        """Hand on what the browser sent."""
        match message:
            case Keys(text):
                await self.send_bytes(text.encode())
            case Resized(Cells(width, height)):
                self._wanted = clamped(width, height)
                await self._resize()
            case Ping(mark):
                await self._tell("pong", mark)
            case Focused():
                await self.focus()
            case Blurred():
                await self.blur()

    async def stop(self) -> None:
        """End the child process: it is gone when this returns. A second call waits for the same end."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def run(self) -> None:
        """Carry what the app draws to the browser until the app ends; then say why, if it did not end well."""
        process = self._child
        assert process.stdout is not None and process.stderr is not None
        last_words = asyncio.create_task(_tail(process.stderr))
        try:
            with suppress(asyncio.IncompleteReadError, ValueError):
                await self._relay(process.stdout)
            async with asyncio.timeout(GRACE_S):
                if await process.wait():
                    # Reset: the app may have left the screen in any state.
                    await self._write(f"\x1bcclawtui ended: {await last_words}".encode())
        except (ConnectionError, TimeoutError):
            pass  # the browser is gone, or the app does not end by itself
        finally:
            last_words.cancel()
            await asyncio.wait([last_words])
            await self._close()

    async def on_data(self, payload: bytes) -> None:
        """Draw. Raises ConnectionError or TimeoutError if the browser is gone."""
        await super().on_data(payload)
        if not self._drawn and len(payload) > _MODE_BYTES:
            self._drawn = True
            await self._resize()

    async def on_meta(self, data: bytes) -> None:
        """What the app asks of its terminal; what we do not know is left out."""
        match read_app(data):
            case OpenUrl(url, new_tab) if url.startswith(("https://", "http://")):
                await self._tell("open_url", {"url": url, "new_tab": new_tab})
            case Delivery() as file:
                await self.downloads.create_download(
                    app_service=self,
                    delivery_key=file.key,
                    file_name=Path(file.path).name,
                    open_method=file.open_method,
                    mime_type=file.mime_type,
                    encoding=file.encoding,
                    name=file.name,
                )
                # The page's own way would ask outside the cookie's path.
                await self._tell("open_url", {"url": f"download/{file.key}", "new_tab": True})

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        cells = clamped(width, height)
        # The driver asks for ROWS, others for LINES.
        size = {"COLUMNS": str(cells.width), "ROWS": str(cells.height), "LINES": str(cells.height)}
        return {**os.environ, **_ENVIRONMENT, **size}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,  # a Ctrl-C in the terminal is the server's: it ends its children in order
        )
        self._stdin = process.stdin
        return process

    @property
    def _child(self) -> Process:
        assert self._process is not None
        return self._process

    async def _relay(self, stdout: asyncio.StreamReader) -> None:
        """Read packets until the stream ends (asyncio.IncompleteReadError) or is none of the driver's (ValueError)."""
        for _ in range(_PRELUDE_LINES):
            if await stdout.readline() == _PRELUDE:
                break
        else:
            raise ValueError("no prelude")
        handlers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        while True:
            kind = await stdout.readexactly(1)
            size = int.from_bytes(await stdout.readexactly(4), "big")
            if kind not in handlers or size > _PACKET_BYTES:
                raise ValueError("not a packet")
            await handlers[kind](await stdout.readexactly(size))

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is None:
            return
        process = self._process
        # A child that cannot write cannot end.
        streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
        rest = [asyncio.create_task(_tail(stream)) for stream in streams]
        for end in (process.terminate, process.kill):
            with suppress(ProcessLookupError):
                end()
            with suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await process.wait()
                    break
        for task in rest:
            task.cancel()
        await asyncio.wait(rest)

    async def _resize(self) -> None:
        # Before its first frame the driver's own first size may overtake this one.
        if self._drawn and self._wanted is not None:
            await self.set_terminal_size(self._wanted.width, self._wanted.height)

    async def _write(self, data: bytes) -> None:
        """Draw in the browser. Raises ConnectionError or TimeoutError if it is gone."""
        async with asyncio.timeout(_PATIENCE_S):
            await self._websocket.send_bytes(data)

    async def _tell(self, kind: str, value: object) -> None:
        await self._websocket.send_str(msgspec.json.encode([kind, value]).decode())

    async def _close(self) -> None:
        await self._websocket.close()


async def _tail(stream: asyncio.StreamReader) -> str:
    """Read a stream to its end: its last line that is not blank, fit for a terminal."""
    tail = b""
    while data := await stream.read(_STDERR_BYTES):
        tail = (tail + data)[-_STDERR_BYTES:]
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return cell(lines[-1], 300, pad=False) if lines else "it did not say why."
