"""What a node serves, to whom, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from bots import identity as identities
from bots.errors import Refused, RetryLater
from bots.http_signature import sign
from bots.node.node import Node
from bots.transports.lan.candidates import Endpoint
from bots.transports.lan.proving import Unproven, ask
from clawnet_proto.bindings import lan
from clawnet_proto.bindings.lan import Proof
from clawnet_proto.families import identity, presence
from tests.proto.authoring import Author, some_digest
from tests.proto.samples import announce, link
from tests.transports.worlds import now_ms

ROOM = "lan:clawnet"
CLEO, SECOND = Author("cleo"), Author("second")


class Served:
    """A node on loopback that has announced itself, and knows cleo."""

    def __init__(self, folder: Path) -> None:
        self.own = identities.create(folder / "keys")
        self.node = Node(folder / "lan.sqlite", lambda: self.own, 0, now_ms)
        self.contacts: list[tuple[str, str, int]] = []
        self.author = Author("node")
        self.author.key, self.author.did = self.own.key, self.own.did

    async def open(self) -> None:
        await self.node.open(lambda: (ROOM,), lambda *contact: self.contacts.append(contact))
        await self.node.listen(["127.0.0.1"])
        self.endpoint = Endpoint("127.0.0.1", self.node.port)
        self.base = f"http://{self.endpoint}/{self.own.did}"
        self.say(self.presence(self.author))
        self.node.heard(ROOM, CLEO.did, [json.loads(self.presence(CLEO))], "127.0.0.1")

    def presence(self, author: Author, revision: int = 1) -> bytes:
        body = announce(author, revision, addresses=(presence.Address(uri=lan.address(author.did)),))
        return author.carrier(body, room=ROOM, sent_ms=now_ms())

    def say(self, *carriers: bytes, room: str = ROOM) -> str:
        return self.node.say(room, b'{"carriers":[' + b",".join(carriers) + b"]}")

    def whisper(self, to: str, *carriers: bytes) -> None:
        self.node.whisper(to, b'{"carriers":[' + b",".join(carriers) + b"]}")

    def queue(self, proof: Proof, after: str = "", reader: str = CLEO.did) -> str:
        return f"{self.base}/peers/{reader}/{proof.ticket}" + (f"?after={after}" if after else "")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path)
    await served.open()
    yield served
    await served.node.close()


async def get(
    session: aiohttp.ClientSession, url: str, author: Author | None = None, **headers: str
) -> tuple[int, Any]:
    """The status and what was answered; signed by ``author`` for this very URL, unless a header says otherwise."""
    proof = {} if author is None else sign(author.key, author.did, "GET", url, b"", now_ms() // 1000)
    async with session.get(URL(url, encoded=True), headers={"Accept": "application/json"} | proof | headers) as answer:
        return answer.status, json.loads(await answer.read())


async def prove(served: Served, session: aiohttp.ClientSession, reader: Author = CLEO) -> Proof:
    return (await ask(session, served.endpoint, served.own.did, reader.did))[0]


async def test_a_node_proves_itself_to_who_asks(served: Served, session: aiohttp.ClientSession) -> None:
    proof, proven = await ask(session, served.endpoint, served.own.did, CLEO.did, 4000)
    assert (proof.rooms, proof.at, proven.kid) == ((ROOM,), str(served.endpoint), served.own.did)
    assert abs(proof.now_ms - now_ms()) < 5000
    assert served.contacts == [(CLEO.did, "127.0.0.1", 4000)]
    again = await prove(served, session)
    assert again.ticket != proof.ticket
    assert len(served.contacts) == 1
    with pytest.raises(Unproven):
        await ask(session, served.endpoint, SECOND.did, CLEO.did)


@pytest.mark.parametrize(
    "query",
    ["", "reader=x&nonce=x", f"reader={CLEO.did}", f"reader={CLEO.did}&nonce=AAAA", f"reader={CLEO.did}&nonce=%00"],
)
async def test_a_question_that_is_none(served: Served, session: aiohttp.ClientSession, query: str) -> None:
    assert (await get(session, f"{served.base}/proof?{query}"))[0] == 400


async def test_anybody_reads_what_is_said_in_rooms(served: Served, session: aiohttp.ClientSession) -> None:
    status, answer = await get(session, f"{served.base}/rooms/clawnet")
    assert status == 200
    assert [event["sender"] for event in answer["events"]] == [lan.address(served.own.did)]
    async with session.get(f"{served.base}/rooms/clawnet", headers={"Accept": "text/event-stream"}) as stream:
        told = [line async for line, _ in zip_lines(stream, 7)]
    assert [line for line in told if line.startswith("event")] == ["event: message", "event: caught-up"]


async def zip_lines(stream: aiohttp.ClientResponse, count: int) -> AsyncIterator[tuple[str, int]]:
    for number in range(count):
        yield (await stream.content.readline()).decode().strip(), number


@pytest.mark.parametrize("path", ["rooms/den", "rooms/lan%3Aclawnet", "rooms/..%2Fproof", "rooms/", "peers/x", "", "x"])
async def test_what_is_not_there(served: Served, session: aiohttp.ClientSession, path: str) -> None:
    status, answer = await get(session, f"{served.base}/{path}")
    assert (status, answer["code"]) == (404, "http.not_found")


async def test_another_one_is_not_there(served: Served, session: aiohttp.ClientSession) -> None:
    for path in ("proof", "rooms/clawnet"):
        assert (await get(session, f"http://{served.endpoint}/{CLEO.did}/{path}"))[0] == 404


async def test_nobody_posts_anything(served: Served, session: aiohttp.ClientSession) -> None:
    for path in ("proof", "rooms/clawnet", f"peers/{CLEO.did}/{some_digest('ticket')}"):
        async with session.post(f"{served.base}/{path}", json={"carriers": []}) as answer:
            assert answer.status == 405


async def test_what_is_for_one_peer_only_that_peer_reads(served: Served, session: aiohttp.ClientSession) -> None:
    secret = served.presence(served.author, 2)
    served.whisper(CLEO.did, secret)
    proof = await prove(served, session)
    status, answer = await get(session, served.queue(proof), CLEO)
    assert (status, [event["carriers"] for event in answer["events"]]) == (200, [[json.loads(secret)]])
    # The same request once more, and one without a signature, and by another key.
    assert (await get(session, served.queue(proof), CLEO))[0] == 401
    for author in (None, SECOND):
        fresh = await prove(served, session)
        assert (await get(session, served.queue(fresh), author))[0] == 401
    # With a ticket of somebody else, or for somebody else.
    foreign = await prove(served, session, SECOND)
    assert (await get(session, served.queue(foreign), CLEO))[0] == 401
    fresh = await prove(served, session)
    assert (await get(session, served.queue(fresh, reader=SECOND.did), SECOND))[0] == 401


async def test_a_request_that_was_made_for_another_place_is_refused(
    served: Served, session: aiohttp.ClientSession
) -> None:
    proof = await prove(served, session)
    url = served.queue(proof)
    elsewhere = sign(CLEO.key, CLEO.did, "GET", url.replace("127.0.0.1", "127.0.0.2"), b"", now_ms() // 1000)
    assert (await get(session, url, None, **elsewhere))[0] == 401


async def test_a_request_that_names_another_host_is_refused(served: Served, session: aiohttp.ClientSession) -> None:
    url = f"{served.base}/rooms/clawnet"
    for host in ("127.0.0.1", f"127.0.0.2:{served.node.port}", f"node.example:{served.node.port}"):
        status, answer = await get(session, url, Host=host)
        assert (status, answer["code"]) == (421, "http.misdirected")
    assert (await get(session, url, Host=str(served.endpoint)))[0] == 200


async def test_it_forgets_what_was_read_and_nothing_else(served: Served, session: aiohttp.ClientSession) -> None:
    for revision in (2, 3):
        served.whisper(CLEO.did, served.presence(served.author, revision))

    async def read(after: str = "", **headers: str) -> list[str]:
        _, answer = await get(session, served.queue(await prove(served, session), after), CLEO, **headers)
        return [event["id"] for event in answer["events"]]

    first, second = await read()
    assert await read(**{"Last-Event-ID": second}) == []
    assert await read() == [first, second]
    assert await read(first) == [second]
    assert await read() == [second]


async def test_who_is_not_here_is_told_nothing(served: Served) -> None:
    with pytest.raises(Refused) as caught:
        served.whisper(SECOND.did, served.presence(served.author, 2))
    assert caught.value.code == "lan.no_peer"


async def test_who_has_not_announced_itself_waits(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        with pytest.raises(RetryLater) as caught:
            served.whisper(CLEO.did, served.presence(served.author, 2))
        assert caught.value.code == "lan.not_member"
    finally:
        await served.node.close()


async def test_what_is_forged_or_for_another_room_is_not_said(served: Served) -> None:
    carrier = json.loads(served.presence(served.author, 2))
    forged = json.dumps(carrier | {"sig": "A" * 86}).encode()
    for bad, room in ((forged, ROOM), (json.dumps(carrier).encode(), "lan:den"), (b"{}", ROOM)):
        with pytest.raises(Refused) as caught:
            served.say(bad, room=room)
        assert caught.value.code == "lan.bad_content"


async def test_a_key_that_was_given_up_proves_nothing(served: Served, session: aiohttp.ClientSession) -> None:
    links = (link(CLEO, SECOND, of=CLEO, generation=1),)
    body = identity.Rotate(chain=links, next_key_digest=some_digest("next"))
    rotated = SECOND.carrier(body, sender=CLEO.did, room=ROOM, sent_ms=now_ms())
    old, new = (lan.prove(author.key, chain, _proof()) for author, chain in ((CLEO, ()), (SECOND, links)))
    assert served.node.trusts(CLEO.did, old, "127.0.0.1")
    served.node.heard(ROOM, CLEO.did, [json.loads(rotated)], "127.0.0.1")
    assert not served.node.trusts(CLEO.did, old, "127.0.0.1")
    assert served.node.trusts(CLEO.did, new, "127.0.0.1")
    # The thief of the first key has a chain of his own.
    other = lan.prove(Author("false").key, (link(CLEO, Author("false"), of=CLEO, generation=1),), _proof())
    assert not served.node.trusts(CLEO.did, other, "127.0.0.1")
    assert (await get(session, served.queue(await prove(served, session)), CLEO))[0] == 401
    assert (await get(session, served.queue(await prove(served, session)), SECOND))[0] == 200


def _proof() -> Proof:
    return Proof(
        node=CLEO.did, reader=SECOND.did, at="127.0.0.1:4000", nonce=some_digest("n"), ticket=some_digest("t"),
        now_ms=1, rooms=(),
    )  # fmt: skip


async def test_members_are_who_announces_itself_and_nobody_whom_another_names(served: Served) -> None:
    assert list(served.node.members(ROOM)) == sorted(lan.address(one.did) for one in (served.author, CLEO))
    served.node.heard(ROOM, CLEO.did, [json.loads(served.presence(SECOND))], "127.0.0.1")
    assert lan.address(SECOND.did) not in served.node.members(ROOM)
    body = presence.Leave(revision=9)
    leave = json.loads(CLEO.carrier(body, room=ROOM, sent_ms=now_ms()))
    served.node.heard(ROOM, SECOND.did, [leave], "127.0.0.1")
    assert lan.address(CLEO.did) in served.node.members(ROOM)
    served.node.heard(ROOM, CLEO.did, [leave], "127.0.0.1")
    assert lan.address(CLEO.did) not in served.node.members(ROOM)


async def test_it_listens_where_its_interfaces_are_and_nowhere_else(
    served: Served, session: aiohttp.ClientSession
) -> None:
    port = served.node.port
    await served.node.listen(["127.0.0.2"])
    assert served.node.port == port
    with pytest.raises(Unproven):
        await prove(served, session)
    served.endpoint = Endpoint("127.0.0.2", port)
    assert (await prove(served, session)).at == f"127.0.0.2:{port}"
    await served.node.listen([])
    with pytest.raises(Unproven):
        await prove(served, session)


async def test_who_ends_lets_readers_have_the_last_word(served: Served, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{served.base}/rooms/clawnet", headers={"Accept": "text/event-stream"}) as stream:
        while b"caught-up" not in await stream.content.readline():
            pass
        last = served.presence(served.author, 2)
        served.say(last)
        await served.node.close()
        rest = (await stream.content.read()).decode()
    assert json.loads(last)["sig"] in rest
