"""Certificates between our own servers: good for this machine, for nobody else, and kept to ourselves."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from bots.homeserver import configuration
from bots.homeserver.authority import Authority
from bots.homeserver.federation import Federation


def contexts(authority: Authority, trusted: Authority, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's with a certificate of ``authority``, and a client's that trusts the other."""
    certificate, key = authority.issue()
    (folder / "pem").write_text(certificate + key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "pem")
    return server, ssl.create_default_context(cadata=trusted.certificate)


async def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        writer.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_certificate_is_good_for_this_machine(tmp_path: Path, name: str) -> None:
    authority = Authority()
    await handshake(*contexts(authority, authority, tmp_path), name)


async def test_it_is_good_for_no_other_name_and_by_no_other_authority(tmp_path: Path) -> None:
    authority = Authority()
    server, client = contexts(authority, authority, tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(server, client, "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(*contexts(authority, Authority(), tmp_path), "localhost")


def test_a_server_cannot_issue_certificates() -> None:
    authority = Authority()
    mine, another = authority.issue(), authority.issue()
    certificate = x509.load_pem_x509_certificate(mine[0].encode())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert certificate.not_valid_after_utc > dt.datetime.now(dt.UTC) + dt.timedelta(days=300)
    assert mine[1] != another[1]


def test_a_directory_holds_the_servers_key_and_not_the_authoritys(tmp_path: Path) -> None:
    authority = Authority()
    federation = Federation(authority=authority, members=("localhost:1", "localhost:2"))
    kept = configuration.settle(tmp_path, 0, "localhost:1", new=True)
    configuration.write(tmp_path, kept, "raised", federation)
    files = {path.name: path for path in tmp_path.iterdir()}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    private = [name for name, path in files.items() if "PRIVATE KEY" in path.read_text()]
    assert private == ["tls.key"]
    assert files["authority.crt"].read_text() == authority.certificate
