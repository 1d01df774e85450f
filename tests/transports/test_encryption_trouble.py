"""Encrypted rooms when things go wrong: what cannot be read, what is lost, and what fails half way."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from aiohttp import web

from bots.errors import StoreError
from bots.transports import Parcel
from bots.transports.matrix import addresses, encryption_waiting
from tests.conftest import NewClient
from tests.transports.conftest import Front, NewPeer, NewPerson
from tests.transports.encrypted_room import (
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


class TestWhatCannotBeRead:
    async def test_a_lost_key_is_asked_for_once_and_told_once_more(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        _, anna, bert, room_id = await two(new_client, new_peer, berts=front.url)
        losing = True

        def lose(path: str, body: bytes) -> bytes:
            if losing and path.endswith("/sync") and b"m.olm.v1" in body:
                answer = json.loads(body)
                answer["to_device"]["events"] = []
                return json.dumps(answer).encode()
            return body

        front.spoil = lose
        await anna.transport.send(parcel(room_id, "under a key that is lost"))
        await bert.until(lambda: bert.transport.encryption.unreadable == 1)
        assert not found(bert, "under a key")
        losing = False
        await anna.transport.send(parcel(room_id, "and one more"))
        await arrived(bert, "under a key that is lost")
        await arrived(bert, "and one more")
        health = bert.transport.encryption
        assert (health.unreadable, health.given_up) == (0, 0)
        assert health.recovered >= 1  # the key may come before the other event
        assert front.count("/sendToDevice/m.room_key_request") == 1
        await bert.restart()
        assert len(found(bert, "under a key that is lost")) == 1

    async def test_a_key_is_told_to_nobody_who_was_not_told_before(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder = await new_client("founder")
        anna = await new_peer("anna", owner=founder.user_id, homeserver=front.url)
        room_id = await encrypted_room(founder, anna.account.user_id)
        await joined(anna, room_id)
        await anna.transport.send(parcel(room_id, "secret"))
        (event,) = await encrypted_events(founder, room_id)
        wanted = {"algorithm": MEGOLM["algorithm"], "room_id": room_id, "session_id": event["content"]["session_id"]}
        stranger = await new_client("stranger")
        sent = front.count("/sendToDevice/")
        for client in (founder, stranger):
            for number in range(50):
                request = {
                    "action": "request", "request_id": str(number), "body": wanted,
                    "requesting_device_id": client.device_id,
                }  # fmt: skip
                await client.send_to_device(anna.account.user_id, "*", "m.room_key_request", request)
        await anna.transport.send(parcel(room_id, "later"))
        await arrived(anna, "later")
        assert front.count("/sendToDevice/") == sent

    async def test_a_flood_of_them_is_counted_and_takes_bounded_room(
        self, new_peer: NewPeer, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encryption_waiting, "WAITING_PER_SENDER", 10)
        founder, rogue = await new_client("founder"), await new_client("rogue")
        anna = await new_peer("anna", owner=founder.user_id)
        room_id = await encrypted_room(founder, anna.account.user_id, rogue.user_id)
        await joined(anna, room_id)
        await rogue.join(room_id)
        for number in range(30):
            content = {**MEGOLM, "ciphertext": "AwgA", "session_id": f"session {number}", "device_id": "NONE"}
            await rogue.send(room_id, "m.room.encrypted", content)
        await anna.until(lambda: anna.transport.encryption.given_up == 20)
        assert anna.transport.encryption.unreadable == 10
        await anna.transport.send(parcel(room_id, "not bothered"))
        await arrived(anna, "not bothered")


class TestWhenThingsGoWrong:
    async def test_a_commit_that_fails_loses_nothing(
        self, new_peer: NewPeer, new_client: NewClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, anna, bert, room_id = await two(new_client, new_peer)

        def full(*args: Any, **more: Any) -> None:
            raise StoreError("store.full", "The disk is full.")

        with monkeypatch.context() as patch:
            patch.setattr(bert.store, "commit", full)
            env = json.dumps({"room": addresses.room_uri(room_id)})
            speaking = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": env})
            direct = Parcel(txn="1", plane="direct", address=bert.address, carriers=(speaking,))
            await anna.transport.send(direct)
            await anna.transport.send(parcel(room_id, "while the disk was full"))
            with pytest.raises(StoreError):
                await bert.ended()
        await bert.stop()
        bert.open()
        await bert.start()
        await arrived(bert, "while the disk was full")
        await bert.until(lambda: any(delivery.plane == "direct" for delivery in bert.received))
        assert len(found(bert, "while the disk was full")) == 1

    async def test_sessions_that_are_lost_are_begun_anew(self, new_peer: NewPeer, new_client: NewClient) -> None:
        _, anna, bert, room_id = await two(new_client, new_peer)
        await bert.transport.send(parcel(room_id, "hello"))
        await arrived(anna, "hello")
        await anna.transport.send(parcel(room_id, "hello to you"))
        await arrived(bert, "hello to you")
        await bert.stop()
        with sqlite3.connect(bert.directory / "matrix-encryption.sqlite") as store:
            store.execute("DELETE FROM olm")
        store.close()
        await anna.restart()  # a new session, whose key bert cannot read
        await anna.transport.send(parcel(room_id, "can you hear me"))
        bert.open()
        await bert.start()
        await arrived(bert, "can you hear me")
        assert bert.transport.encryption.recovered == 1
        await anna.restart()
        await anna.transport.send(parcel(room_id, "and now"))
        await arrived(bert, "and now")
        assert bert.transport.encryption.recovered == 1

    async def test_a_round_that_fails_half_way_is_taken_up_again(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder, anna, bert, room_id = await two(new_client, new_peer, berts=front.url)
        await bert.stop()
        for number in range(120):
            await founder.send(room_id, "net.clawnet.marker", {"number": number})
        await anna.transport.send(parcel(room_id, "beyond the gap"))
        failing = 2

        def fault(request: web.Request) -> web.Response | None:
            nonlocal failing
            if request.path.endswith("/messages") and failing:
                failing -= 1
                return web.Response(status=502)
            return None

        front.fault = fault
        bert.open()
        await bert.start()
        await arrived(bert, "beyond the gap")
        assert not failing
        health = bert.transport.encryption
        assert (health.unreadable, health.given_up, health.recovered) == (0, 0, 0)

    async def test_keys_are_there_before_we_are(
        self, new_peer: NewPeer, new_client: NewClient, new_person: NewPerson, front: Front
    ) -> None:
        paula = await new_person("paula")
        anna = await new_peer("anna", owner=paula.user_id, homeserver=front.url)
        assert front.count("/keys/") == 0, "no keys for nothing"
        assert not (anna.directory / "matrix-encryption.sqlite").exists()
        answer = await paula.client.room_create(
            is_direct=True,
            invite=[anna.account.user_id],
            initial_state=[{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}],
        )
        await joined(anna, answer.room_id)
        paths = [path for method, path in front.seen if method == "POST"]
        (upload,), (join,) = (
            [place for place, path in enumerate(paths) if part in path] for part in ("/keys/upload", "/join/")
        )
        assert upload < join
        await paula.until(
            lambda: (
                answer.room_id in paula.client.rooms
                and anna.account.user_id in paula.client.rooms[answer.room_id].users
                and not paula.client.rooms[answer.room_id].invited_users
            )
        )
        await paula.say(answer.room_id, "hello agent")
        await arrived(anna, "hello agent")

    async def test_a_thread_is_seen_by_servers_and_nothing_else(
        self, new_peer: NewPeer, new_client: NewClient, new_person: NewPerson
    ) -> None:
        founder, paula = await new_client("founder"), await new_person("paula")
        anna = await new_peer("anna", owner=founder.user_id)
        room_id = await encrypted_room(founder, anna.account.user_id, paula.user_id)
        await joined(anna, room_id)
        await paula.client.join(room_id)
        await paula.until(lambda: room_id in paula.client.rooms and paula.client.rooms[room_id].encrypted)
        root = await paula.say(room_id, "a question")
        question = await arrived(anna, "a question")
        assert anna.transport.thread_root(question) == root
        mention = addresses.user_uri(paula.user_id)
        await anna.transport.send(parcel(room_id, "an answer", thread_root=root, mention=mention))
        answer = await arrived(anna, "an answer")
        assert anna.transport.thread_root(answer) == root
        assert json.loads(answer.event)["content"]["m.mentions"] == {"user_ids": [paula.user_id]}
        *_, event = await encrypted_events(founder, room_id)
        assert event["content"]["m.relates_to"]["event_id"] == root
        assert set(event["content"]) == {
            "algorithm", "ciphertext", "device_id", "sender_key", "session_id", "m.relates_to"
        }  # fmt: skip
        await paula.until(lambda: "an answer" in paula.bodies())
