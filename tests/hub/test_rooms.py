from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from bots.hub.archive import Bounds
from bots.hub.hub import Settings
from bots.serving.limits import Allowance
from clawnet_proto.carrier import sign, verify
from clawnet_proto.families import handshake, presence
from tests.hub.visitor import Visitor
from tests.proto.authoring import Author
from tests.proto.samples import announce, rotation

if TYPE_CHECKING:
    from tests.hub.conftest import NewHub, Running


async def test_what_one_posts_another_reads_byte_for_byte(hub: Running, ada: Visitor, bert: Visitor) -> None:
    carrier = ada.announce(hub.room())
    async with bert.stream(hub.room()) as stream:
        assert (await stream.next())[1] == "caught-up"
        status, answer = await ada.say(hub.room(), carrier)
        event, kind, data = await stream.next()
    assert status == 200
    assert kind == "message"
    assert answer["results"] == [{"id": verify(carrier).id, "event": event}]
    assert data["sender"] == ada.address
    assert data["received_ms"] == hub.clock.ms
    (arrived,) = data["carriers"]
    assert arrived == json.loads(carrier)
    assert verify(json.dumps(arrived, separators=(",", ":"))).id == verify(carrier).id


async def test_a_reader_goes_on_where_it_was(hub: Running, ada: Visitor, bert: Visitor) -> None:
    events = [(await ada.say(hub.room(), ada.announce(hub.room())))[1]["results"][0]["event"] for _ in range(5)]
    async with bert.stream(hub.room(), after=events[2]) as stream:
        assert [(await stream.next())[0] for _ in range(2)] == events[3:]
        assert (await stream.next())[:2] == (events[4], "caught-up")
    _, answer = await bert.read(hub.room(), after=events[3])
    assert [event["id"] for event in answer["events"]] == events[4:]
    assert (answer["after"], answer["caught_up"]) == (events[4], True)


async def test_who_reads_an_empty_room_has_a_position(hub: Running, ada: Visitor, bert: Visitor) -> None:
    async with bert.stream(hub.room()) as stream:
        position, kind, _ = await stream.next()
    assert kind == "caught-up"
    _, answer = await bert.read(hub.room())
    assert answer == {"events": [], "after": position, "caught_up": True}
    await ada.say(hub.room(), ada.announce(hub.room()))
    _, answer = await bert.read(hub.room(), after=position)
    assert len(answer["events"]) == 1


async def test_a_long_poll_waits_for_what_comes(hub: Running, ada: Visitor, bert: Visitor) -> None:
    reading = asyncio.ensure_future(bert.read(hub.room(), wait="20"))
    _, posted = await ada.say(hub.room(), ada.announce(hub.room()))
    _, answer = await reading
    assert [event["id"] for event in answer["events"]] == [posted["results"][0]["event"]]


async def test_a_repeated_request_is_no_second_event(hub: Running, ada: Visitor, bert: Visitor) -> None:
    carrier = ada.announce(hub.room())
    first, second = await ada.say(hub.room(), carrier), await ada.say(hub.room(), carrier)
    assert first == second
    _, answer = await bert.read(hub.room())
    assert len(answer["events"]) == 1


async def test_one_bad_carrier_spoils_no_other(hub: Running, ada: Visitor, bert: Visitor) -> None:
    good = ada.announce(hub.room())
    forged = json.loads(ada.announce(hub.room()))
    forged["env"] = forged["env"].replace("writer", "reader")
    status, answer = await ada.say(hub.room(), json.dumps(forged).encode(), b"17", good)
    assert status == 200
    assert [result.get("code", "") for result in answer["results"]] == ["signature.invalid", "carrier.malformed", ""]
    _, read = await bert.read(hub.room())
    assert [event["carriers"] for event in read["events"]] == [[json.loads(good)]]


async def test_what_is_of_another_room_or_plane_or_time(hub: Running, ada: Visitor, bert: Visitor) -> None:
    hello = ada.author.carrier(
        handshake.Hello(versions=("1",), address=presence.Address(uri=ada.address)),
        room=hub.room(),
        sent_ms=hub.clock.ms,
        recipients=(bert.author.did,),
    )
    old = ada.announce(hub.room(), expires_ms=hub.clock.ms + 5000)
    hub.clock.ms += 10_000
    for carrier, code in (
        (ada.announce(hub.room("other")), "room.mismatch"),
        (hello, "plane.mismatch"),
        (old, "time.expired"),
    ):
        status, answer = await ada.say(hub.room(), carrier)
        assert (status, answer["results"][0]["code"]) == (400, code)
    assert (await bert.read(hub.room()))[1]["events"] == []


async def test_a_room_of_another_transport_keeps_its_name(hub: Running, ada: Visitor, bert: Visitor) -> None:
    room = "matrix:roomid/abc:example.org"
    url = hub.room("matrix%3Aroomid%2Fabc%3Aexample.org")
    assert hub.names.url(room) == url
    status, _ = await ada.say(url, ada.announce(room))
    assert status == 200
    assert (await ada.say(url, ada.announce(url)))[1]["results"][0]["code"] == "room.mismatch"
    assert len((await bert.read(url))[1]["events"]) == 1


@pytest.mark.parametrize(
    "segment",
    [
        "",
        ".",
        "Upper",
        "-dash",
        "a" * 65,
        "%FF%3Ax",
        "no%2Furi",
        "a%0A%3Ab",
    ],
)
async def test_what_is_no_name_of_a_room(hub: Running, session: aiohttp.ClientSession, segment: str) -> None:
    async with session.get(URL(f"{hub.base}/rooms/{segment}", encoded=True)) as response:
        assert response.status == 404


async def test_members_are_who_announced_themselves(hub: Running, ada: Visitor, bert: Visitor) -> None:
    await ada.say(hub.room(), ada.announce(hub.room()))
    await bert.say(hub.room(), bert.announce(hub.room(), expires_ms=hub.clock.ms + 5000))
    members = f"{hub.room()}/members"
    assert (await ada.read(members))[1] == {"members": sorted([ada.address, bert.address])}
    hub.clock.ms += 6000
    assert (await ada.read(members))[1] == {"members": [ada.address]}
    leave = ada.author.carrier(presence.Leave(revision=1), room=hub.room(), sent_ms=hub.clock.ms)
    assert (await ada.say(hub.room(), leave))[0] == 200
    assert (await ada.read(members))[1] == {"members": []}


async def test_who_posts_for_others_is_named_and_makes_no_members(hub: Running, ada: Visitor, bert: Visitor) -> None:
    carrier = ada.announce(hub.room())
    status, answer = await bert.say(hub.room(), carrier, signed=True)
    assert status == 200
    _, read = await ada.read(hub.room())
    assert [event["sender"] for event in read["events"]] == [bert.address]
    assert (await ada.read(f"{hub.room()}/members"))[1] == {"members": []}
    # The copy of a relay does not use up the original's place.
    _, original = await ada.say(hub.room(), carrier)
    assert original["results"][0]["event"] != answer["results"][0]["event"]
    assert (await ada.read(f"{hub.room()}/members"))[1] == {"members": [ada.address]}


async def test_a_key_has_its_limit_and_is_told_when_to_come_again(
    new_hub: NewHub, session: aiohttp.ClientSession
) -> None:
    hub = await new_hub(Settings(per_key=Allowance(3, 1)))
    ada, bert = (Visitor(name, hub.base, session, hub.clock) for name in ("ada", "bert"))
    carriers = [ada.announce(hub.room()) for _ in range(5)]
    _, answer = await ada.say(hub.room(), *carriers)
    assert [result.get("code", "") for result in answer["results"]] == ["", "", "", *["hub.rate_limited"] * 2]
    async with session.post(
        hub.room(), data=b'{"carriers":[' + carriers[4] + b"]}", headers={"Content-Type": "application/json"}
    ) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "1")
    assert (await bert.say(hub.room(), bert.announce(hub.room())))[0] == 200
    hub.clock.ms += 2000
    assert (await ada.say(hub.room(), *carriers))[0] == 200
    assert len((await bert.read(hub.room()))[1]["events"]) == 3


async def test_a_network_address_has_its_limit_whatever_it_sends(
    new_hub: NewHub, session: aiohttp.ClientSession
) -> None:
    hub = await new_hub(Settings(per_network=Allowance(10, 1)))
    ada = Visitor("ada", hub.base, session, hub.clock)
    statuses = [(await ada.say(hub.room(), b"1", b"2", b"3", b"4"))[0] for _ in range(4)]
    assert statuses == [400, 400, 429, 429]


async def test_a_banned_key(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(Settings(banned=(Author("ada").did,)))
    ada, bert = (Visitor(name, hub.base, session, hub.clock) for name in ("ada", "bert"))
    carrier = ada.announce(hub.room())
    assert (await ada.say(hub.room(), carrier))[0] == 403
    assert (await bert.say(hub.room(), carrier, signed=True))[0] == 403


async def test_rooms_are_bounded(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(bounds=Bounds(rooms=2))
    ada = Visitor("ada", hub.base, session, hub.clock)
    for name, status in (("a", 200), ("b", 200), ("c", 403), ("a", 200)):
        assert (await ada.say(hub.room(name), ada.announce(hub.room(name))))[0] == status


async def test_what_is_dropped_is_told_to_who_would_miss_it(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(
        Settings(per_key=Allowance(10_000, 1000), per_network=Allowance(10_000, 1000)), Bounds(room_events=50)
    )
    ada = Visitor("ada", hub.base, session, hub.clock)
    events = [(await ada.say(hub.room(), ada.announce(hub.room())))[1]["results"][0]["event"] for _ in range(200)]
    status, answer = await ada.read(hub.room(), after=events[10])
    assert (status, answer["code"]) == (410, "history.gone")
    _, answer = await ada.read(hub.room())
    assert [event["id"] for event in answer["events"]] == events[150:]
    assert (await ada.read(hub.room(), after=events[149]))[0] == 200


@pytest.mark.parametrize("position", ["nonsense", "00000000-3", "x" * 65, "-1"])
async def test_a_position_of_another_hub(hub: Running, ada: Visitor, position: str) -> None:
    status, answer = await ada.read(hub.room(), after=position)
    assert (status, answer["code"]) == (410, "history.gone")


async def test_a_restart_keeps_what_was_said(hub: Running, ada: Visitor) -> None:
    _, posted = await ada.say(hub.room(), ada.announce(hub.room()))
    await hub.stop()
    await hub.start()
    _, answer = await ada.read(hub.room())
    assert [event["id"] for event in answer["events"]] == [posted["results"][0]["event"]]
    assert (await ada.read(f"{hub.room()}/members"))[1] == {"members": [ada.address]}


async def test_nobody_speaks_in_the_name_of_another(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    """Whoever signs with a key of his own and names another as the sender is taken for himself, and pays himself."""
    hub = await new_hub(Settings(per_key=Allowance(3, 1)))
    ada, eve = (Visitor(name, hub.base, session, hub.clock) for name in ("ada", "eve"))
    body = announce(ada.author, 9, addresses=(presence.Address(uri=ada.address),))
    forged = [
        sign(eve.author.key, ada.author.envelope(body, kid=eve.author.did, room=hub.room(), sent_ms=hub.clock.ms))[0]
        for _ in range(3)
    ]
    assert (await eve.say(hub.room(), *forged))[0] == 200
    _, read = await ada.read(hub.room())
    assert {event["sender"] for event in read["events"]} == {eve.address}
    assert (await ada.read(f"{hub.room()}/members"))[1]["members"] == []
    assert (await eve.say(hub.room(), eve.announce(hub.room())))[0] == 429
    assert (await ada.say(hub.room(), ada.announce(hub.room())))[0] == 200


async def test_a_rotation_and_what_the_new_key_says_may_come_together(
    hub: Running, session: aiohttp.ClientSession
) -> None:
    ada, new = Visitor("ada", hub.base, session, hub.clock), Author("ada's next")
    body = rotation(ada.author, new, since_ms=hub.clock.ms)
    rotate = sign(new.key, ada.author.envelope(body, kid=new.did, room=hub.room(), sent_ms=hub.clock.ms))[0]
    here = announce(ada.author, 2, addresses=(presence.Address(uri=ada.address),))
    hello = sign(new.key, ada.author.envelope(here, kid=new.did, room=hub.room(), sent_ms=hub.clock.ms))[0]
    both = b'{"carriers":[' + rotate + b"," + hello + b"]}"
    proof = Visitor("ada's next", hub.base, session, hub.clock).proof("POST", hub.room(), both)
    status, answer = await ada.post(hub.room(), both, proof=proof)
    assert (status, [result.get("code", "") for result in answer["results"]]) == (200, ["", ""])
    _, read = await ada.read(hub.room())
    assert {event["sender"] for event in read["events"]} == {ada.address}
    assert (await ada.read(f"{hub.room()}/members"))[1]["members"] == [ada.address]
    status, answer = await ada.say(hub.room(), ada.announce(hub.room()))
    assert (status, answer["results"][0]["code"]) == (400, "key.retired")


async def test_a_carrier_that_no_parser_takes_spoils_no_other(hub: Running, ada: Visitor) -> None:
    status, answer = await ada.say(hub.room(), b'{"kid":"\\ud800"}', b"1e999999", ada.announce(hub.room()))
    assert status == 200
    assert [result.get("code", "") for result in answer["results"]] == ["carrier.malformed", "carrier.malformed", ""]
