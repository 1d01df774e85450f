"""The agent's own socket: commands beside a running agent go through it. JSON lines, one request a connection.

The socket is 0600: whoever can open it is the agent's owner.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec

from bots.errors import ClawbotError, ConfigError
from bots.paths import make_private
from bots.requests import AnyAnswer, AnyRequest, Failure
from bots.service import Service

log = logging.getLogger(__name__)

_LINE_BYTES = 1 << 20
_ANSWER_BYTES = 1 << 26  # the outputs of a task, some of them twice, escaped
_FAREWELL_S = 1.0  # how long the last words to a client may take
_PATH_BYTES = 100  # what a socket address holds on every system

_decode_request = msgspec.json.Decoder(AnyRequest).decode
_decode_answer = msgspec.json.Decoder(AnyAnswer).decode


def socket_path(state: Path) -> Path:
    """Where an agent with this state folder listens: there, or in a private folder if that path is too long."""
    path = state / "control.sock"
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + ".sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [path, Path(tempfile.gettempdir()) / f"clawnet-{os.getuid()}" / name]
    if runtime.startswith("/"):
        places.insert(1, Path(runtime) / "clawnet" / name)
    return next((place for place in places if len(os.fsencode(place)) <= _PATH_BYTES), places[-1])


def _check_private(folder: Path) -> None:
    """Raises ConfigError unless nobody else can have put anything into this folder; OSError if it is not there."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(
            "control.folder",
            f"{folder} is no folder of yours: whoever listens there may be somebody else.",
            "Remove it, or set XDG_RUNTIME_DIR to a private folder.",
        )
    if status.st_mode & 0o077:
        raise ConfigError("control.folder", f"The folder {folder} is open to others.", f"Run: chmod 700 {folder}")


class ControlServer:
    """Listens while the agent runs."""

    def __init__(self, service: Service, path: Path) -> None:
        self._service = service
        self._path = path
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> ControlServer:
        make_private(self._path.parent)
        _check_private(self._path.parent)
        # The store's lock says that no other agent is alive here: what lies there is left over.
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LINE_BYTES)
        finally:
            os.umask(mask)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        connections = dict(self._connections)
        if connections:
            await asyncio.wait(connections, timeout=_FAREWELL_S)
        for connection, writer in connections.items():
            if not connection.done():  # its client does not read
                writer.transport.abort()
                await asyncio.wait([connection])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections[connection] = writer
        answering = asyncio.ensure_future(self._answer(reader, writer))
        self._serving.add(answering)
        try:
            await asyncio.wait([answering])
        finally:
            self._serving.discard(answering)
            answering.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del self._connections[connection]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = _decode_request(await reader.readline())
        except (msgspec.MsgspecError, ValueError) as error:
            writer.write(_line(Failure(at_ms=0, code="request.malformed", message=f"Not a request: {error}.")))
            return
        gone = asyncio.ensure_future(reader.read(1))
        stream = self._service.answer(request)
        try:
            while True:
                following = asyncio.ensure_future(anext(stream))
                await asyncio.wait([following, gone], return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
                    return
                writer.write(_line(following.result()))
                await writer.drain()
        except StopAsyncIteration:
            pass
        except ClawbotError as error:
            usage = isinstance(error, ConfigError)
            writer.write(_line(Failure(at_ms=0, code=error.code, message=error.message, hint=error.hint, usage=usage)))
        except OSError:
            pass
        except Exception:
            log.exception("a request could not be answered")
            text = "The agent failed while it answered this."
            writer.write(_line(Failure(at_ms=0, code="internal", message=text, hint="See its log.")))
        finally:
            gone.cancel()
            await stream.aclose()  # type: ignore[attr-defined]


def _line(answer: AnyAnswer) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


async def call(path: Path, request: AnyRequest) -> AsyncGenerator[AnyAnswer, None]:
    """Ask a running agent. Raises ConnectionError if none listens, ClawbotError for what it refuses."""
    try:
        _check_private(path.parent)
        reader, writer = await asyncio.open_unix_connection(path, limit=_ANSWER_BYTES)
    except OSError as error:
        raise ConnectionError(str(error)) from None
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        await writer.drain()
        while line := await reader.readline():
            answer = _decode_answer(line)
            if isinstance(answer, Failure):
                kind = ConfigError if answer.usage else ClawbotError
                raise kind(answer.code, answer.message, answer.hint)
            yield answer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
