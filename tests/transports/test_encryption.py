"""Encrypted rooms at a real homeserver: agents among themselves, and with a client that is not ours."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from bots.errors import Refused
from bots.transports import Parcel
from bots.transports.matrix import addresses
from tests.conftest import NewClient
from tests.transports.conftest import Front, NewPeer, NewPerson
from tests.transports.encrypted_room import (
    CARRIER,
    MEGOLM,
    arrived,
    encrypted_events,
    encrypted_room,
    found,
    joined,
    parcel,
    two,
)

pytestmark = pytest.mark.usefixtures("keys_soon")


async def test_agents_and_a_person_read_each_other(
    new_peer: NewPeer, new_client: NewClient, new_person: NewPerson
) -> None:
    founder, paula = await new_client("founder"), await new_person("paula")
    anna = await new_peer("anna", owner=founder.user_id)
    bert = await new_peer("bert", owner=founder.user_id)
    room_id = await encrypted_room(founder, anna.account.user_id, bert.account.user_id, paula.user_id)
    await joined(anna, room_id)
    await joined(bert, room_id)
    await paula.client.join(room_id)
    await paula.until(lambda: room_id in paula.client.rooms and paula.client.rooms[room_id].encrypted)

    event_id = await anna.transport.send(parcel(room_id, "hello from anna"))
    await arrived(anna, "hello from anna")  # its own words come back, and it can read them
    delivery = await arrived(bert, "hello from anna")
    event = json.loads(delivery.event)
    assert delivery.event_id == event_id and delivery.live
    assert event["type"] == "m.room.message" and event["sender"] == anna.account.user_id
    assert bert.transport.carriers(delivery) == [json.loads(CARRIER)]
    await paula.until(lambda: "hello from anna" in paula.bodies())
    assert not paula.unread

    await paula.say(room_id, "hello from paula")
    words = anna.transport.person_text(await arrived(anna, "hello from paula"))
    assert words is not None and words.text == "hello from paula"
    # The homeserver has seen nothing of it.
    kinds = [event["type"] for event in await founder.messages(room_id)]
    assert kinds.count("m.room.encrypted") == 2 and "m.room.message" not in kinds


class TestComingAndGoing:
    async def test_a_restart_is_the_same_device_and_misses_nothing(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder, anna, bert, room_id = await two(new_client, new_peer, annas=front.url)
        await bert.transport.send(parcel(room_id, "first"))
        await arrived(anna, "first")
        before = anna.transport.encryption
        device, uploads = anna.transport.device, front.count("/keys/upload")
        assert before.on and before.fingerprint

        await anna.stop()
        await bert.transport.send(parcel(room_id, "while anna was away"))  # under a key that anna was told before
        await bert.transport.close()
        bert.store.close()
        bert.open()
        await bert.start()
        await bert.transport.send(parcel(room_id, "under a new key"))  # that anna is told while away
        anna.open()
        await anna.start()
        await arrived(anna, "while anna was away")
        await arrived(anna, "under a new key")
        assert anna.transport.device == device
        assert anna.transport.encryption.fingerprint == before.fingerprint
        assert front.count("/keys/upload") == uploads, "no key is told twice"
        assert anna.transport.encryption.unreadable == anna.transport.encryption.given_up == 0
        await anna.transport.send(parcel(room_id, "anna is back"))
        await arrived(bert, "anna is back")
        sessions = [event["content"]["session_id"] for event in await encrypted_events(founder, room_id)]
        assert len(sessions) == 4 and len(set(sessions)) == 3, "a start begins a session of its own"

    async def test_who_joins_late_reads_from_then_on(
        self, new_peer: NewPeer, new_client: NewClient, new_person: NewPerson
    ) -> None:
        founder, late = await new_client("founder"), await new_person("late")
        anna = await new_peer("anna", owner=founder.user_id)
        room_id = await encrypted_room(founder, anna.account.user_id)
        await joined(anna, room_id)
        await anna.transport.send(parcel(room_id, "before"))
        await founder.invite(room_id, late.user_id)
        await late.client.join(room_id)
        bert = await new_peer("bert", owner=founder.user_id)
        await founder.invite(room_id, bert.account.user_id)
        await joined(bert, room_id)
        await anna.transport.send(parcel(room_id, "after"))
        await arrived(bert, "after")
        await late.until(lambda: "after" in late.bodies())
        assert "before" not in late.bodies() and not found(bert, "before")
        health = bert.transport.encryption
        assert (health.history, health.unreadable, health.given_up) == (1, 0, 0), "what was before is not missing"
        sessions = {event["content"]["session_id"] for event in await encrypted_events(founder, room_id)}
        assert len(sessions) == 1, "nobody else is told anything for one who comes"

    async def test_who_leaves_cannot_read_what_follows(
        self, new_peer: NewPeer, new_client: NewClient, new_person: NewPerson
    ) -> None:
        founder, leaver = await new_client("founder"), await new_person("leaver")
        anna = await new_peer("anna", owner=founder.user_id)
        room_id = await encrypted_room(founder, anna.account.user_id, leaver.user_id)
        await joined(anna, room_id)
        await leaver.client.join(room_id)
        await anna.transport.send(parcel(room_id, "with you"))
        await leaver.until(lambda: "with you" in leaver.bodies())
        await leaver.client.room_leave(room_id)
        await anna.transport.send(parcel(room_id, "without you"))
        await arrived(anna, "without you")
        await leaver.sync()
        first, second = [event["content"]["session_id"] for event in await encrypted_events(founder, room_id)]
        assert first != second
        known = {session.id for session in leaver.client.olm.inbound_group_store}
        assert first in known and second not in known

    async def test_a_device_that_is_logged_out_cannot_read_what_follows(
        self, new_peer: NewPeer, new_client: NewClient, new_person: NewPerson
    ) -> None:
        founder, paula = await new_client("founder"), await new_person("paula")
        anna = await new_peer("anna", owner=founder.user_id)
        room_id = await encrypted_room(founder, anna.account.user_id, paula.user_id)
        await joined(anna, room_id)
        await paula.client.join(room_id)
        await anna.transport.send(parcel(room_id, "one"))
        await arrived(anna, "one")
        await paula.client.logout()
        await founder.send(room_id, "net.clawnet.marker", {})
        await anna.until(lambda: any("marker" in delivery.event for delivery in anna.received))
        await anna.transport.send(parcel(room_id, "two"))
        first, second = [event["content"]["session_id"] for event in await encrypted_events(founder, room_id)]
        assert first != second


class TestNeverInTheOpen:
    async def test_whatever_the_server_says_of_the_room(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder = await new_client("founder")
        room_id = await founder.create_room(preset="public_chat")
        anna = await new_peer("anna", homeserver=front.url)
        await anna.join(room_id)
        await anna.transport.send(parcel(room_id, "in the open"))
        await founder.send_state(room_id, "m.room.encryption", "", MEGOLM)
        await anna.until(lambda: any(room.encrypted for room in anna.transport.rooms()))
        await anna.transport.send(parcel(room_id, "hidden one"))

        def lie(path: str, body: bytes) -> bytes:
            return body.replace(b'"m.room.encryption"', b'"m.room.nothing"')

        front.spoil = lie
        front.fault = lambda request: (
            web.json_response({"errcode": "M_NOT_FOUND", "error": "no such state"}, status=404)
            if request.path.endswith("/state/m.room.encryption/") or request.path.endswith("/state/m.room.encryption")
            else None
        )
        await anna.transport.send(parcel(room_id, "hidden two"))
        await anna.restart()
        await anna.transport.send(parcel(room_id, "hidden three"))
        await founder.request("POST", f"/rooms/{room_id}/kick", {"user_id": anna.account.user_id})
        await anna.until(lambda: not anna.transport.rooms())
        room = await anna.join(room_id)
        assert room.encrypted
        await anna.transport.send(parcel(room_id, "hidden four"))
        told = [event["content"].get("body") for event in await founder.messages(room_id)]
        assert [body for body in told if body] == ["in the open"]
        assert len(await encrypted_events(founder, room_id)) == 4

    async def test_a_reader_is_encrypted_to_and_says_nothing(self, new_peer: NewPeer, new_client: NewClient) -> None:
        founder = await new_client("founder")
        room_id = await founder.create_room(preset="public_chat")
        await founder.send_state(room_id, "m.room.encryption", "", MEGOLM)
        reader = await new_peer("reader", rooms=(room_id,), reads_only=True)
        await joined(reader, room_id)
        user = reader.account.user_id
        devices = (await founder.request("POST", "/keys/query", {"device_keys": {user: []}}))["device_keys"][user]
        assert devices.keys() == {reader.transport.device}
        direct = Parcel(txn="t", plane="direct", address=reader.address, device=reader.transport.device)
        for words in (parcel(room_id, "words"), direct):
            with pytest.raises(Refused) as caught:
                await reader.transport.send(words)
            assert caught.value.code == "matrix.reads_only"
        assert not await encrypted_events(founder, room_id)

    async def test_what_others_say_in_the_open_counts_for_nothing(
        self, new_peer: NewPeer, new_client: NewClient
    ) -> None:
        founder = await new_client("founder")
        anna = await new_peer("anna", owner=founder.user_id)
        room_id = await encrypted_room(founder, anna.account.user_id)
        await joined(anna, room_id)
        await founder.send_text(room_id, "in the name of anybody")
        await anna.transport.send(parcel(room_id, "mine"))
        await arrived(anna, "mine")
        assert not found(anna, "in the name")
        assert anna.transport.encryption.plain == 1

    async def test_an_unsealed_direct_message_about_an_encrypted_room(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder, anna, bert, room_id = await two(new_client, new_peer, annas=front.url)
        speaking = json.dumps(
            {"clawnet": "1", "kid": "k", "sig": "s", "env": json.dumps({"room": addresses.room_uri(room_id)})}
        )
        sealed = json.dumps({"clawnet": "1", "seal_key": "k", "sealed": "text"})

        async def tell(txn: str, carrier: str) -> None:
            to = {"address": bert.address, "device": bert.transport.device}
            await anna.transport.send(Parcel(txn=txn, plane="direct", carriers=(carrier,), **to))

        await tell("1", speaking)
        assert front.count("/sendToDevice/m.room.encrypted") == 1
        assert front.count("/sendToDevice/net.clawnet.direct") == 0
        await tell("2", sealed)
        assert front.count("/sendToDevice/net.clawnet.direct") == 1
        await bert.until(lambda: sum(delivery.plane == "direct" for delivery in bert.received) == 2)
        direct = [delivery for delivery in bert.received if delivery.plane == "direct"]
        assert [bert.transport.carriers(delivery) for delivery in direct] == [
            [json.loads(speaking)], [json.loads(sealed)]
        ]  # fmt: skip
        assert {delivery.sender for delivery in direct} == {anna.address}
        with pytest.raises(Refused) as caught:
            nobody = addresses.user_uri(founder.user_id)
            await anna.transport.send(
                Parcel(txn="3", plane="direct", address=nobody, device="NOWHERE", carriers=(speaking,))
            )
        assert caught.value.code == "matrix.no_keys"
