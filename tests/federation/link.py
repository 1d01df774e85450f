"""The wire between two homeservers, which a test can cut."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

HOST = "127.0.0.1"
_CHUNK = 1 << 16
# Closing a socket so resets the connection instead of ending it.
_RESET = struct.pack("ii", 1, 0)

T = TypeVar("T")


class Link:
    """Connections to ``port`` go on to ``behind``, both on loopback, until the link is cut.

    It has a thread and an event loop of its own: it works while no test runs, and from any loop or none.
    ``opened`` counts the connections that came through.
    """

    def __init__(self, port: int, behind: int) -> None:
        self.port = port
        self.behind = behind
        self.opened = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"link {port}", daemon=True)
        self._server: asyncio.Server | None = None
        self._carrying: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def whole(self) -> bool:
        return self._server is not None

    def cut(self) -> None:
        """Reset what is open, and refuse what comes. Does nothing if it is cut."""
        self._do(self._cut())

    def heal(self) -> None:
        """Take connections again. Does nothing if it is whole."""
        self._do(self._heal())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _cut(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        carrying = list(self._carrying)
        for writers in self._carrying.values():
            for writer in writers:
                _reset(writer)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    async def _heal(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, reuse_address=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying[task] = [writer]
        try:
            behind_reader, behind_writer = await asyncio.open_connection(HOST, self.behind)
            self._carrying[task].append(behind_writer)
            self.opened += 1
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, behind_writer))
                both.create_task(_carry(behind_reader, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # one side is gone, or the link is cut
        finally:
            for open_writer in self._carrying.pop(task):
                open_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
