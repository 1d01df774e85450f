"""A server on loopback that answers what a test tells it to, byte by byte if need be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Handler = Callable[[str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """``answers`` gives, by path with query, the bytes of an answer, or what writes one; all else is 404."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Handler] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers in lower case
        self.bodies: list[bytes] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self.requests.append((method, path, headers))
            self.bodies.append(await reader.readexactly(int(headers.get("content-length", "0"))))
            found = self.answers.get(path, answer(404))
            if isinstance(found, bytes):
                writer.write(found)
            else:
                await found(method, headers, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]

    def serve(self, path: str, document: dict[str, Any], content_type: str = "application/activity+json") -> None:
        self.answers[path] = answer(200, json.dumps(document).encode(), content_type)

    def redirect(self, path: str, location: str, status: int = 302) -> None:
        self.answers[path] = answer(status, b"", "text/plain", f"Location: {location}")


def answer(status: int, body: bytes = b"", content_type: str = "text/plain", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body
