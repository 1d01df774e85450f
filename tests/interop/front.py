"""A reverse proxy as people put before an agent: it ends TLS, and passes on everything else as it is."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from bots.homeserver.authority import Authority

_CHUNK = 1 << 16


class Certified:
    """A certificate for this machine by an authority of the tests, and what clients are to trust."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        certificate, key = authority.issue()
        self.trust = folder / "trust.pem"  # a file
        self.trust.write_text(authority.certificate)
        (folder / "certificate.pem").write_text(certificate)
        (folder / "key.pem").write_text(key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")


class Front:
    """``https`` on a free port of loopback; ``behind`` is the port that it hands all on to."""

    def __init__(self, certified: Certified) -> None:
        self._certified = certified
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.behind = 0

    async def start(self) -> str:
        """Listen; returns the base URL."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._certified.context)
        return f"https://localhost:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.gather(*self._serving)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.behind)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, behind_writer}
        try:
            await asyncio.gather(_pass_on(reader, behind_writer), _pass_on(behind_reader, writer))
        finally:
            self._open -= {writer, behind_writer}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
