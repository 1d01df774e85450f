"""Which rooms an agent gets into, and which not."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from bots.errors import Refused, StoreError
from bots.homeserver import Homeserver
from bots.transports import Departure
from bots.transports.matrix import addresses
from tests.conftest import NewAccount, NewClient, NewRoom
from tests.matrix_client import MatrixClient
from tests.transports.conftest import Front, NewPeer, Peer
from tests.transports.resident import PATIENCE_S


async def alias_of(client: MatrixClient, room_id: str) -> str:
    return str((await client.state(room_id, "m.room.canonical_alias"))["alias"])


async def test_configured_rooms_are_joined_by_the_run(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, homeserver: Homeserver, front: Front
) -> None:
    alice = await new_client("alice")
    first, second = await new_room(alice), await new_room(alice)
    closed = await new_room(alice, public=False)
    names = (
        await alias_of(alice, first),
        f"{second}?via={homeserver.server_name}",
        f"#nowhere:{homeserver.server_name}",
        closed,
    )
    anna = await new_peer("anna", rooms=names, homeserver=front.url)
    await anna.until(lambda: len(anna.transport.rooms()) == 2)
    assert {room.uri for room in anna.joined} == {addresses.room_uri(first), addresses.room_uri(second)}
    while len(anna.transport.refused_rooms) < 2:
        await alice.sync(timeout_ms=50)
    assert set(anna.transport.refused_rooms) == set(names[2:])
    joins = front.count("/join/")
    await anna.restart()
    await anna.until(lambda: len(anna.joined) == 4)
    assert front.count("/join/") <= joins + 1, "only what it is not in"


async def test_join_is_idempotent(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", start=False)
    await anna.transport.connect()
    by_alias = await anna.transport.join(await alias_of(alice, room_id))
    by_id = await anna.transport.join(room_id)
    by_uri = await anna.transport.join(addresses.room_uri(room_id))
    assert by_alias == by_id == by_uri
    assert by_alias.name == await alias_of(alice, room_id)


async def test_rooms_that_cannot_be_joined(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, homeserver: Homeserver
) -> None:
    alice = await new_client("alice")
    closed = await new_room(alice, public=False)
    anna = await new_peer("anna")

    async def refusal(name: str) -> Refused:
        with pytest.raises(Refused) as caught:
            await anna.transport.join(name)
        assert caught.value.hint
        return caught.value

    assert (await refusal(f"#nowhere:{homeserver.server_name}")).code == "matrix.no_such_room"
    forbidden = await refusal(closed)
    assert forbidden.code == "matrix.forbidden"
    assert "invitation" in forbidden.hint
    assert (await refusal(f"!unknown:{homeserver.server_name}")).code.startswith("matrix.")
    assert (await refusal("not a room")).code == "matrix.room_name"


async def test_invitations(
    new_peer: NewPeer,
    new_client: NewClient,
    new_room: NewRoom,
    new_account: NewAccount,
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner, friend, stranger = [await new_client(name) for name in ("owner", "friend", "stranger")]
    anna = await new_peer("anna", owner=owner.user_id, invites=(friend.user_id, "example.org"))
    us = anna.account.user_id
    caplog.set_level(logging.INFO, "bots")
    rooms = {client: await new_room(client, public=False) for client in (owner, friend, stranger)}
    for client, room_id in rooms.items():
        await client.invite(room_id, us)
    await anna.until(lambda: len(anna.joined) == 2)
    assert {room.uri for room in anna.joined} == {addresses.room_uri(rooms[c]) for c in (owner, friend)}
    assert all(not room.public for room in anna.joined)
    left = {"type": "m.room.member", "state_key": us}
    await stranger.wait_for(lambda event: left.items() <= event.items() and event["content"]["membership"] == "leave")
    assert f"Declining the invitation of {stranger.user_id}" in caplog.text

    # What comes while we are away is answered at the next start.
    await anna.stop()
    later = await new_room(owner, public=False)
    await owner.invite(later, us)
    anna.open()
    await anna.start()
    await anna.until(lambda: any(room.uri == addresses.room_uri(later) for room in anna.joined))


async def test_an_invitation_survives_a_crash_before_the_answer(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    owner = await new_client("owner")
    anna = await new_peer("anna", owner=owner.user_id, homeserver=front.url)

    def fault(request: web.Request) -> web.Response | None:
        return web.json_response({}, status=502) if "/join/" in request.path else None

    front.fault = fault
    room_id = await new_room(owner, public=False)
    await owner.invite(room_id, anna.account.user_id)
    while not front.count("/join/"):
        await owner.sync(timeout_ms=50)
    await anna.stop()
    front.fault = lambda request: None
    anna.open()
    await anna.start()
    await anna.until(lambda: len(anna.joined) == 1)


async def test_rooms_are_what_their_state_says(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice, bob = await new_client("alice"), await new_client("bob")
    room_id = await new_room(alice, bob)
    anna = await new_peer("anna")
    await anna.join(room_id)
    await alice.send_state(room_id, "m.room.canonical_alias", "", {})
    await alice.send_state(room_id, "m.room.name", "", {"name": "The workshop"})
    await alice.send_state(room_id, "m.room.join_rules", "", {"join_rule": "invite"})
    await bob.leave(room_id)
    await anna.until(lambda: any(room.members == 2 for room in anna.transport.rooms()))
    [room] = anna.transport.rooms()
    assert (room.name, room.public, room.members) == ("The workshop", False, 2)
    await alice.send_state(room_id, "m.room.history_visibility", "", {"history_visibility": "world_readable"})
    await anna.until(lambda: anna.transport.rooms()[0].public)


class TestPutOut:
    """Somebody with power over a room will not have us there any more."""

    async def test_who_did_it_and_why(self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
        alice = await new_client("alice")
        kicked, banned, left = [await new_room(alice) for _ in range(3)]
        anna = await new_peer("anna")
        for room_id in (kicked, banned, left):
            await anna.join(room_id)
        names = {room.uri: room.name for room in anna.transport.rooms()}
        us = {"user_id": anna.account.user_id}
        await alice.request("POST", f"/rooms/{kicked}/kick", us | {"reason": "too loud"})
        await alice.request("POST", f"/rooms/{banned}/ban", us)
        async with MatrixClient(anna.account) as elsewhere:
            await elsewhere.leave(left)
        await anna.until(lambda: len(anna.left) == 3)
        by, ourselves = addresses.user_uri(alice.user_id), addresses.user_uri(anna.account.user_id)
        expected = [(kicked, "room.kicked", by, "too loud"), (banned, "room.banned", by, "")]
        expected.append((left, "room.left", ourselves, ""))
        uris = [(addresses.room_uri(room_id), *rest) for room_id, *rest in expected]
        assert sorted((d.room, d.code, d.by, d.reason) for d in anna.left) == sorted(uris)
        assert {departure.room: departure.name for departure in anna.left} == names
        await anna.restart()
        assert len(anna.left) == 3, "told once"

    async def test_a_configured_room_is_entered_again_at_a_start(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice = await new_client("alice")
        room_id, other = await new_room(alice), await new_room(alice)
        anna = await new_peer("anna", rooms=(room_id, other), homeserver=front.url)
        await anna.until(lambda: len(anna.transport.rooms()) == 2)
        joins = front.count("/join/")
        await alice.request("POST", f"/rooms/{room_id}/kick", {"user_id": anna.account.user_id})
        await anna.until(lambda: bool(anna.left))
        await alice.send_text(other, "1")
        await anna.bodies(1)
        await front.stop()
        await anna.until(lambda: not anna.transport.online)
        await front.start()
        await anna.until(lambda: anna.transport.online)
        assert front.count("/join/") == joins
        assert len(anna.transport.rooms()) == 1
        await anna.restart()
        await anna.until(lambda: len(anna.transport.rooms()) == 2)

    async def test_put_out_and_invited_again_both_while_we_were_away(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        owner = await new_client("owner")
        room_id = await new_room(owner)
        anna = await new_peer("anna", owner=owner.user_id)
        await anna.join(room_id)
        await owner.send_text(room_id, "1")
        await anna.bodies(1)
        await anna.stop()
        await owner.request("POST", f"/rooms/{room_id}/kick", {"user_id": anna.account.user_id})
        await owner.send_text(room_id, "2")
        await owner.invite(room_id, anna.account.user_id)
        anna.open()
        await anna.start()
        await anna.until(lambda: len(anna.transport.rooms()) == 1 and bool(anna.left))
        await owner.send_text(room_id, "3")
        # What was said while it was out is context, as before a first join.
        assert await anna.bodies(3) == [("1", True), ("2", False), ("3", True)]
        assert [departure.code for departure in anna.left] == ["room.kicked"]

    async def test_what_was_said_last_is_context(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        alice = await new_client("alice")
        room_id = await new_room(alice)
        anna = await new_peer("anna")
        await anna.join(room_id)
        await anna.stop()
        await alice.send_text(room_id, "!claw ask too late")
        await alice.request("POST", f"/rooms/{room_id}/kick", {"user_id": anna.account.user_id})
        anna.open()
        await anna.start()
        await anna.until(lambda: bool(anna.left))
        assert await anna.bodies(1) == [("!claw ask too late", False)]

    @pytest.mark.parametrize("replaced", [False, True])
    async def test_what_was_not_told_is_told_at_the_next_start(
        self, replaced: bool, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        alice = await new_client("alice")
        room_id = await new_room(alice)
        anna = await new_peer("anna")
        await anna.join(room_id)
        tried = asyncio.Event()

        def ends(_: Departure) -> None:
            tried.set()
            raise StoreError("store.full", "The disk is full.")

        anna.transport._telling._left = ends
        if replaced:
            await alice.request("POST", f"/rooms/{room_id}/upgrade", {"new_version": "12"})
        else:
            await alice.request("POST", f"/rooms/{room_id}/kick", {"user_id": anna.account.user_id})
        async with asyncio.timeout(PATIENCE_S):
            await tried.wait()
        await anna.stop()
        assert anna.left == []
        anna.open()
        await anna.start()
        assert [departure.room for departure in anna.left] == [addresses.room_uri(room_id)]
        await anna.restart()
        assert len(anna.left) == 1, "told once"


class TestMembers:
    """Whether the transport knows, at every moment, who is joined to a room."""

    @pytest.fixture
    async def anna(self, new_peer: NewPeer, front: Front) -> Peer:
        return await new_peer("anna", homeserver=front.url)

    async def test_joins_leaves_and_bans(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice, bob, eve = [await new_client(name) for name in ("alice", "bob", "eve")]
        room_id = await new_room(alice, bob)
        await anna.join(room_id)
        await joined_are(anna, room_id, alice, bob)
        await eve.join(room_id)
        await alice.send_text(room_id, "one")
        await anna.bodies(1)
        await joined_are(anna, room_id, alice, bob, eve)
        await bob.leave(room_id)
        await ban(alice, room_id, eve)
        await alice.send_text(room_id, "two")
        await anna.bodies(2)
        await joined_are(anna, room_id, alice)
        await bob.join(room_id)
        await alice.send_text(room_id, "three")
        await anna.bodies(3)
        await joined_are(anna, room_id, alice, bob)
        assert front.count("/joined_members") == 1, "asked once, then followed"
        assert not anna.transport.is_member("matrix:roomid/elsewhere:example.org", uri_of(alice))

    async def test_what_happened_while_we_were_away(self, anna: Peer, new_client: NewClient, new_room: NewRoom) -> None:
        alice, bob, eve = [await new_client(name) for name in ("alice", "bob", "eve")]
        room_id = await new_room(alice, bob)
        await anna.join(room_id)
        await anna.stop()
        await ban(alice, room_id, bob)
        await eve.join(room_id)
        await alice.send_to_device(anna.account.user_id, "*", "net.clawnet.direct", {})
        anna.open()
        assert not anna.transport.is_member(addresses.room_uri(room_id), uri_of(alice))
        await anna.start()
        await joined_are(anna, room_id, alice, eve)

    async def test_a_gap_in_the_timeline(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice, bob, eve = [await new_client(name) for name in ("alice", "bob", "eve")]
        room_id = await new_room(alice, bob)
        await anna.join(room_id)
        before = len(anna.received)
        await front.stop()
        await anna.until(lambda: not anna.transport.online)
        await ban(alice, room_id, bob)
        await eve.join(room_id)
        for number in range(120):
            await alice.send_text(room_id, f"{number}")
        await front.start()
        await anna.until(lambda: len(anna.received) >= before + 120)
        await joined_are(anna, room_id, alice, eve)

    async def test_a_room_we_left(self, anna: Peer, new_client: NewClient, new_room: NewRoom) -> None:
        alice = await new_client("alice")
        room_id = await new_room(alice)
        await anna.join(room_id)
        await alice.request("POST", f"/rooms/{room_id}/kick", {"user_id": anna.account.user_id})
        await anna.until(lambda: not anna.transport.rooms())
        assert not anna.transport.is_member(addresses.room_uri(room_id), uri_of(alice))

    async def test_a_name_that_is_no_text_hides_nobody(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice = await new_client("alice")
        room_id = await new_room(alice)
        name = alice.account.name.encode()
        front.spoil = lambda path, body: (
            body.replace(b'"display_name":"' + name, b'"display_name":"\\ud800') if "joined_members" in path else body
        )
        await anna.join(room_id)
        await joined_are(anna, room_id, alice)


async def joined_are(peer: Peer, room_id: str, *clients: MatrixClient) -> None:
    """These and the peer itself are the members, by the peer's word and the homeserver's."""
    users = {client.user_id for client in clients} | {peer.account.user_id}
    assert await clients[0].members(room_id) == users
    room = addresses.room_uri(room_id)
    assert peer.transport._members._joined[room] == {addresses.user_uri(user) for user in users}
    assert all(peer.transport.is_member(room, addresses.user_uri(user)) for user in users)


async def ban(client: MatrixClient, room_id: str, banned: MatrixClient) -> None:
    await client.request("POST", f"/rooms/{room_id}/ban", {"user_id": banned.user_id})


def uri_of(client: MatrixClient) -> str:
    return addresses.user_uri(client.user_id)
