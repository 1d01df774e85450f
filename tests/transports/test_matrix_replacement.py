"""Rooms that are replaced: whether an agent goes where they lead, and what it does there and in the old one."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import web

from bots.clock import SYSTEM
from bots.errors import Refused, RetryLater
from bots.homeserver import Homeserver
from bots.outbox import Entry, Outbox
from bots.transports import Parcel
from bots.transports.matrix import addresses, replacement, rooms
from bots.transports.matrix.account import Account
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.events import Header
from bots.transports.matrix.membership import Membership
from bots.transports.matrix.rooms import Position, RoomState
from tests.conftest import NewClient, NewRoom
from tests.matrix_client import Json, MatrixClient
from tests.transports.conftest import Front, NewPeer, Peer
from tests.transports.resident import PATIENCE_S


async def upgrade(client: MatrixClient, room_id: str, version: str = "12") -> str:
    answer = await client.request("POST", f"/rooms/{room_id}/upgrade", {"new_version": version})
    return str(answer["replacement_room"])


async def tombstone(client: MatrixClient, room_id: str, target: object) -> None:
    """What a person with power over the room can write, though there is nothing behind it."""
    content = {"body": "This room was replaced.", "replacement_room": target}
    await client.send_state(room_id, "m.room.tombstone", "", content)


async def successor(client: MatrixClient, room_id: str, **options: Any) -> str:
    """A room that says of itself that it replaces another."""
    said = {"predecessor": {"room_id": room_id, "event_id": "$last"}}
    return await client.create_room(creation_content=said, **({"preset": "public_chat"} | options))


def rooms_of(peer: Peer) -> set[str]:
    return {addresses.room_id(room.uri) for room in peer.transport.rooms()}


def parcel(room_id: str, txn: str = "1") -> Parcel:
    return Parcel(txn=txn, plane="room", room=addresses.room_uri(room_id), body="hello")


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "is not followed" in record.getMessage()]


class TestUpgrade:
    """By the homeserver's own upgrade of a room."""

    async def test_it_is_followed_and_the_old_room_is_left_alone(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        anna = await new_peer("anna", homeserver=front.url)
        await anna.join(old)
        await anna.transport.send(parcel(old))
        new = await upgrade(alice, old)
        await anna.until(lambda: rooms_of(anna) == {new})
        [departure] = anna.left
        assert departure.code == "room.replaced"
        assert (departure.room, departure.successor) == (addresses.room_uri(old), addresses.room_uri(new))
        assert departure.by == addresses.user_uri(alice.user_id)
        assert anna.joined[-1].uri == addresses.room_uri(new)
        assert await alice.members(new) == {alice.user_id, anna.account.user_id}

        sends = front.count("/send/")
        with pytest.raises(Refused) as caught:
            await anna.transport.send(parcel(old, "2"))
        assert caught.value.code == "matrix.room_replaced"
        assert front.count("/send/") == sends, "the homeserver is not even asked"
        await anna.transport.send(parcel(new, "3"))
        # Who may still speak in the old room speaks to nobody.
        heard = len(anna.received)
        await alice.send_text(old, "still here?")
        await alice.send_text(new, "welcome")
        await anna.until(lambda: any('"welcome"' in delivery.event for delivery in anna.received))
        assert not any("still here" in delivery.event for delivery in anna.received[heard:])
        assert not anna.transport.is_member(addresses.room_uri(old), addresses.user_uri(alice.user_id))
        assert anna.transport.is_member(addresses.room_uri(new), addresses.user_uri(alice.user_id))

    async def test_what_was_still_to_be_said_in_the_old_room_is_set_aside_and_told(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        anna = await new_peer("anna")
        await anna.join(old)
        told: list[tuple[list[str], str]] = []
        outbox = Outbox(
            anna.store,
            anna.transport,
            SYSTEM,
            refused=lambda entries, error: told.append(([entry.line for entry in entries], error.code)),
        )
        new = await upgrade(alice, old)
        await anna.until(lambda: rooms_of(anna) == {new})
        for room_id in (old, new):
            outbox.add(Entry(plane="room", room=addresses.room_uri(room_id), line=f"for {room_id}"))
        run = asyncio.create_task(outbox.run())
        assert await outbox.flush(PATIENCE_S)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert told == [([f"for {old}"], "matrix.room_replaced")]
        await alice.wait_for_text(f"for {new}")

    async def test_it_is_remembered_and_configured_names_lead_there(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, homeserver: Homeserver, front: Front
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        name = f"{old}?via={homeserver.server_name}"
        anna = await new_peer("anna", rooms=(name,), homeserver=front.url)
        await anna.until(lambda: bool(anna.joined))
        new = await upgrade(alice, old)
        await anna.until(lambda: rooms_of(anna) == {new})
        joins = front.count("/join/")
        await anna.restart()
        assert rooms_of(anna) == {new}
        assert (await anna.transport.join(name)).uri == addresses.room_uri(new)
        assert len(anna.left) == 1
        assert front.count("/join/") == joins
        newer = await upgrade(alice, new)
        await anna.until(lambda: rooms_of(anna) == {newer})
        assert (await anna.transport.join(name)).uri == addresses.room_uri(newer)

    async def test_who_was_away_follows_at_its_next_start(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        anna = await new_peer("anna")
        await anna.join(old)
        await anna.stop()
        await alice.send_text(old, "before")
        new = await upgrade(alice, old)
        newer = await upgrade(alice, new)
        await alice.send_text(newer, "after")
        anna.open()
        await anna.start()
        await anna.until(lambda: rooms_of(anna) == {newer})
        # What was said before it came there is context, as in any room.
        assert await anna.bodies(2) == [("before", True), ("after", False)]
        assert [departure.code for departure in anna.left] == ["room.replaced"] * 2

    async def test_a_newcomer_who_was_given_the_old_name(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        new = await upgrade(alice, old)
        anna = await new_peer("anna", rooms=(old,))
        await anna.until(lambda: rooms_of(anna) == {new})
        assert [room.uri for room in anna.joined] == [addresses.room_uri(new)]

    async def test_an_observer_goes_along(self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        reader = await new_peer("reader", rooms=(old,), reads_only=True)
        await reader.until(lambda: rooms_of(reader) == {old})
        new = await upgrade(alice, old)
        await reader.until(lambda: rooms_of(reader) == {new})
        await alice.send_text(new, "welcome")
        await reader.until(lambda: any('"welcome"' in delivery.event for delivery in reader.received))
        late = await new_peer("late", rooms=(old,), reads_only=True)
        await late.until(lambda: rooms_of(late) == {new})

    async def test_an_encrypted_room_stays_encrypted(
        self, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
    ) -> None:
        alice = await new_client("alice")
        old = await new_room(alice)
        await alice.send_state(old, "m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2"})
        anna = await new_peer("anna")
        await anna.join(old)
        new = await upgrade(alice, old)
        await anna.until(lambda: rooms_of(anna) == {new})
        assert anna.transport.rooms()[0].encrypted
        event_id = await anna.transport.send(parcel(new))
        event = await alice.wait_for(lambda event: event["event_id"] == event_id)
        assert event["type"] == "m.room.encrypted"

    async def test_a_private_room_is_entered_upon_invitation(
        self,
        new_peer: NewPeer,
        new_client: NewClient,
        new_room: NewRoom,
        front: Front,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        owner, anna = await new_client("owner"), await new_peer("anna", start=False, homeserver=front.url)
        anna._settings["owner"] = owner.user_id
        anna.store.close()
        anna.open()
        await anna.start()
        host = await new_client("host")
        old = await new_room(owner, host, public=False)
        await owner.invite(old, anna.account.user_id)
        await anna.until(lambda: rooms_of(anna) == {old})
        new = await successor(owner, old, preset="private_chat", invite=[host.user_id])
        await host.join(new)
        await owner.send_state(new, "m.room.power_levels", "", await levels(owner, new, host))
        await tombstone(owner, old, new)
        await alarmed(anna, owner, caplog)
        assert rooms_of(anna) == {old}
        # This one is on no list; but it is where we were to go.
        await host.invite(new, anna.account.user_id)
        await anna.until(lambda: rooms_of(anna) == {new})
        assert await owner.members(new) == {owner.user_id, host.user_id, anna.account.user_id}


async def levels(client: MatrixClient, room_id: str, deputy: MatrixClient) -> Json:
    content = await client.state(room_id, "m.room.power_levels")
    return content | {"users": content["users"] | {deputy.user_id: 50}}


async def alarmed(peer: Peer, anybody: MatrixClient, caplog: pytest.LogCaptureFixture, times: int = 1) -> None:
    """Once the peer has said that it does not follow."""
    async with asyncio.timeout(PATIENCE_S):
        while len(refusals(caplog)) < times:
            await anybody.sync(timeout_ms=50)


async def in_rooms(peer: Peer, anybody: MatrixClient, *expected: str) -> None:
    """Once the peer is in these rooms, and no others."""
    async with asyncio.timeout(PATIENCE_S):
        while rooms_of(peer) != {*expected}:
            await anybody.sync(timeout_ms=50)


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


def test_a_room_of_an_earlier_run_is_left_unless_one_of_ours_leads_there() -> None:
    config = MatrixConfig(homeserver="http://localhost", user="@anna:example.org")
    membership = Membership(config, Account(config, Path("nowhere"), str, None))
    before = Position("@anna:example.org", "s1", looked_at=["!doubtful"])
    replacements = replacement.Replacements(membership, before, lambda: None)
    # What it says of itself keeps nobody there.
    states = {"!ours": RoomState(), "!doubtful": RoomState(replacement="!doubtful")}
    assert replacements.hidden(states) == replacements.unwanted(states) == {"!doubtful"}
    assert replacements.noted(before) == before
    states["!ours"] = RoomState(replacement="!doubtful")
    assert replacements.unwanted(states) == set()
    assert replacements.ready(states) == ["!ours"]


def test_a_message_of_that_type_is_no_state() -> None:
    said = Header(type="m.room.tombstone", sender="@eve:example.org", content=msgspec.Raw(b'{"replacement_room":"!a"}'))
    assert rooms.after(RoomState(), said) == RoomState()
    assert rooms.after(RoomState(), msgspec.structs.replace(said, state_key="")).replacement == "!a"
