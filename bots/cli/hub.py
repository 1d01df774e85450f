"""``clawbot hub``: rooms over plain HTTP on this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bots.cli import OK
from bots.cli.terminal import write_json, write_line
from bots.errors import ConfigError
from bots.hub.archive import Archive
from bots.hub.chunks import ChunkBounds, Chunks
from bots.hub.hub import Hub, Settings
from bots.hub.server import HubServer
from bots.paths import make_private
from bots.serving.descriptors import raise_limit
from bots.serving.listening import Listener
from bots.transports.http import names
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.keys import decode_did


def main(options: argparse.Namespace) -> int:
    raise_limit()
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    host, port = _listen(options.listen)
    directory = Path(options.directory)
    make_private(directory)
    with ExitStack() as files:
        archive = Archive(directory / "hub.sqlite")
        files.callback(archive.close)
        chunks = Chunks(directory / "chunks.sqlite", ChunkBounds(bytes=options.files << 20)) if options.files else None
        if chunks is not None:
            files.callback(chunks.close)
        own = names.Names(names.base(options.url) if options.url else "")
        if not options.url and names.is_everywhere(host):
            raise ConfigError(
                "hub.url",
                f"It would listen on all addresses of this machine, and {host} is none that others can reach.",
                "Say with --url what others call it by.",
            )
        settings = Settings(banned=tuple(map(_banned, options.ban)))
        hub = Hub(own, archive, settings, lambda: time.time_ns() // 1_000_000, time.monotonic, chunks)
        server = HubServer(hub, proxied=options.behind_proxy)
        tls = _tls(options.certificate, options.key)
        async with Listener(server.app, host, port, tls, proxied=options.behind_proxy) as listener:
            own.base = own.base or names.base(f"{'https' if tls else 'http'}://{_shown(host)}:{listener.port}")
            _tell(own.base, json=options.json)
            await _until_told()
            hub.end()
    return OK


def _tell(base: str, *, json: bool) -> None:
    if json:
        write_json(sys.stdout, {"url": base})
        return
    write_line(sys.stdout, f"hub:   {base}")
    write_line(sys.stdout, f"room:  {base}/rooms/clawnet   (any name: a room begins with the first message)")
    write_line(sys.stdout, f"read:  curl -N -H 'Accept: text/event-stream' {base}/rooms/clawnet")
    write_line(sys.stdout, "Ctrl-C stops it.")


async def _until_told() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()


def _listen(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError("hub.address", f"{text} is no address and port.", "E.g.: 127.0.0.1:8700")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def _banned(did: str) -> str:
    try:
        decode_did(did)
    except RemoteProtocolError:
        raise ConfigError("hub.ban", f"{did} is no key.", "It begins with did:key:z6Mk.") from None
    return did


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tls(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "hub.certificate",
            f"The certificate {certificate} cannot be used ({error}).",
            "It must be PEM, with its key.",
        ) from None
    return context
