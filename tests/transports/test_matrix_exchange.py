"""Two agents' transports on a real homeserver: what one sends arrives at the other, once and in order."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest

from bots.errors import Refused
from bots.transports import Parcel
from bots.transports.matrix import addresses
from tests.conftest import NewClient, NewRoom
from tests.transports.conftest import Front, NewPeer

CARRIER = '{"clawnet":"1","env":"{\\"é\\":1}","kid":"did:key:z6Mk","sig":"c2ln"}'


def room_parcel(room: str, txn: str = "txn-1", **options: object) -> Parcel:
    fields = {"plane": "room", "room": room, "txn": txn, "carriers": (CARRIER,), "body": "one fact"}
    return Parcel(**(fields | options))  # type: ignore[arg-type]


async def test_room_parcels(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna, bert = await new_peer("anna"), await new_peer("bert")
    room = await anna.join(room_id)
    assert await bert.join(room_id) == room
    assert room.uri == addresses.room_uri(room_id)
    assert (room.public, room.encrypted) == (True, False)
    assert room.name.startswith("#room-")
    assert [(known.uri, known.members) for known in bert.transport.rooms()] == [(room.uri, 3)]

    event_id = await anna.transport.send(
        room_parcel(room.uri, mention=addresses.user_uri(alice.user_id), carriers=(CARRIER, CARRIER))
    )
    await bert.bodies(1)
    await anna.bodies(1)
    [theirs], [echo] = bert.received, anna.received
    assert theirs.event_id == echo.event_id == event_id
    assert (theirs.plane, theirs.room, theirs.sender, theirs.live) == ("room", room.uri, anna.address, True)
    assert bert.transport.carriers(theirs) == [json.loads(CARRIER)] * 2
    assert bert.transport.person_text(theirs) is None
    assert echo.sender == anna.address

    seen = await alice.wait_for(lambda event: event["event_id"] == event_id)
    assert seen["content"] == {
        "msgtype": "m.notice",
        "body": "one fact",
        "m.mentions": {"user_ids": [alice.user_id]},
        "net.clawnet.carriers": [json.loads(CARRIER)] * 2,
    }


async def test_direct_parcels(new_peer: NewPeer) -> None:
    anna, bert = await new_peer("anna"), await new_peer("bert")
    parcel = Parcel(
        txn="direct-1",
        plane="direct",
        address=bert.address,
        device=bert.transport.device,
        carriers=(CARRIER,),
    )
    assert await anna.transport.send(parcel) == ""
    assert await anna.transport.send(parcel) == "", "a retry"
    other = Parcel(txn="direct-2", plane="direct", address=bert.address, carriers=(CARRIER, CARRIER))
    await anna.transport.send(other)
    await bert.until(lambda: len(bert.received) >= 2)
    first, second = bert.received
    assert (first.plane, first.room, first.event_id, first.live) == ("direct", "", "", True)
    assert first.sender == anna.address
    assert bert.transport.carriers(first) == [json.loads(CARRIER)]
    assert len(bert.transport.carriers(second)) == 2, "without a device, all of the recipient's get it"
    assert bert.transport.thread_root(first) == ""


async def test_a_retry_is_no_second_event(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", homeserver=front.url)
    room = await anna.join(room_id)
    front.lose_answer = lambda request: "/send/" in request.path
    with pytest.raises(Exception, match="cannot be reached") as caught:
        await anna.transport.send(room_parcel(room.uri))
    assert getattr(caught.value, "code", "") == "matrix.unreachable"
    front.lose_answer = lambda request: False
    first = await anna.transport.send(room_parcel(room.uri))
    await anna.restart()
    assert await anna.transport.send(room_parcel(room.uri)) == first
    other = await anna.transport.send(room_parcel(room.uri, "txn-2"))
    sent = [
        event["event_id"]
        for event in await alice.messages(room_id)
        if event["sender"] == anna.account.user_id and event["type"] == "m.room.message"
    ]
    assert sent == [first, other]


async def test_threads(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna")
    room = await anna.join(room_id)
    root = await alice.send_text(room_id, "question")
    answer = await anna.transport.send(room_parcel(room.uri, thread_root=root))
    seen = await alice.wait_for(lambda event: event["event_id"] == answer)
    assert seen["content"]["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": root},
    }
    await anna.bodies(2)
    question, own = anna.received
    assert anna.transport.thread_root(question) == anna.transport.thread_root(own) == root

    # A thread inside a thread is refused by homeservers: the message is worth more than its place.
    inner = await anna.transport.send(room_parcel(room.uri, "txn-2", thread_root=answer))
    seen = await alice.wait_for(lambda event: event["event_id"] == inner)
    assert "m.relates_to" not in seen["content"]


async def test_a_persons_words(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", display_name="Anna the agent")
    await anna.join(room_id)
    await alice.send_text(room_id, "!claw peers")
    first = await alice.send_text(room_id, "Anna the agent: what is up?")
    await alice.send_text(
        room_id,
        "* now",
        **{
            "m.new_content": {"msgtype": "m.text", "body": "now"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": first},
        },
    )
    await anna.bodies(3)
    command, question, edit = (anna.transport.person_text(delivery) for delivery in anna.received)
    assert command and question and edit
    assert (command.text, command.mentions_us) == ("!claw peers", False)
    assert (question.text, question.mentions_us, question.thread_root) == ("what is up?", True, first)
    assert [words.edited for words in (command, question, edit)] == [False, False, True]
    # Her client shows the name we set.
    assert (await alice.request("GET", f"/profile/{anna.account.user_id}/displayname"))["displayname"] == (
        "Anna the agent"
    )


async def test_what_may_not_be_sent(new_peer: NewPeer, new_client: NewClient, new_room: NewRoom) -> None:
    alice = await new_client("alice")
    foreign = await new_room(alice, public=False)
    anna = await new_peer("anna")

    async def refusal(parcel: Parcel) -> str:
        with pytest.raises(Refused) as caught:
            await anna.transport.send(parcel)
        return caught.value.code

    assert await refusal(room_parcel(addresses.room_uri(foreign))) == "matrix.forbidden"
    assert await refusal(room_parcel("matrix:roomid/nowhere")) == "matrix.forbidden"
    assert await refusal(room_parcel("https://example.org")) == "matrix.bad_address"
    nobody = Parcel(txn="1", plane="direct", address="mailto:bob@example.org", carriers=(CARRIER,))
    assert await refusal(nobody) == "matrix.bad_address"


async def test_the_kept_login(new_peer: NewPeer) -> None:
    anna = await new_peer("anna")
    device = anna.transport.device
    [kept] = anna.directory.glob("matrix-session*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(anna.directory.stat().st_mode) == 0o700
    await anna.restart()
    await anna.restart()
    assert (anna.asked, anna.transport.device) == (1, device)
    assert anna.account.password not in kept.read_text()


async def test_what_follows_from_news_is_sent_before_the_next_poll(
    new_peer: NewPeer, new_client: NewClient, new_room: NewRoom, front: Front
) -> None:
    alice = await new_client("alice")
    room_id = await new_room(alice)
    anna = await new_peer("anna", homeserver=front.url)
    room = await anna.join(room_id)
    asked: list[int] = []
    answers: list[asyncio.Task[str]] = []

    def answer() -> None:
        if not asked:
            asked.append(len(front.seen))
            answers.append(asyncio.create_task(anna.transport.send(room_parcel(room.uri))))

    anna.store.subscribe(answer)
    await alice.send_text(room_id, "a question")
    assert [body for body, _ in await anna.bodies(2)] == ["a question", "one fact"]
    assert await answers[0]
    following = [method for method, _ in front.seen[asked[0] :]]
    assert following[:2] == ["PUT", "GET"]
