"""What arrives: nothing lost, nothing twice, everything in order, and the past is never work."""

from __future__ import annotations

import json
import logging

import pytest
from aiohttp import web

from bots.transports.matrix import addresses, arrivals
from tests.conftest import NewClient, NewRoom
from tests.matrix_client import MatrixClient
from tests.transports.conftest import Front, NewPeer


async def say(client: MatrixClient, room_id: str, *numbers: int) -> None:
    for number in numbers:
        await client.send_text(room_id, str(number))


def told(numbers: range | list[int], *, live: bool) -> list[tuple[str, bool]]:
    return [(str(number), live) for number in numbers]


async def test_a_newcomer_gets_the_past_as_context_and_the_rest_live(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    await say(alice, room_id, *range(1, 6))
    anna = await new_peer("anna")
    await anna.join(room_id)
    await say(alice, room_id, *range(6, 9))
    assert await anna.bodies(8) == told(range(1, 6), live=False) + told(range(6, 9), live=True)
    # A new name is a membership event, but no second join.
    await alice.request("PUT", f"/profile/{alice.user_id}/displayname", {"displayname": "Alice"})
    await anna.restart()
    await say(alice, room_id, 9)
    assert (await anna.bodies(9))[-1] == ("9", True)


async def test_rooms_of_before_the_first_sync_are_context(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", start=False)
    await anna.transport.connect()
    await anna.transport.join(room_id)
    await say(alice, room_id, 1, 2)
    device = anna.transport.device
    await alice.send_to_device(anna.account.user_id, device, "net.clawnet.direct", {"net.clawnet.carriers": [{}]})
    await anna.start()
    assert await anna.bodies(2) == told(range(1, 3), live=False)
    assert [delivery.live for delivery in anna.received if delivery.plane == "direct"] == [False]
    assert [room.uri for room in anna.joined] == [addresses.room_uri(room_id)]


@pytest.mark.parametrize("when", ["before the first sync", "later"])
async def test_how_much_past_a_newcomer_gets(
    when: str, new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "CONTEXT_EVENTS", 130)
    alice = await new_client("alice")
    room_id = await new_room(alice)
    await say(alice, room_id, *range(1, 151))
    anna = await new_peer("anna", start=when == "later")
    if when == "later":
        await anna.join(room_id)
        await say(alice, room_id, 151)
        expected = told(range(21, 151), live=False) + told([151], live=True)
    else:
        await anna.transport.connect()
        await anna.transport.join(room_id)
        await anna.start()
        expected = told(range(21, 151), live=False)
    found = await anna.bodies(len(expected))
    assert found[-130:] == expected[-130:]
    assert len(found) <= 131


async def test_a_restart_continues_where_it_was(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna")
    await anna.join(room_id)
    await say(alice, room_id, 1, 2)
    await anna.bodies(2)
    await anna.stop()
    await say(alice, room_id, 3, 4)
    content = {"net.clawnet.carriers": [{"n": 1}]}
    await alice.send_to_device(anna.account.user_id, anna.transport.device, "net.clawnet.direct", content)
    anna.open()
    assert [room.uri for room in anna.transport.rooms()] == [addresses.room_uri(room_id)], "known at once"
    await anna.start()
    await say(alice, room_id, 5)
    assert await anna.bodies(5) == told(range(1, 6), live=True)
    assert [delivery.live for delivery in anna.received if delivery.plane == "direct"] == [True]
    assert len({delivery.event_id for delivery in anna.received if delivery.event_id}) == 5


async def test_a_long_absence_is_caught_up_in_order(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", homeserver=front.url)
    await anna.join(room_id)
    await say(alice, room_id, 1)
    await anna.bodies(1)
    await anna.stop()
    await say(alice, room_id, *range(2, 252))
    anna.open()
    await anna.start()
    assert await anna.bodies(251) == told(range(1, 252), live=True)
    assert front.count("/messages") >= 2, "it was not all in one answer"


async def test_a_homeserver_that_pages_too_far_back(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    await say(alice, room_id, *range(1, 6))
    anna = await new_peer("anna", homeserver=front.url)
    await anna.join(room_id)
    await say(alice, room_id, 6)
    await anna.bodies(6)
    await anna.stop()
    # What it would have had of the room is forgotten, so that nothing but the position can tell.
    anna.open()
    anna.store._database.execute("DELETE FROM inbox")
    await say(alice, room_id, *range(7, 177))
    front.drop_query = "to"
    await anna.start()
    assert await anna.bodies(170) == told(range(7, 177), live=True)


async def test_too_long_an_absence_is_cut_and_said(
    new_peer: NewPeer,
    new_client: NewClient,
    new_room: NewRoom,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(arrivals, "GAP_EVENTS", 15)
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna")
    await anna.join(room_id)
    await anna.stop()
    await say(alice, room_id, *range(1, 121))
    anna.open()
    with caplog.at_level(logging.ERROR):
        await anna.start()
    assert await anna.bodies(115) == told(range(6, 121), live=True)
    assert "more was missed" in caplog.text


async def test_trouble_while_catching_up_loses_nothing(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", homeserver=front.url)
    await anna.join(room_id)
    await anna.stop()
    await say(alice, room_id, *range(1, 121))
    troubles = [
        web.json_response({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1}, status=429),
        web.json_response({"errcode": "M_UNKNOWN"}, status=500),
        web.Response(text="<html>"),
    ]

    def fault(request: web.Request) -> web.Response | None:
        return troubles.pop() if troubles and "/messages" in request.path else None

    front.fault = fault
    anna.open()
    await anna.start()
    assert await anna.bodies(120) == told(range(1, 121), live=True)
    assert not troubles


async def test_what_is_kept_and_what_is_not(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna")
    await anna.join(room_id)
    target = await alice.send_text(room_id, "secret")
    await anna.bodies(1)
    await alice.send_state(room_id, "m.room.topic", "", {"topic": "agents"})
    await alice.send(
        room_id, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": "x"}}
    )
    await alice.send_state(room_id, "net.clawnet.announce", "", {"net.clawnet.carriers": [{}]})
    await alice.request("PUT", f"/rooms/{room_id}/redact/{target}/1", {})
    await alice.send_to_device(anna.account.user_id, "*", "m.other", {})
    await say(alice, room_id, 1)
    await anna.bodies(2)
    kinds = [json.loads(delivery.event)["type"] for delivery in anna.received]
    assert kinds == ["m.room.message", "net.clawnet.announce", "m.room.redaction", "m.room.message"]
    state = anna.received[1]
    assert anna.transport.carriers(state) == [], "carriers travel in messages only"


async def test_rooms_we_leave_are_gone_and_what_happens_after_a_return_is_live(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna")
    await anna.join(room_id)
    await say(alice, room_id, 1)
    kick = {"user_id": anna.account.user_id}
    await alice.request("POST", f"/rooms/{room_id}/kick", kick)
    await say(alice, room_id, 2)
    await anna.until(lambda: not anna.transport.rooms())
    assert await anna.bodies(1) == told([1], live=True)
    await anna.join(room_id)
    await say(alice, room_id, 3)
    assert await anna.bodies(3) == [("1", True), ("2", False), ("3", True)]
    assert len(anna.joined) == 2


async def test_hostile_events_do_not_stop_the_sync(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    """Homeservers differ in what they let through; ours must survive what theirs sends."""
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", homeserver=front.url)
    await anna.join(room_id)
    bombs = [
        b'{"type":"m.room.message","sender":"%s","event_id":"$deep","content":{"body":%s}}',
        b'{"type":"m.room.message","sender":"%s","event_id":"$half","content":{"body":"\\ud800"}}',
        b'{"type":"m.room.message","sender":"nobody","event_id":"$nobody","content":{}}',
        b'{"type":7}',
        b"[]",
        b'{"type":"m.room.message","sender":"%s","event_id":"$big","content":{"body":1e999}}',
    ]
    bombs[0] = bombs[0].replace(b"%s", b"@eve:example.org", 1).replace(b"%s", b"[" * 9999 + b"]" * 9999)
    bombs = [bomb.replace(b"%s", b"@eve:example.org") for bomb in bombs]

    def spoil(path: str, body: bytes) -> bytes:
        if path.endswith("/sync"):
            body = body.replace(b'"events":[', b'"events":[' + b",".join(bombs) + b",", 1) if b'"7"' in body else body
        return body

    front.spoil = spoil
    await say(alice, room_id, 7)
    found = await anna.bodies(1)
    assert ("7", True) in found
    assert {"$deep", "$half", "$big"} <= {delivery.event_id for delivery in anna.received}
    assert "$nobody" not in {delivery.event_id for delivery in anna.received}
    for delivery in anna.received:
        assert anna.transport.carriers(delivery) == []
        anna.transport.person_text(delivery)
        anna.transport.thread_root(delivery)
    await say(alice, room_id, 8)
    await anna.until(lambda: any('"8"' in delivery.event for delivery in anna.received))


async def test_an_idle_transport_asks_seldom_and_writes_nothing(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", homeserver=front.url)
    await anna.join(room_id)
    before, commits = len(front.seen), anna.commits
    # One round trip of another client: time enough for a loop that spins to show.
    other = await new_client("other")
    await other.sync()
    await other.sync(timeout_ms=300)
    assert len(front.seen) - before <= 2
    assert anna.commits == commits
