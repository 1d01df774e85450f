from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Any

import pytest

from bots.transports.activitypub import fetcher as module
from bots.transports.activitypub.fetcher import Bad, Fetcher, FetchError, Forbidden
from bots.transports.activitypub.keys import check
from bots.transports.activitypub.request import Request
from bots.transports.activitypub.verification import http_claim
from tests.transports.activitypub.arrived import NOW_S, rsa_key
from tests.transports.activitypub.server_of_tests import RawServer, answer

ACTIVITY = "application/activity+json"


def document(server: RawServer, path: str = "/a", **more: Any) -> dict[str, Any]:
    return {"id": f"{server.base}{path}", "type": "Service", **more}


# -- documents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        ACTIVITY,
        "application/activity+json; charset=utf-8",
        'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
        'Application/LD+JSON;profile="https://www.w3.org/ns/activitystreams";charset=UTF-8',
        'application/activity+json; profile="https://www.w3.org/ns/activitystreams"',
    ],
)
async def test_a_document_is_fetched(fetcher: Fetcher, server: RawServer, content_type: str) -> None:
    server.serve("/a", document(server, name="who"), content_type)
    assert (await fetcher.document(f"{server.base}/a#main-key"))["name"] == "who"
    _, _, headers = server.requests[0]
    assert headers["accept-encoding"] == "identity" and ACTIVITY in headers["accept"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/ld+json",
        'application/ld+json; profile="https://evil.example/"',
        "text/html",
        "text/plain",
        "application/octet-stream",
        "image/png",
        "application/activity+json; charset=utf-16",
        f"{ACTIVITY}, text/html",
        f"text/html; x={ACTIVITY}",
    ],
)
async def test_other_media_types_are_refused(fetcher: Fetcher, server: RawServer, content_type: str) -> None:
    server.serve("/a", document(server), content_type)
    with pytest.raises(Bad, match="media type"):
        await fetcher.document(f"{server.base}/a")


async def test_the_id_must_be_where_it_was_found(fetcher: Fetcher, server: RawServer) -> None:
    server.serve("/a", document(server, "/a") | {"id": "https://other.example/a"})
    with pytest.raises(Bad, match="id"):
        await fetcher.document(f"{server.base}/a")
    assert server.paths() == ["/a"]


async def test_an_id_of_the_same_host_is_fetched_from_there_once(fetcher: Fetcher, server: RawServer) -> None:
    server.serve("/a", document(server, "/b", name="at a"))
    server.serve("/b", document(server, "/b", name="at b"))
    assert (await fetcher.document(f"{server.base}/a"))["name"] == "at b"
    server.serve("/b", document(server, "/c"))
    server.serve("/c", document(server, "/c"))
    server.requests.clear()
    with pytest.raises(Bad, match="id"):
        await fetcher.document(f"{server.base}/a")
    assert server.paths() == ["/a", "/b"]


@pytest.mark.parametrize("named", [None, 1, [], {}, "a", "/a", ""])
async def test_a_document_without_an_id_is_refused(fetcher: Fetcher, server: RawServer, named: object) -> None:
    server.serve("/a", {"id": named, "type": "Service"})
    with pytest.raises(Bad):
        await fetcher.document(f"{server.base}/a")


async def test_a_redirect_is_followed_and_the_id_is_that_of_its_end(fetcher: Fetcher, server: RawServer) -> None:
    server.redirect("/a", "/b")
    server.serve("/b", document(server, "/b"))
    assert (await fetcher.document(f"{server.base}/a"))["id"] == f"{server.base}/b"
    server.serve("/b", document(server, "/a"))
    server.requests.clear()
    with pytest.raises(Bad):
        await fetcher.document(f"{server.base}/a")


async def test_a_redirect_leads_to_no_other_server(fetcher: Fetcher, server: RawServer) -> None:
    victim = RawServer()
    await victim.start()
    try:
        server.redirect("/a", f"{victim.base}/a")
        with pytest.raises(Forbidden, match="another server"):
            await fetcher.document(f"{server.base}/a")
        with pytest.raises(Forbidden):
            await fetcher.carriers(f"{server.base}/a")
        server.redirect("/b", "/c")
        with pytest.raises(Forbidden):
            await fetcher.chunk(f"{server.base}/b", 100)
        assert victim.requests == [] and server.paths() == ["/a", "/a", "/b"]
        # But the handles of a domain may be told by another server.
        place = f"/.well-known/webfinger?resource=acct%3Aa%40127.0.0.1%3A{server.port}"
        server.redirect(place, f"{victim.base}/finger")
        links = [{"rel": "self", "type": ACTIVITY, "href": f"{victim.base}/a"}]
        victim.serve("/finger", {"links": links}, "application/jrd+json")
        assert await fetcher.webfinger(f"@a@127.0.0.1:{server.port}") == f"{victim.base}/a"
    finally:
        await victim.stop()


@pytest.mark.parametrize("status, content_type", [(200, "text/html"), (404, ACTIVITY)])
async def test_what_was_not_asked_for_is_not_read(
    fetcher: Fetcher, server: RawServer, status: int, content_type: str
) -> None:
    hung_up = asyncio.Event()

    async def endless(_method: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Some\r\nContent-Type: {content_type}\r\n\r\n".encode())
        sent = 0
        try:
            while sent < 1 << 26:
                writer.write(b" " * 0x10000)
                await writer.drain()
                sent += 0x10000
        except ConnectionError:
            hung_up.set()

    server.answers["/a"] = endless
    with pytest.raises(FetchError):
        await fetcher.document(f"{server.base}/a")
    await asyncio.wait_for(hung_up.wait(), 10)


async def test_three_redirects_are_the_most(fetcher: Fetcher, server: RawServer) -> None:
    for number, status in enumerate((301, 302, 307, 308)):
        server.redirect(f"/{number}", f"/{number + 1}", status)
    server.serve("/4", document(server, "/4"))
    await fetcher.document(f"{server.base}/1")
    with pytest.raises(Forbidden, match="redirects"):
        await fetcher.document(f"{server.base}/0")


@pytest.mark.parametrize("location", ["", "ftp://a/", "http://[", "https://user@some.example/", "//", "http://a b/"])
async def test_a_redirect_to_no_url_is_refused(fetcher: Fetcher, server: RawServer, location: str) -> None:
    server.redirect("/a", location)
    with pytest.raises(FetchError):
        await fetcher.document(f"{server.base}/a")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 500, 503])
async def test_the_status_is_told(fetcher: Fetcher, server: RawServer, status: int) -> None:
    server.answers["/a"] = answer(status, b"<script>")
    with pytest.raises(FetchError) as caught:
        await fetcher.document(f"{server.base}/a")
    assert (caught.value.status, caught.value.gone) == (status, status in (404, 410))
    assert "script" not in str(caught.value)


# -- bounds --------------------------------------------------------------------------------------------------


async def test_what_is_too_large_is_read_no_further(fetcher: Fetcher, server: RawServer) -> None:
    sent = 0

    async def endless(_method: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {ACTIVITY}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        while sent < 1 << 26:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    server.answers["/a"] = endless
    with pytest.raises(Bad, match="bytes"):
        await fetcher.document(f"{server.base}/a")
    assert sent < 1 << 25


async def test_what_is_compressed_is_refused(fetcher: Fetcher, server: RawServer) -> None:
    bomb = gzip.compress(b" " * (1 << 24))
    for encoding in ("gzip", "deflate", "br", "identity, gzip"):
        server.answers["/a"] = answer(200, bomb, ACTIVITY, f"Content-Encoding: {encoding}")
        with pytest.raises(Bad, match="compressed"):
            await fetcher.document(f"{server.base}/a")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"a"', b"null", b"\xff", b'\xef\xbb\xbf{}', '{"a":1}'.encode("utf-16"),
        b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b'{"a":9007199254740992}', b'{"a":-9007199254740992}',
        b'{"a":' + b"9" * 100_000 + b"}", b'{"a":0.' + b"9" * 100 + b"}", b'{"a":"\\ud800"}', b'{"\\udc00":1}',
        b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", b"[" * 200_000, b'{"a":' * 200_000,
        b'{"a":[' + b"0," * 70_000 + b"0]}",
    ],
    ids=range(21),
)  # fmt: skip
async def test_what_is_no_bounded_json_is_refused(fetcher: Fetcher, server: RawServer, body: bytes) -> None:
    server.answers["/a"] = answer(200, body, ACTIVITY)
    with pytest.raises(Bad):
        await fetcher.document(f"{server.base}/a")


async def test_a_slow_answer_ends_in_time(fetcher: Fetcher, server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIME_MOST_S", 0.3)

    async def drip(_method: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {ACTIVITY}\r\nContent-Length: 1000\r\n\r\n".encode())
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    server.answers["/a"] = drip
    with pytest.raises(FetchError, match="longer"):
        await fetcher.document(f"{server.base}/a")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 20000,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/activity+json\r\nContent-Length: 100\r\n\r\n{}",
    ],
    ids=range(5),
)
async def test_what_is_no_http_is_no_answer(fetcher: Fetcher, server: RawServer, raw: bytes) -> None:
    server.answers["/a"] = raw
    with pytest.raises(FetchError):
        await fetcher.document(f"{server.base}/a")


async def test_a_server_that_is_not_there(fetcher: Fetcher, server: RawServer) -> None:
    await server.stop()
    with pytest.raises(FetchError) as caught:
        await fetcher.document(f"{server.base}/a")
    assert caught.value.status == 0 and not isinstance(caught.value, Forbidden)


# -- signatures ----------------------------------------------------------------------------------------------


def claimed(server: RawServer, number: int) -> str:
    """By which scheme a request was signed, if that signature holds."""
    method, path, headers = server.requests[number]
    arrived = Request(
        method=method, base=server.base, target=path, headers=list(headers.items()), body=server.bodies[number]
    )
    claim = http_claim(arrived, NOW_S)
    assert claim is not None
    check(claim, rsa_key())
    return "rfc9421" if "signature-input" in headers else "cavage"


async def test_a_get_is_signed_for_each_place_it_is_sent_to(fetcher: Fetcher, server: RawServer) -> None:
    server.redirect("/a", "/b?c=d")
    server.serve("/b?c=d", document(server, "/b?c=d"))
    await fetcher.document(f"{server.base}/a")
    assert [claimed(server, number) for number in range(2)] == ["cavage", "cavage"]


async def test_a_server_that_cannot_read_a_signature_gets_the_other(fetcher: Fetcher, server: RawServer) -> None:
    async def only_rfc9421(method: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        status = 202 if "signature-input" in headers else 401
        writer.write(answer(status))

    server.answers["/inbox"] = only_rfc9421
    assert (await fetcher.post(f"{server.base}/inbox", b'{"a":1}')).status == 202
    assert [claimed(server, number) for number in range(2)] == ["cavage", "rfc9421"]
    # It is remembered.
    assert (await fetcher.post(f"{server.base}/inbox", b'{"a":2}')).status == 202
    assert len(server.requests) == 3 and claimed(server, 2) == "rfc9421"
    assert server.bodies == [b'{"a":1}', b'{"a":1}', b'{"a":2}']


async def test_both_schemes_are_tried_once(fetcher: Fetcher, server: RawServer) -> None:
    server.answers["/inbox"] = answer(401)
    assert (await fetcher.post(f"{server.base}/inbox", b"{}")).status == 401
    assert [claimed(server, number) for number in range(2)] == ["cavage", "rfc9421"]
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [202, 403, 404, 410, 413, 429, 500, 503])
async def test_other_answers_to_a_post_are_told_as_they_are(fetcher: Fetcher, server: RawServer, status: int) -> None:
    server.answers["/inbox"] = answer(status, b"no\x1b[1m thanks", "text/plain", "Retry-After: 17")
    found = await fetcher.post(f"{server.base}/inbox", b"{}")
    assert (found.status, found.retry_after_s, found.detail) == (status, 17.0, "no[1m thanks")
    assert len(server.requests) == 1


async def test_a_post_is_not_redirected(fetcher: Fetcher, server: RawServer) -> None:
    server.redirect("/inbox", "/other")
    assert (await fetcher.post(f"{server.base}/inbox", b"{}")).status == 302
    assert server.paths() == ["/inbox"]


@pytest.mark.parametrize("value", ["", "-1", "1.5", "a", "１", "9" * 20])
async def test_a_retry_after_of_another_form_is_none(fetcher: Fetcher, server: RawServer, value: str) -> None:
    server.answers["/inbox"] = answer(503, b"", "text/plain", f"Retry-After: {value}")
    assert (await fetcher.post(f"{server.base}/inbox", b"{}")).retry_after_s is None


# -- carriers and handles ------------------------------------------------------------------------------------


async def test_carriers_are_fetched_by_their_digest(fetcher: Fetcher, server: RawServer) -> None:
    body = b'{"carriers":[{}]}'
    path = f"/carriers/{hashlib.sha256(body).hexdigest()}"
    server.answers[path] = answer(200, body, "application/clawnet+json")
    assert await fetcher.carriers(f"{server.base}{path}") == body.decode()
    for other in (
        answer(200, body + b" ", "application/clawnet+json"),
        answer(200, body, "application/json"),
        answer(200, b" " * 70_000, "application/clawnet+json"),
        answer(404),
    ):
        server.answers[path] = other
        with pytest.raises(FetchError):
            await fetcher.carriers(f"{server.base}{path}")


async def test_a_handle_leads_to_an_actor(fetcher: Fetcher, server: RawServer) -> None:
    resource = f"/.well-known/webfinger?resource=acct%3Aalice%40127.0.0.1%3A{server.port}"
    links = [
        {"rel": "http://webfinger.net/rel/profile-page", "type": "text/html", "href": "https://a.example/"},
        {"rel": "self", "type": "text/html", "href": "https://b.example/"},
        {"rel": "self", "type": ACTIVITY, "href": "https://C.example/alice"},
    ]
    server.serve(resource, {"links": links}, "application/jrd+json; charset=utf-8")
    for handle in (f"@alice@127.0.0.1:{server.port}", f"alice@127.0.0.1:{server.port}"):
        assert await fetcher.webfinger(handle) == "https://c.example/alice"
    assert "signature" not in server.requests[0][2]
    for faulty in ({}, {"links": links[:2]}, {"links": 1}, {"links": [{**links[2], "href": "javascript:1"}]}):
        server.serve(resource, faulty, "application/jrd+json")
        with pytest.raises(Bad):
            await fetcher.webfinger(handle)
    server.serve(resource, {"links": links}, "text/html")
    with pytest.raises(Bad):
        await fetcher.webfinger(handle)


@pytest.mark.parametrize(
    "handle",
    [
        "",
        "alice",
        "@alice",
        "alice@",
        "@a@b@c.example",
        "a/b@c.example",
        "a@c.example/x",
        "a@c.example?d",
        "a b@c.example",
        "a@evil.example#@c.example",
        "a@u:p@c.example",
    ],
)
async def test_what_is_no_handle_is_not_looked_for(fetcher: Fetcher, handle: str) -> None:
    with pytest.raises(Forbidden, match="handle"):
        await fetcher.webfinger(handle)
