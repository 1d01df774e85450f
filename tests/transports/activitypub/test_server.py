"""What an actor serves, and what it refuses: with the right status, and nothing is done."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bots.serving import listening
from bots.serving.limits import Allowance, Meters
from bots.transports import Parcel
from bots.transports.activitypub import documents, server
from bots.transports.activitypub.activities import BODY_MOST
from bots.transports.activitypub.media_types import ACTIVITY_JSON
from bots.transports.activitypub.names import PUBLIC, Names
from bots.transports.activitypub.shares import Shares
from bots.transports.activitypub.transport import ActivityPubTransport
from tests.agent.virtual_time import until
from tests.transports.activitypub.server_of_tests import RawServer, answer
from tests.transports.activitypub.stranger import Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import Words

if TYPE_CHECKING:
    from tests.transports.activitypub.conftest import NewStranger

Json = dict[str, Any]


def names_of(resident: Resident) -> Names:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport.names


def server_of(resident: Resident) -> server.ActorServer:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport._server


async def get(url: str, **headers: str) -> tuple[int, Json, str]:
    """Status, document and media type."""
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, json.loads(await answer.text()), answer.headers["Content-Type"]


def heard(resident: Resident) -> int:
    """How many events of others arrived."""
    return sum(one.sender != resident.address for one in resident.received)


class TestServing:
    async def test_a_handle_leads_to_the_actor(self, ada: Resident) -> None:
        names = names_of(ada)
        found = f"{names.base}/.well-known/webfinger?resource=acct:{names.user}@{names.host}"
        status, document, kind = await get(found)
        assert (status, kind) == (200, "application/jrd+json")
        link = next(link for link in document["links"] if link["rel"] == "self")
        assert link["href"] == names.actor
        status, document, kind = await get(names.actor)
        assert (status, kind, document["id"]) == (200, ACTIVITY_JSON, names.actor)
        assert document["type"] == "Service" and document["inbox"] == names.inbox

    async def test_of_nobody_else(self, ada: Resident) -> None:
        base = names_of(ada).base
        for resource in ("acct:bert@127.0.0.1", "acct:ada@example.org", "https://example.org/actor"):
            status, document, _ = await get(f"{base}/.well-known/webfinger?resource={resource}")
            assert (status, document["code"]) == (404, "activitypub.not_found")
        assert (await get(f"{base}/.well-known/webfinger"))[0] == 400

    async def test_node_information(self, ada: Resident) -> None:
        _, document, _ = await get(f"{names_of(ada).base}/.well-known/nodeinfo")
        status, document, _ = await get(document["links"][0]["href"])
        assert (status, document["protocols"]) == (200, ["activitypub"])

    async def test_public_posts_stand_in_the_outbox_the_newest_first(self, ada: Resident, words: Words) -> None:
        said = [words.carrier() for _ in range(25)]
        for number, carrier in enumerate(said):
            await ada.transport.send(Parcel(txn=f"t{number}", plane="room", room=PUBLIC, carriers=(carrier,)))
        names = names_of(ada)
        _, outbox, _ = await get(names.outbox)
        assert outbox["totalItems"] == 26  # with the announce of its own
        posts, page = [], outbox["first"]
        while page:
            status, document, _ = await get(page)
            assert (status, document["id"]) == (200, page)
            posts += document["orderedItems"]
            page = document.get("next")
        carriers = [json.loads(post["object"]["clawnetCarriers"])["carriers"] for post in posts[:25]]
        assert carriers == [[json.loads(carrier)] for carrier in said[::-1]]
        note = posts[0]["object"]
        assert (await get(note["id"]))[1]["content"] == note["content"]
        assert (await get(posts[0]["id"]))[1]["id"] == posts[0]["id"]
        status, document, kind = await get(note["attachment"][0]["href"])
        assert (status, kind, document) == (200, "application/clawnet+json", {"carriers": carriers[0]})

    async def test_what_is_for_one_alone_is_shown_to_nobody(self, ada: Resident, eve: Stranger, words: Words) -> None:
        to = eve.names.actor
        await ada.transport.send(Parcel(txn="t1", plane="direct", address=to, carriers=(words.carrier(),)))
        (created,) = await eve.got("Create")
        assert created["to"] == [to]
        for url in (created["id"], created["object"]["id"]):
            assert (await get(url))[0] == 404
        assert (await get(names_of(ada).outbox))[1]["totalItems"] == 1

    @pytest.mark.parametrize("page", ["x", "-1", "01", "9" * 40])
    async def test_a_page_that_is_none(self, ada: Resident, page: str) -> None:
        status, document, _ = await get(f"{names_of(ada).outbox}?before={page}")
        assert (status, document["code"]) == (400, "activitypub.query")

    async def test_no_such_place_and_no_such_method(self, ada: Resident, eve: Stranger) -> None:
        base = names_of(ada).base
        for path in ("/nowhere", "/notes/x", "/notes/../actor/x", "/carriers/" + "0" * 64, "/carriers/abc"):
            assert (await get(base + path))[0] == 404
        status, document, headers = await eve.send(f"{base}/inbox", b"", {}, method="DELETE")
        assert (status, document["code"], headers["Allow"]) == (405, "activitypub.method", "POST")


class TestRefusing:
    @pytest.mark.parametrize("host", ["example.org", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:x", ""])
    async def test_a_forged_host(self, ada: Resident, host: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(names_of(ada).base.rpartition(":")[2]))
        writer.write(f"GET /actor HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 421")
        assert b"activitypub.host" in answer

    async def test_the_host_in_other_letters_is_ours(self, ada: Resident) -> None:
        names = names_of(ada)
        assert (await get(names.actor, Host=names.host.upper()))[0] == 200

    async def test_nothing_that_is_not_signed(self, ada: Resident, eve: Stranger, words: Words) -> None:
        body = json.dumps(eve.carries(words.carrier())).encode()
        status, document, _ = await eve.send(names_of(ada).inbox, body, {"Content-Type": ACTIVITY_JSON})
        assert status == 401 and document["code"].startswith("activitypub.")
        assert heard(ada) == 0

    @pytest.mark.parametrize("kind", ["application/json", "text/html", "application/ld+json", "", "a" * 300])
    async def test_another_content_type(self, ada: Resident, eve: Stranger, words: Words, kind: str) -> None:
        status, _, _ = await eve.post(names_of(ada).inbox, eve.carries(words.carrier()), more={"Content-Type": kind})
        assert (status, heard(ada)) == (415, 0)

    async def test_anything_compressed(self, ada: Resident, eve: Stranger, words: Words) -> None:
        encoded = {"Content-Encoding": "gzip"}
        status, _, _ = await eve.post(names_of(ada).inbox, eve.carries(words.carrier()), more=encoded)
        assert (status, heard(ada)) == (415, 0)

    async def test_what_is_too_large(self, ada: Resident, eve: Stranger) -> None:
        url, body = names_of(ada).inbox, b"{" + b" " * BODY_MOST + b"}"
        assert (await eve.send(url, body, eve.signed(url, body)))[0] == 413

    async def test_what_is_too_large_and_does_not_say_so(self, ada: Resident, eve: Stranger) -> None:
        url = names_of(ada).inbox

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(BODY_MOST // 1024 + 2):
                yield b" " * 1024

        headers = eve.signed(url, b"x")
        status, _, _ = await eve.send(url, pieces(), headers)
        assert status == 413

    async def test_a_body_that_comes_too_slowly(
        self, ada: Resident, eve: Stranger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "_BODY_S", 0.1)
        head, writer, reader = await half_a_post(ada)
        assert head
        answer = await reader.read(4096)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408")

    async def test_a_head_that_comes_too_slowly(self, ada: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(listening, "_ASK_S", 0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(names_of(ada).base.rpartition(":")[2]))
        writer.write(b"POST /inbox HTTP/1.1\r\nHost: ")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        writer.close()

    async def test_too_many_at_once(self, ada: Resident, eve: Stranger, words: Words) -> None:
        server_of(ada)._arriving = Shares(2, 1)
        _, writer, _ = await half_a_post(ada)
        await until(lambda: server_of(ada)._arriving.taken, 10)
        status, document, headers = await eve.post(names_of(ada).inbox, eve.carries(words.carrier()))
        assert (status, document["code"]) == (503, "activitypub.busy")
        assert int(headers["Retry-After"]) > 0
        # Whoever is slow takes nobody else's place.
        other = {"X-Forwarded-For": "192.0.2.1"}
        assert (await eve.post(names_of(ada).inbox, eve.carries(words.carrier()), more=other))[0] == 202
        writer.close()

    async def test_a_host_whose_notes_come_slowly_holds_up_nobody_else(
        self, ada: Resident, new_stranger: NewStranger, words: Words
    ) -> None:
        eve, bert = await new_stranger("eve"), await new_stranger("bert", number=1)
        server_of(ada)._judged = Shares(2, 1)
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(_method: str, _headers: object, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await go_on.wait()
            writer.write(answer(404))

        slow = RawServer()
        await slow.start()
        slow.answers["/actor"] = slowly
        url, eve.names = names_of(ada).inbox, Names(slow.base, "eve")
        first = asyncio.create_task(eve.post(url, eve.says(), more={"X-Forwarded-For": "192.0.2.1"}))
        await asyncio.wait_for(asked.wait(), 10)
        status, document, _ = await eve.post(url, eve.says(), more={"X-Forwarded-For": "192.0.2.2"})
        assert (status, document["code"]) == (503, "activitypub.busy")
        at_another_host(bert)
        assert (await bert.post(url, bert.says(), more={"X-Forwarded-For": "192.0.2.3"}))[0] == 202
        go_on.set()
        assert (await first)[0] != 202
        await slow.stop()

    async def test_too_much_of_one_network(self, ada: Resident) -> None:
        server_of(ada)._requests = Meters(Allowance(1, 0.01))
        names = names_of(ada)
        # The proxy beside us tells who asks.
        here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
        statuses = [(await get(names.actor, **client))[0] for client in (here, here, there)]
        assert statuses == [200, 429, 200]

    async def test_too_much_of_one_server(self, ada: Resident, new_stranger: NewStranger, words: Words) -> None:
        eve, mallory = await new_stranger("eve"), await new_stranger("mallory", number=1)
        server_of(ada)._servers = Meters(Allowance(1, 0.01))
        inbox = names_of(ada).inbox
        at_another_host(mallory)
        said = [await one.post(inbox, one.carries(words.carrier())) for one in (eve, eve, mallory)]
        assert [status for status, _, _ in said] == [202, 429, 202]
        assert int(said[1][2]["Retry-After"]) > 0

    async def test_whose_actor_is_written_in_another_way_is_blocked_all_the_same(
        self, ada: Resident, new_stranger: NewStranger
    ) -> None:
        eve = await new_stranger("eve")
        assert isinstance(ada.transport, ActivityPubTransport)
        ada.transport._config = type(ada.transport._config)(host="http://x", name="x", blocked=("127.0.0.1",))
        status, document, _ = await eve.post(names_of(ada).inbox, eve.says() | {"actor": [{"id": eve.names.actor}]})
        assert (status, document["code"], eve.requests) == (403, "activitypub.blocked", [])

    async def test_a_server_that_the_owner_blocks(self, ada: Resident, eve: Stranger, words: Words) -> None:
        assert isinstance(ada.transport, ActivityPubTransport)
        ada.transport._config = type(ada.transport._config)(host="http://x", name="x", blocked=("127.0.0.1",))
        status, document, _ = await eve.post(names_of(ada).inbox, eve.carries(words.carrier()))
        assert (status, document["code"], heard(ada)) == (403, "activitypub.blocked", 0)


class TestSigned:
    @pytest.mark.parametrize("scheme", ["cavage", "rfc9421"])
    async def test_either_scheme_is_taken(self, ada: Resident, eve: Stranger, words: Words, scheme: Any) -> None:
        status, _, _ = await eve.post(names_of(ada).inbox, eve.carries(words.carrier()), scheme=scheme)
        assert (status, heard(ada)) == (202, 1)

    async def test_the_same_once_more_counts_once(self, ada: Resident, eve: Stranger, words: Words) -> None:
        url, body = names_of(ada).inbox, json.dumps(eve.carries(words.carrier())).encode()
        headers = eve.signed(url, body)
        statuses = [(await eve.send(url, body, headers))[0] for _ in range(3)]
        assert (statuses, heard(ada)) == ([202] * 3, 1)
        # Nor at the other inbox, nor signed anew.
        statuses = [(await eve.post(one, json.loads(body)))[0] for one in (url, names_of(ada).shared_inbox)]
        assert (statuses, heard(ada)) == ([202] * 2, 1)

    async def test_all_at_once_counts_once(self, ada: Resident, eve: Stranger, words: Words) -> None:
        document = eve.carries(words.carrier())
        answers = await asyncio.gather(*(eve.post(names_of(ada).inbox, document) for _ in range(8)))
        assert ({status for status, _, _ in answers}, heard(ada)) == ({202}, 1)

    async def test_the_same_message_in_another_note_counts_once(
        self, ada: Resident, eve: Stranger, words: Words
    ) -> None:
        carrier = words.carrier()
        for _ in range(2):
            assert (await eve.post(names_of(ada).inbox, eve.carries(carrier)))[0] == 202
        assert heard(ada) == 1

    async def test_another_body_than_was_signed(self, ada: Resident, eve: Stranger, words: Words) -> None:
        url, body = names_of(ada).inbox, json.dumps(eve.carries(words.carrier())).encode()
        status, _, _ = await eve.send(url, body.replace(b"words", b"wordz"), eve.signed(url, body))
        assert (status, heard(ada)) == (401, 0)

    async def test_another_place_than_was_signed(self, ada: Resident, eve: Stranger, words: Words) -> None:
        names, body = names_of(ada), json.dumps(eve.carries(words.carrier())).encode()
        status, _, _ = await eve.send(names.shared_inbox, body, eve.signed(names.inbox, body))
        assert (status, heard(ada)) == (401, 0)

    async def test_signed_long_ago(self, ada: Resident, eve: Stranger, words: Words) -> None:
        url, body = names_of(ada).inbox, json.dumps(eve.carries(words.carrier())).encode()
        status, _, _ = await eve.send(url, body, eve.signed(url, body, now_s=1_700_000_000))
        assert (status, heard(ada)) == (401, 0)

    async def test_a_key_that_is_not_the_actors(self, ada: Resident, new_stranger: NewStranger, words: Words) -> None:
        eve, mallory = await new_stranger("eve"), await new_stranger("mallory", number=1)
        url, document = names_of(ada).inbox, eve.carries(words.carrier())
        # Mallory signs with its own key, and says that it is Eve's.
        body = json.dumps(document).encode()
        mallory.names, own = eve.names, mallory.names
        forged = mallory.signed(url, body)
        mallory.names = own
        assert (await mallory.send(url, body, forged))[0] == 401
        # Mallory signs as itself what it says that Eve has said.
        assert (await mallory.post(url, document))[0] in (401, 403)
        assert heard(ada) == 0


def at_another_host(stranger: Stranger) -> None:
    """Let it go by another name of this machine."""
    stranger.names = Names(stranger.names.base.replace("127.0.0.1", "localhost"), stranger.name)
    stranger.document = documents.actor(stranger.names, stranger.keys, "none")


async def half_a_post(to: Resident) -> tuple[bytes, asyncio.StreamWriter, asyncio.StreamReader]:
    """Begin a post and do not go on."""
    names = names_of(to)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(names.base.rpartition(":")[2]))
    head = f"POST /inbox HTTP/1.1\r\nHost: {names.host}\r\nContent-Type: {ACTIVITY_JSON}\r\nContent-Length: 100\r\n\r\n"
    writer.write(head.encode() + b"{")
    await writer.drain()
    return head.encode(), writer, reader
