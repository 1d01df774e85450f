"""Rooms that are said to be replaced: where an agent does not go, and what it does there and in the old one."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from aiohttp import web

from bots.errors import RetryLater
from bots.transports.matrix import addresses, replacement
from tests.conftest import NewClient, NewRoom
from tests.matrix_client import MatrixClient
from tests.transports.conftest import Front, NewPeer, Peer
from tests.transports.replaced_room import alarmed, in_rooms, parcel, refusals, rooms_of, successor, tombstone
from tests.transports.resident import PATIENCE_S


class TestWhatIsNone:
    """People with power over a room can write anything into it."""

    @pytest.fixture
    async def anna(self, new_peer: NewPeer, front: Front) -> Peer:
        return await new_peer("anna", homeserver=front.url)

    @pytest.mark.parametrize("target", ["", 7, "nonsense"])
    async def test_what_is_no_room(
        self, target: object, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        await anna.join(old)
        await tombstone(alice, old, target)
        await alice.send_text(old, "after")
        await anna.until(lambda: any('"after"' in delivery.event for delivery in anna.received))
        await anna.until(lambda: rooms_of(anna) == {old})
        await anna.transport.send(parcel(old))
        assert front.count("/join/") == 1
        assert anna.left == []

    async def test_a_room_that_says_nothing_of_it_is_left_again(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice = await new_client("alice")
        old, other = await new_room(alice), await new_room(alice)
        await anna.join(old)
        await tombstone(alice, old, other)
        await alarmed(anna, alice, caplog)
        assert await alice.members(other) == {alice.user_id}
        await anna.until(lambda: rooms_of(anna) == {old})
        assert "does not say that it replaces" in refusals(caplog)[0]
        await anna.transport.send(parcel(old))
        assert anna.left == []

    async def test_one_that_we_are_in_late_all_the_same(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As when a homeserver gives up on a join that then comes to pass."""
        owner = await new_client("owner")
        anna._settings["owner"] = owner.user_id
        await anna.restart()
        old, other = await new_room(owner), await new_room(owner)
        await anna.join(old)
        await tombstone(owner, old, other)
        await alarmed(anna, owner, caplog)
        async with MatrixClient(anna.account) as late:
            await late.join(other)
        async with asyncio.timeout(PATIENCE_S):
            while anna.account.user_id in await owner.members(other):
                await owner.sync(timeout_ms=50)
        assert {room.uri for room in anna.joined} == {addresses.room_uri(old)}
        # Its owner may have it wherever it is wanted; that makes no replacement of it.
        await owner.invite(other, anna.account.user_id)
        await alarmed(anna, owner, caplog, 2)
        assert rooms_of(anna) == {old, other}
        assert anna.left == []

    @pytest.mark.parametrize("restarts", [False, True])
    @pytest.mark.parametrize("taken_back", [False, True])
    async def test_one_that_could_not_be_looked_at_in_the_first_place(
        self, restarts: bool, taken_back: bool, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        alice = await new_client("alice")
        old, other = await new_room(alice), await new_room(alice)
        await anna.join(old)
        front.fault = lambda request: web.Response(status=502) if "m.room.create" in request.path else None
        await tombstone(alice, old, other)
        await anna.until(lambda: other in anna.transport._known and front.count("m.room.create") > 1)
        assert rooms_of(anna) == set()
        if restarts:
            await anna.stop()
        if taken_back:
            await tombstone(alice, old, "")
        if restarts:
            anna.open()
            await anna.start()
        front.fault = lambda request: None
        if not taken_back:
            await alarmed(anna, alice, caplog)
        await anna.until(lambda: rooms_of(anna) == {old})
        async with asyncio.timeout(PATIENCE_S):
            while await alice.members(other) != {alice.user_id}:
                await alice.send_text(old, "go on")
        assert {room.uri for room in anna.joined} == {addresses.room_uri(old)}
        assert anna.left == []

    async def test_one_that_our_owner_wants_is_not_left(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice, eve = await new_client("alice"), await new_client("eve")
        ours, hers = await new_room(alice), await new_room(eve)
        await anna.join(hers)
        await anna.stop()
        await tombstone(eve, hers, ours)
        anna._settings["rooms"] = (ours,)
        anna.open()
        await anna.start()
        await alarmed(anna, eve, caplog)
        await in_rooms(anna, alice, ours, hers)
        await alice.send_text(ours, "welcome")
        await anna.until(lambda: any('"welcome"' in delivery.event for delivery in anna.received))
        assert anna.account.user_id in await alice.members(ours)
        assert anna.left == []

    async def test_the_successor_of_another_room_is_not_left(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(replacement, "_PAUSE_S", 0.01)
        alice, eve = await new_client("alice"), await new_client("eve")
        ours, hers = await new_room(alice), await new_room(eve)
        for room_id in (hers, ours):
            await anna.join(room_id)
        await anna.stop()
        new = await successor(alice, ours)
        await tombstone(alice, ours, new)
        await tombstone(eve, hers, new)
        anna.open()
        await anna.start()
        await alarmed(anna, eve, caplog)
        await in_rooms(anna, eve, new, hers)
        assert anna.account.user_id in await alice.members(new)

    async def test_one_that_is_not_encrypted(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        await alice.send_state(old, "m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"})
        await anna.join(old)
        new = await successor(alice, old)
        await tombstone(alice, old, new)
        await alarmed(anna, alice, caplog)
        assert "not encrypted, and this room is" in refusals(caplog)[0]
        assert await alice.members(new) == {alice.user_id}
        # Nor does a start make it forget what the old one was.
        await anna.restart()
        await alarmed(anna, alice, caplog, 2)
        await anna.until(lambda: rooms_of(anna) == {old})
        assert {room.uri for room in anna.joined} == {addresses.room_uri(old)}

    async def test_one_that_cannot_be_entered_is_tried_once_a_start(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        await anna.join(old)
        new = await successor(alice, old, preset="private_chat")
        joins = front.count("/join/")
        await tombstone(alice, old, new)
        await alarmed(anna, alice, caplog)
        for number in range(5):
            await alice.send_text(old, f"{number}")
        await anna.bodies(5)
        assert front.count("/join/") == joins + 1
        await alice.send_state(new, "m.room.join_rules", "", {"join_rule": "public"})
        await anna.restart()
        await anna.until(lambda: rooms_of(anna) == {new})

    async def test_a_homeserver_that_gives_no_answer(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front,
        caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(replacement, "_PAUSE_S", 0.01)
        alice = await new_client("alice")
        old = await new_room(alice)
        await anna.join(old)
        new = await successor(alice, old)
        joins = front.count("/join/")
        front.fault = lambda request: web.Response(status=502) if "/join/" in request.path else None
        await tombstone(alice, old, new)
        # While it tries nothing is said in the old room, nor lost.
        await anna.until(lambda: rooms_of(anna) == set())
        with pytest.raises(RetryLater):
            await anna.transport.send(parcel(old))
        await alarmed(anna, alice, caplog)
        assert front.count("/join/") - joins == 3
        await anna.until(lambda: rooms_of(anna) == {old})
        await anna.transport.send(parcel(old))

    async def test_a_circle(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        await anna.join(old)
        new = await successor(alice, old)
        await tombstone(alice, new, old)
        await tombstone(alice, old, new)
        await alarmed(anna, alice, caplog)
        assert "a room that we came from" in refusals(caplog)[0]
        await anna.until(lambda: rooms_of(anna) == {new})
        await anna.restart()
        await alarmed(anna, alice, caplog, 2)
        assert rooms_of(anna) == {new}

    async def test_two_rooms_that_lead_to_each_other(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A homeserver of their own can give them such ids."""
        alice = await new_client("alice")
        one, other = await new_room(alice), await new_room(alice)
        for room_id in (one, other):
            await anna.join(room_id)
        said = {one: other, other: one}

        def spoil(path: str, body: bytes) -> bytes:
            if not path.endswith("m.room.create"):
                return body
            (old,) = [said[room_id] for room_id in said if quote(room_id) in path or room_id in path]
            return json.dumps({"predecessor": {"room_id": old}}).encode()

        front.spoil = spoil
        for room_id, target in said.items():
            await tombstone(alice, room_id, target)
        await alarmed(anna, alice, caplog)
        assert len(rooms_of(anna)) == 1
        await anna.restart()
        assert len(rooms_of(anna)) == 1

    async def test_a_chain_without_end(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(replacement, "CHAIN_MOST", 3)
        alice = await new_client("alice")
        chain = [await new_room(alice)]
        await anna.join(chain[0])
        for _ in range(5):
            chain.append(await successor(alice, chain[-1]))
        for old, new in pairwise(chain[1:]):
            await tombstone(alice, old, new)
        await tombstone(alice, chain[0], chain[1])
        await alarmed(anna, alice, caplog)
        assert "more than 3 replacements" in refusals(caplog)[0]
        await anna.until(lambda: rooms_of(anna) == {chain[3]})

    async def test_a_tombstone_that_changes_all_the_time(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        await anna.join(old)
        joins = front.count("/join/")
        for number in range(6):
            await tombstone(alice, old, f"!nowhere{number}")
            await alarmed(anna, alice, caplog, number + 1)
        assert front.count("/join/") - joins == 3
        assert "too often" in refusals(caplog)[-1]

    async def test_a_room_that_we_are_in_anyway_is_not_left(
        self, anna: Peer, new_client: NewClient, new_room: NewRoom, caplog: pytest.LogCaptureFixture
    ) -> None:
        alice, eve = await new_client("alice"), await new_client("eve")
        ours, hers = await new_room(alice), await new_room(eve)
        for room_id in (ours, hers):
            await anna.join(room_id)
        await tombstone(eve, hers, ours)
        await alarmed(anna, eve, caplog)
        await anna.until(lambda: rooms_of(anna) == {ours, hers})
        assert anna.account.user_id in await alice.members(ours)
