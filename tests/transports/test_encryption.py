"""Encrypted rooms at a real homeserver: agents among themselves, and with a client that is not ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bots.errors import Refused, StoreError
from bots.transports import Parcel
from bots.transports.matrix import addresses, encryption_waiting, transport
from tests.conftest import NewAccount, NewClient
from tests.matrix_client import MatrixClient
from tests.transports.conftest import Front, NewPeer
from tests.transports.encrypted_room import CARRIER, MEGOLM, arrived, encrypted_room, found, joined, parcel, two
from tests.transports.encryption_person import EncryptingPerson

NewPerson = Callable[[str], Awaitable[EncryptingPerson]]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption_waiting, "FIRST_S", 0.05)
    monkeypatch.setattr(transport, "_POLL_S", 1.0)


@pytest.fixture
async def new_person(new_account: NewAccount, tmp_path: Path) -> AsyncIterator[NewPerson]:
    async with AsyncExitStack() as stack:

        async def make(name: str) -> EncryptingPerson:
            account = await new_account(name)
            return await stack.enter_async_context(EncryptingPerson(account, tmp_path / account.name))

        yield make


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


class TestTooLargeForAnEvent:
    async def test_carriers_go_by_way_of_the_media_repository(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        founder, anna, bert, room_id = await two(new_client, new_peer, annas=front.url)
        large = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 49_000})
        for size, media in ((40_000, 0), (45_500, 0), (46_500, 1), (49_000, 2)):
            carrier = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * size})
            await anna.transport.send(parcel(room_id, f"of {size}", carriers=(carrier,), thread_root=""))
            assert front.count("/media/v3/upload") == media, size
            assert bert.transport.carriers(await arrived(bert, f"of {size}")) == [json.loads(carrier)]
        several = (json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 3_700}),) * 16
        await anna.transport.send(parcel(room_id, "sixteen", carriers=several))
        assert len(bert.transport.carriers(await arrived(bert, "sixteen"))) == 16
        assert large not in str(await founder.messages(room_id))

    async def test_media_that_is_away_for_a_moment(
        self, new_peer: NewPeer, new_client: NewClient, front: Front
    ) -> None:
        _, anna, bert, room_id = await two(new_client, new_peer, berts=front.url)
        failing = 1

        def fault(request: web.Request) -> web.Response | None:
            nonlocal failing
            if "/media/download/" in request.path and failing:
                failing -= 1
                return web.Response(status=502)
            return None

        front.fault = fault
        carrier = json.dumps({"clawnet": "1", "kid": "k", "sig": "s", "env": "e" * 48_000})
        await anna.transport.send(parcel(room_id, "large", carriers=(carrier,)))
        assert bert.transport.carriers(await arrived(bert, "large")) == [json.loads(carrier)]
        assert bert.transport.encryption.recovered == 1

    async def test_chunks_of_artifacts_are_hidden_from_the_media_repository(
        self, new_peer: NewPeer, new_client: NewClient
    ) -> None:
        founder = await new_client("founder")
        anna, bert = await new_peer("anna", owner=founder.user_id), await new_peer("bert")
        open_uri = await anna.transport.store_chunk(b"in the open")
        assert "#" not in open_uri
        room_id = await encrypted_room(founder, anna.account.user_id)
        await joined(anna, room_id)
        uri = await anna.transport.store_chunk(b"a long output")
        place, _, key = uri.partition("#")
        assert len(key) == 43 and len(uri) <= 300
        assert await bert.transport.fetch_chunk(uri, 100) == b"a long output"
        assert await bert.transport.fetch_chunk(place, 100) != b"a long output"
        assert await bert.transport.fetch_chunk(open_uri, 100) == b"in the open"
        with pytest.raises(Refused):
            await bert.transport.fetch_chunk(place + "#tooshort", 100)


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


async def encrypted_events(client: MatrixClient, room_id: str) -> list[dict[str, Any]]:
    return [event for event in await client.messages(room_id) if event["type"] == "m.room.encrypted"]
