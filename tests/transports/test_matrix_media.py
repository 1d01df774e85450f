"""Chunks in the real homeserver's media repository: what is stored comes back, no stranger's URI leads astray."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from bots.errors import Refused, RetryLater
from tests.transports.conftest import Front, NewPeer

DATA = bytes(range(256)) * 900


async def test_what_one_stores_another_fetches(new_peer: NewPeer, front: Front) -> None:
    anna, bert = await new_peer("anna"), await new_peer("bert", homeserver=front.url)
    uri = await anna.transport.store_chunk(DATA)
    assert uri.startswith("mxc://")
    assert await bert.transport.fetch_chunk(uri, len(DATA)) == DATA
    # By the endpoint that asks who we are, and no other.
    (path,) = [path for method, path in front.seen if method == "GET" and "media" in path]
    assert path == "/_matrix/client/v1/media/download/" + uri.removeprefix("mxc://")
    async with aiohttp.ClientSession() as nobody, nobody.get(anna.account.homeserver + path) as answer:
        assert answer.status == 401
    assert len(await bert.transport.fetch_chunk(uri, 1000)) == 1001


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.org/chunk", "http://127.0.0.1:9/x", "file:///etc/passwd", "mxc://", "mxc://example.org",
        "mxc://example.org/a/b", "mxc://example.org/../../client/v3/logout", "mxc://example.org/..%2f..",
        "mxc:example.org/a", "mxc://user@example.org/a", "mxc://example.org/a?x=y", "mxc://example.org/a#b",
        "mxc://exa mple.org/a", "mxc://example.org\n/a", "MXC://example.org/a", "mxc://example.org:99999999/a",
        "mxc://example.org/" + "a" * 300,
    ],
)  # fmt: skip
async def test_what_is_no_chunk_is_not_even_asked_for(new_peer: NewPeer, front: Front, uri: str) -> None:
    anna = await new_peer("anna", homeserver=front.url)
    before = len([path for _, path in front.seen if "media" in path])
    with pytest.raises(Refused) as caught:
        await anna.transport.fetch_chunk(uri, 10)
    assert caught.value.code == "matrix.bad_address"
    assert len([path for _, path in front.seen if "media" in path]) == before


async def test_what_is_not_there_is_refused(new_peer: NewPeer) -> None:
    anna = await new_peer("anna")
    uri = await anna.transport.store_chunk(b"x")
    with pytest.raises(Refused) as caught:
        await anna.transport.fetch_chunk(uri[:-1] + ("a" if uri[-1] != "a" else "b"), 10)
    assert caught.value.code == "matrix.not_found"


async def test_a_server_that_is_busy_or_talks_nonsense(new_peer: NewPeer, front: Front) -> None:
    anna = await new_peer("anna", homeserver=front.url)

    def busy(request: web.Request) -> web.Response | None:
        if "upload" not in request.path:
            return None
        return web.json_response({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}, status=429)

    front.fault = busy
    with pytest.raises(RetryLater) as caught:
        await anna.transport.store_chunk(b"x")
    assert (caught.value.code, caught.value.after_s) == ("matrix.rate_limited", 1.5)
    for answer in (b"{}", b"\xff", b'{"content_uri":"https://example.org/x"}', b'{"content_uri":"mxc://a/../b"}'):
        front.fault = lambda request, answer=answer: (  # type: ignore[misc]
            web.Response(body=answer, content_type="application/json") if "upload" in request.path else None
        )
        with pytest.raises(RetryLater):
            await anna.transport.store_chunk(b"x")
