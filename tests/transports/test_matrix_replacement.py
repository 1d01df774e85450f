"""Rooms that are replaced: an agent goes where they lead, and leaves the old one alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from bots.clock import SYSTEM
from bots.errors import Refused
from bots.homeserver import Homeserver
from bots.outbox import Entry, Outbox
from bots.transports.matrix import addresses, replacement, rooms
from bots.transports.matrix.account import Account
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.events import Header
from bots.transports.matrix.membership import Membership
from bots.transports.matrix.rooms import Position, RoomState
from tests.conftest import NewClient, NewRoom
from tests.matrix_client import Json, MatrixClient
from tests.transports.conftest import Front, NewPeer
from tests.transports.replaced_room import alarmed, parcel, rooms_of, successor, tombstone, upgrade
from tests.transports.resident import PATIENCE_S


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
