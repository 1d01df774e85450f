"""Connections to a hub: how many, from where, and for how long."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.x509.oid import NameOID

from bots.serving import listening
from bots.serving.limits import forwarded
from bots.serving.listening import Listener
from tests.agent.virtual_time import until

if TYPE_CHECKING:
    from tests.hub.conftest import NewHub, Running


async def is_served(hub: Running) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return (await reader.read()).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False
    finally:
        writer.transport.abort()


async def until_open(listener: Listener, count: int) -> None:
    await until(lambda: listener.connections == count, 10)


async def test_one_network_takes_few_of_the_connections(new_hub: NewHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_CONNECTIONS_OF_NETWORK", 2)
    hub = await new_hub()
    idle = [(await asyncio.open_connection("127.0.0.1", hub.port))[1] for _ in range(2)]
    await until_open(hub.listener, 2)
    assert not await is_served(hub)
    idle[0].transport.abort()
    await until_open(hub.listener, 1)
    assert await is_served(hub)
    idle[1].transport.abort()
    await until_open(hub.listener, 0)


async def test_all_connections_together_are_bounded(new_hub: NewHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_CONNECTIONS", 1)
    hub = await new_hub()
    _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    await until_open(hub.listener, 1)
    assert not await is_served(hub)
    writer.transport.abort()
    await until_open(hub.listener, 0)


async def test_who_is_idle_after_an_answer_is_cut(hub: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_ASK_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    for _ in range(2):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.readuntil(b"post to it")
        assert b"HTTP/1.1 200" in answer
    await until_open(hub.listener, 0)
    writer.transport.abort()


async def test_who_begins_tls_and_says_no_more_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_HANDSHAKE_S", 0.5)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate(tmp_path / "both.pem"))
    async with Listener(web.Application(), "127.0.0.1", 0, context) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        assert listener.connections == 0
        # Who goes on is served.
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        assert listener.connections == 1
        writer.transport.abort()
        await until_open(listener, 0)


def certificate(path: Path) -> Path:
    """A key and a certificate by itself, in one file."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    "noted, address",
    [
        ([], ""),
        (["192.0.2.1"], "192.0.2.1"),
        (["198.51.100.7, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1", "192.0.2.2"], "192.0.2.2"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["192.0.2.1, unknown"], ""),
        (["192.0.2.1,"], ""),
        (["192.0.2.1", ""], ""),
    ],
)
def test_the_client_behind_a_proxy(noted: list[str], address: str) -> None:
    assert forwarded(noted) == address
