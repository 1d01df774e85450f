from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict, CIMultiDictProxy

from bots.transports.activitypub import fetcher as module
from bots.transports.activitypub.fetcher import Fetcher, FetchError, Forbidden
from bots.transports.activitypub.reachable import is_public
from bots.transports.activitypub.resolver import Resolver
from bots.transports.activitypub.schemes import Recent
from tests.transports.activitypub.arrived import NOW_S, RSA_ID, keys
from tests.transports.activitypub.server_of_tests import RawServer


class Rebinding(AbstractResolver):
    """Says of each name, the second time, that it is on this machine."""

    def __init__(self) -> None:
        self.addresses = {"rebound.example": ["93.184.216.34", "127.0.0.1"]}

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        listed = self.addresses.get(host, ["127.0.0.1"])
        address = listed.pop(0) if len(listed) > 1 else listed[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.fixture
async def careful() -> AsyncIterator[Fetcher]:
    """As it is in the world: nothing but https, and public addresses."""
    found = Fetcher(keys(), RSA_ID, lambda: NOW_S * 1000, resolver=Rebinding())
    yield found
    await found.close()


@pytest.mark.parametrize(
    "address",
    [
        "0.1.2.3", "10.1.1.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1",
        "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1",
        "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0",
        "fec0::1", "ff02::1", "localhost", "", "127.1", "2130706433", "0x7f.1",
    ],
)  # fmt: skip
def test_what_is_not_of_the_public_internet(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_what_is_of_the_public_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "１２７.0.0.1",
     "some.example", "[fe80::1]"],
)  # fmt: skip
async def test_no_private_address_is_connected_to(careful: Fetcher, server: RawServer, host: str) -> None:
    with pytest.raises(Forbidden):
        await careful.document(f"https://{host}:{server.port}/a")
    with pytest.raises(Forbidden):
        await careful.post(f"https://{host}:{server.port}/inbox", b"{}")
    assert server.requests == []


async def test_an_address_is_judged_as_it_is_connected_to(server: RawServer) -> None:
    resolver = Rebinding()
    resolver.addresses = {"rebound.example": ["127.0.0.1", "::1", "10.0.0.1", "::ffff:127.0.0.1"]}
    careful = Fetcher(keys(), RSA_ID, lambda: NOW_S * 1000, resolver=resolver)
    try:
        for _ in range(4):
            with pytest.raises(Forbidden, match="public internet"):
                await careful.document(f"https://rebound.example:{server.port}/a")
    finally:
        await careful.close()
    assert server.requests == []


async def test_nothing_is_fetched_without_tls(careful: Fetcher) -> None:
    with pytest.raises(Forbidden, match="https"):
        await careful.document("http://some.example/a")


@pytest.mark.parametrize(
    "url",
    ["", "a", "/a", "ftp://some.example/", "file:///etc/passwd", "javascript:1", "https://", "https://a b/",
     "https://user@some.example/", "https://some.example:99999/", "https://some.example\\@evil.example/",
     "https://some_host!/", "https://some.example/\n", "https://ex..ample/", f"https://{'a' * 64}.example/",
     f"https://some.example/{'a' * 2048}", "https://[::1", "https://%6c/"],
)  # fmt: skip
async def test_what_is_no_url_is_not_fetched(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(Forbidden):
        await fetcher.document(url)


async def test_a_redirect_is_judged_as_the_first_address_is(careful: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first hop would need a certificate that everybody trusts: it alone is let through.
    place = "https://rebound.example/.well-known/webfinger?resource=acct%3Aa%40rebound.example"
    first = module._Response(place, 302, _headers(Location="https://internal.example/admin"), b"")
    real = Fetcher._send
    asked: list[str] = []

    async def send(own: Fetcher, method: str, url: str, *more: Any) -> Any:
        asked.append(url)
        return first if url == place else await real(own, method, url, *more)

    monkeypatch.setattr(Fetcher, "_send", send)
    with pytest.raises(Forbidden, match="public internet"):
        await careful.webfinger("@a@rebound.example")
    assert asked == [place, "https://internal.example/admin"]


async def test_a_redirect_away_from_tls_is_refused(careful: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module._Response("https://a.example/a", 302, _headers(Location="http://a.example/a"), b"")

    async def send(own: Fetcher, method: str, url: str, *more: Any) -> Any:
        own._check(url)
        return first

    monkeypatch.setattr(Fetcher, "_send", send)
    with pytest.raises(Forbidden, match="https"):
        await careful.webfinger("@a@a.example")


def _headers(**more: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(more))


async def test_slow_name_servers_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait() and [])
    resolver = Resolver()
    waiting = [asyncio.create_task(resolver.resolve(f"{number}.example")) for number in range(64)]
    assert await asyncio.gather(*(asyncio.to_thread(lambda: 1) for _ in range(64))) == [1] * 64
    answered.set()
    assert await asyncio.gather(*waiting) == [[]] * 64
    await resolver.close()


async def test_slow_names_of_one_domain_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *more: Any, **options: Any) -> Any:
        if host.endswith(".slow.example"):
            answered.wait()
            return []
        return real("127.0.0.1", *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    waiting = [asyncio.create_task(resolver.resolve(f"{number}.slow.example")) for number in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="Too many"):
        await resolver.resolve("more.slow.example")
    assert [found["host"] for found in await resolver.resolve("quick.example", 80)] == ["127.0.0.1"]
    answered.set()
    assert await asyncio.gather(*waiting) == [[]] * 16
    await resolver.close()


async def test_what_strangers_name_is_looked_up_apart(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(module, "TIME_MOST_S", 0.5)
    real = socket.getaddrinfo

    def slow(host: str, *more: Any, **options: Any) -> Any:
        return answered.wait() and [] if host.endswith(".example") else real(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    fetcher = Fetcher(keys(), RSA_ID, lambda: NOW_S * 1000, allow_private=True, memory=Recent())
    slow_ones = [fetcher.document(f"http://slow{number}.example/a", hearsay=True) for number in range(8)]
    waiting = [asyncio.ensure_future(one) for one in slow_ones]
    await asyncio.sleep(0.1)
    assert (await fetcher.post(f"http://localhost:{server.port}/inbox", b"{}")).status == 404
    assert all(isinstance(one, FetchError) for one in await asyncio.gather(*waiting, return_exceptions=True))
    answered.set()
    await fetcher.close()


async def test_names_are_resolved_by_the_system() -> None:
    resolver = Resolver()
    assert {"127.0.0.1", "::1"} >= {found["host"] for found in await resolver.resolve("localhost", 80)} != set()
    with pytest.raises(OSError, match=r"\[Errno"):
        await resolver.resolve("not-there.invalid", 80)
    await resolver.close()
