"""What others on the network can take of a node: keys, members, connections; what is its own they cannot take."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bots import identity as identities
from bots.node import node as nodes
from bots.node.node import Node
from bots.serving.descriptors import raise_limit
from clawnet_proto.bindings import lan
from clawnet_proto.bindings.lan import Proof, Proven
from clawnet_proto.families import identity, presence
from tests.proto.authoring import Author, some_digest
from tests.proto.samples import announce, link
from tests.transports.worlds import now_ms

ROOM = "lan:clawnet"
CLEO, SECOND, THIRD, FALSE = (Author(name) for name in ("cleo", "second", "third", "false"))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    own = identities.create(tmp_path / "keys")
    node = Node(tmp_path / "lan.sqlite", lambda: own, 0, now_ms)
    yield node
    await node.close()


def no_space_for_keys(node: Node, networks: int = 64, links: int = 16) -> None:
    for network in range(networks):
        for number in range(64 // links):
            chain = [f"key {network} {number} {generation}" for generation in range(links)]
            assert node._archive.keys.rotated(f"did {network} {number}", chain, f"10.0.0.{network}")


def proven(*keys: Author) -> Proven:
    links = tuple(
        link(before, after, of=CLEO, generation=generation)
        for generation, (before, after) in enumerate(zip((CLEO, *keys), keys, strict=False), start=1)
    )
    proof = Proof(
        node=CLEO.did, reader=FALSE.did, at="127.0.0.1:4000", nonce=some_digest("n"), ticket=some_digest("t"),
        now_ms=1, rooms=(),
    )  # fmt: skip
    return lan.prove((CLEO, *keys)[-1].key, links, proof)


def here(author: Author, key: Author | None = None, revision: int = 1) -> dict[str, object]:
    body = announce(author, revision, addresses=(presence.Address(uri=lan.address(author.did)),))
    carrier: dict[str, object] = json.loads(
        (key or author).carrier(body, sender=author.did, kid=(key or author).did, room=ROOM, sent_ms=now_ms())
    )
    return carrier


async def test_where_keys_have_no_space_a_proof_counts_all_the_same(node: Node) -> None:
    no_space_for_keys(node)
    assert node.trusts(CLEO.did, proven(SECOND), "10.0.9.1")
    assert not node.trusts(CLEO.did, proven(), "10.0.9.1")
    assert not node.trusts(CLEO.did, proven(FALSE), "10.0.9.1")
    assert node.trusts(CLEO.did, proven(SECOND, THIRD), "10.0.9.1")
    assert not node.trusts(CLEO.did, proven(SECOND), "10.0.9.1")
    # Its new key speaks for it, as one does that found space.
    node.heard(ROOM, CLEO.did, [here(CLEO, THIRD)], "10.0.9.1")
    assert node.is_member(ROOM, lan.address(CLEO.did))


async def test_who_takes_most_of_what_is_remembered_makes_place(node: Node) -> None:
    no_space_for_keys(node)
    keys = node._archive.keys
    assert node.trusts(CLEO.did, proven(SECOND), "10.0.9.1")
    for number in range(300):
        assert keys.rotated(f"passing {number}", [f"passing key {number}"], "10.0.9.2")
    assert keys.speaker("passing key 0", now_ms()) == "passing key 0"
    assert keys.speaker("passing key 299", now_ms()) == "passing 299"
    assert not node.trusts(CLEO.did, proven(FALSE), "10.0.9.1")


async def test_of_whom_a_node_only_tells_nothing_is_kept(node: Node) -> None:
    """Keys are kept of who says it, and of members."""
    rotate = identity.Rotate(chain=proven(SECOND).chain, next_key_digest=some_digest("next"))
    told = json.loads(SECOND.carrier(rotate, sender=CLEO.did, room=ROOM, sent_ms=now_ms()))
    for by, member, kept in ((FALSE, False, False), (FALSE, True, True), (CLEO, False, True)):
        if member:
            node.heard(ROOM, CLEO.did, [here(CLEO)], "10.0.9.1")
        node.heard(ROOM, by.did, [told], "10.0.9.2")
        assert node._archive.keys.rotated(CLEO.did, [FALSE.did], "") is not kept
        node._archive._database.execute("DELETE FROM keys")
        node._archive._database.execute("DELETE FROM members")


async def test_for_our_own_keys_there_is_always_space(tmp_path: Path) -> None:
    identities.create(tmp_path / "keys")
    own = identities.rotate(tmp_path / "keys", now_ms())
    node = Node(tmp_path / "lan.sqlite", lambda: own, 0, now_ms)
    no_space_for_keys(node)
    author = Author("own")
    author.key, author.did = own.key, own.did
    body = announce(author, addresses=(presence.Address(uri=lan.address(own.did)),))
    carrier = author.carrier(body, kid=own.key.did, room=ROOM, sent_ms=now_ms())
    for number in range(2000):
        node._archive.members.enter(ROOM, f"lan:{number}", 1, now_ms() + 60_000, now_ms(), f"10.0.{number // 32}.1")
    node.say(ROOM, b'{"carriers":[' + carrier + b"]}")
    assert [said.sender for said in node._hub.after(ROOM, "").said] == [lan.address(own.did)]
    assert node.is_member(ROOM, lan.address(own.did))
    await node.close()


async def test_one_address_does_not_take_all_connections(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_CONNECTIONS_OF_NETWORK", 2)
    await node.open(lambda: (ROOM,), lambda *_: None)
    await node.listen(["127.0.0.1"])
    taken = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(2)]
    assert await is_cut("127.0.0.1", node.port)
    assert not await is_cut("127.0.0.2", node.port)
    for _, writer in taken:
        writer.transport.abort()


async def is_cut(address: str, port: int) -> bool:
    """Whether a connection from there is ended at once, and not answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        return not (await reader.read())
    except ConnectionError:
        return True
    finally:
        writer.transport.abort()


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(8192, hard if hard > 0 else 8192)
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
