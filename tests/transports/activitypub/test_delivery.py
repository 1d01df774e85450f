"""What we said goes where it should, in order, once, and as long as it is worth anything."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bots.errors import Refused, RetryLater
from bots.transports import Parcel
from bots.transports.activitypub import delivery, outgoing
from bots.transports.activitypub.contacts import Contact
from bots.transports.activitypub.delivery import outcome
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.transport import ActivityPubTransport
from clawnet_proto.families import presence
from tests.agent.virtual_time import until
from tests.proto.authoring import Author
from tests.transports.activitypub.server_of_tests import RawServer, answer
from tests.transports.activitypub.stranger import PATIENCE_S, Stranger
from tests.transports.resident import Resident
from tests.transports.worlds import ActivityPubWorld, Words, now_ms

if TYPE_CHECKING:
    from tests.transports.activitypub.conftest import NewStranger


def of(resident: Resident) -> ActivityPubTransport:
    assert isinstance(resident.transport, ActivityPubTransport)
    return resident.transport


def to(stranger: Stranger, txn: str, *carriers: str) -> Parcel:
    return Parcel(txn=txn, plane="direct", address=stranger.names.actor, device="inbox", carriers=carriers)


def carried(stranger: Stranger) -> list[object]:
    """What it got, in order."""
    notes = [one["object"] for one in stranger.of("Create")]
    return [carrier for note in notes for carrier in json.loads(note["clawnetCarriers"])["carriers"]]


async def nothing_waits(resident: Resident) -> None:
    await until(lambda: of(resident)._outgoing.waiting == 0, PATIENCE_S)


def answers(*statuses: int, **headers: str) -> list[web.Response]:
    return [web.Response(status=status, headers=headers) for status in statuses]


@pytest.mark.parametrize(
    "status, meaning",
    [
        (200, "taken"), (202, "taken"), (204, "taken"), (302, "later"), (400, "never"), (401, "later"),
        (403, "never"), (404, "never"), (408, "later"), (410, "never"), (413, "never"), (429, "later"),
        (500, "fault"), (501, "fault"), (502, "later"), (503, "later"), (504, "later"),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, meaning: str) -> None:
    assert outcome(status) == meaning


async def test_what_waits_outlives_a_restart_and_goes_in_order(ada: Resident, eve: Stranger, words: Words) -> None:
    carriers = [words.carrier() for _ in range(4)]
    eve.answer = lambda _: web.Response(status=503)
    for number, carrier in enumerate(carriers[:3]):
        assert await ada.transport.send(to(eve, f"t{number}", carrier)) == ""
    await ada.stop()
    eve.answer = lambda _: web.Response(status=202)
    ada.open()
    await ada.start()
    await ada.transport.send(to(eve, "t3", carriers[3]))
    await eve.got("Create", 4)
    assert carried(eve) == [json.loads(carrier) for carrier in carriers]
    await nothing_waits(ada)


async def test_the_same_parcel_is_the_same_activity(ada: Resident, eve: Stranger, words: Words) -> None:
    parcel, last = to(eve, "t1", words.carrier()), words.carrier()
    for _ in range(3):
        await ada.transport.send(parcel)
    await nothing_waits(ada)
    await ada.restart()
    await ada.transport.send(parcel)
    await ada.transport.send(to(eve, "t2", last))
    await eve.got("Create", 2)
    await nothing_waits(ada)
    assert carried(eve) == [json.loads(parcel.carriers[0]), json.loads(last)]


async def test_a_retry_is_the_same_activity(ada: Resident, eve: Stranger, words: Words) -> None:
    told: list[str] = []
    left = answers(503, 503, 202)

    def answer(request: web.Request) -> web.Response:
        told.append(request.headers["Digest"])
        return left.pop(0)

    eve.answer = answer
    await ada.transport.send(to(eve, "t1", words.carrier()))
    await eve.got("Create")
    assert len(set(told)) == 1


async def test_a_no_is_final_and_the_next_goes(ada: Resident, eve: Stranger, words: Words) -> None:
    first, second = words.carrier(), words.carrier()
    left = answers(403, 202)
    eve.answer = lambda _: left.pop(0)
    await ada.transport.send(to(eve, "t1", first))
    await ada.transport.send(to(eve, "t2", second))
    await eve.got("Create")
    assert carried(eve) == [json.loads(second)]


async def test_a_server_that_fails_at_one_activity_gets_the_next(
    ada: Resident, eve: Stranger, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_FAULTS", 2)
    left = answers(500, 500, 202)
    eve.answer = lambda _: left.pop(0)
    last = words.carrier()
    await ada.transport.send(to(eve, "t1", words.carrier()))
    await ada.transport.send(to(eve, "t2", last))
    await eve.got("Create")
    assert carried(eve) == [json.loads(last)] and left == []


async def test_a_server_says_when_to_come_again(ada: Resident, eve: Stranger, words: Words) -> None:
    at: list[float] = []
    left = answers(429, **{"Retry-After": "1"}) + answers(202)

    def answer(_: web.Request) -> web.Response:
        at.append(asyncio.get_running_loop().time())
        return left.pop(0)

    eve.answer = answer
    await ada.transport.send(to(eve, "t1", words.carrier()))
    await eve.got("Create")
    assert at[1] - at[0] >= 0.95


async def test_it_is_obeyed_though_that_server_is_there(ada: Resident, eve: Stranger, words: Words) -> None:
    eve.answer = lambda _: web.Response(status=429, headers={"Retry-After": "3600"})
    await ada.transport.send(to(eve, "t1", words.carrier()))
    courier = of(ada)._courier
    await until(lambda: courier._held, PATIENCE_S)
    await eve.post(of(ada).names.inbox, eve.says())
    assert eve.names.base in courier._held
    # Where nobody has answered, to be heard from is to be there.
    courier._told.clear()
    await eve.post(of(ada).names.inbox, eve.says())
    assert eve.names.base not in courier._held


async def test_who_leaves_waits_until_others_know(ada: Resident, new_stranger: NewStranger) -> None:
    eve, away = await new_stranger("eve"), await new_stranger("away", number=1)
    for one in (eve, away):
        await one.post(of(ada).names.inbox, one.follow(ada.address))
        await one.got("Create")
    await away.away()
    author = Author("ada")
    leave = author.carrier(presence.Leave(revision=1, reason="stopping"), room=PUBLIC, sent_ms=now_ms()).decode()
    async with asyncio.timeout(2):
        await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(leave,), body="bye"))
    assert carried(eve)[1] == json.loads(leave)


async def test_what_has_expired_is_not_brought_any_more(ada: Resident, eve: Stranger) -> None:
    await eve.away()
    env = json.dumps({"type": "handshake.hello", "expires_ms": 1})
    carrier = json.dumps({"clawnet": "1", "kid": "did:key:z", "env": env, "sig": "x"})
    with pytest.raises(RetryLater):  # nobody knows yet where its inbox is
        await ada.transport.send(to(eve, "t0", carrier))
    await eve.start(eve.port)
    of(ada)._verifier._acquaintances._absent.clear()
    await ada.transport.send(to(eve, "t1", carrier))
    await nothing_waits(ada)
    assert eve.posted == []


async def test_one_that_is_away_holds_up_nobody_else(ada: Resident, new_stranger: NewStranger, words: Words) -> None:
    eve, bert = await new_stranger("eve"), await new_stranger("bert", number=1)
    for one in (eve, bert):
        await one.post(of(ada).names.inbox, one.follow(ada.address))
        await one.got("Create")
    await eve.away()
    carrier = words.carrier()
    await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(carrier,), body="words"))
    await bert.got("Create", 2)
    assert carried(bert)[1] == json.loads(carrier)
    assert of(ada)._outgoing.waiting == 1


async def test_all_of_a_server_get_it_by_one_post(ada: Resident, new_stranger: NewStranger, words: Words) -> None:
    eve = await new_stranger("eve")
    transport = of(ada)
    # Two of one server, which has a shared inbox.
    for number, name in enumerate(("one", "two")):
        actor = f"{eve.names.base}/users/{name}"
        transport._contacts.add_follower(actor, f"{actor}#follow{number}")
        transport._contacts.know(Contact(actor, name, f"{actor}/inbox", eve.names.shared_inbox), 1)
    await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(words.carrier(),), body="words"))
    await eve.got("Create")
    await nothing_waits(ada)
    assert [path for method, path in eve.requests if method == "POST"] == ["/inbox"]


async def test_an_inbox_that_is_gone_is_forgotten(ada: Resident, eve: Stranger, words: Words) -> None:
    await eve.post(of(ada).names.inbox, eve.follow(ada.address))
    await eve.got("Create")
    eve.answer = lambda _: web.Response(status=410)
    await ada.transport.send(Parcel(txn="t1", plane="room", room=PUBLIC, carriers=(words.carrier(),), body="words"))
    await until(lambda: not of(ada)._contacts.followers(), PATIENCE_S)
    assert of(ada)._outgoing.waiting == 0


async def test_the_scheme_that_a_server_takes_is_remembered(ada: Resident, eve: Stranger, words: Words) -> None:
    def newer_only(request: web.Request) -> web.Response:
        return web.Response(status=202 if "Signature-Input" in request.headers else 401)

    eve.answer = newer_only
    await ada.transport.send(to(eve, "t1", words.carrier()))
    await eve.got("Create")
    await ada.restart()
    before = len(eve.requests)
    await ada.transport.send(to(eve, "t2", words.carrier()))
    await eve.got("Create", 2)
    assert len([one for one in eve.requests[before:] if one[0] == "POST"]) == 1


async def test_what_waits_for_one_server_is_bounded(
    ada: Resident, eve: Stranger, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "_WAITING_OF_SITE", 2)
    eve.answer = lambda _: web.Response(status=503)
    for number in range(2):
        await ada.transport.send(to(eve, f"t{number}", words.carrier()))
    with pytest.raises(RetryLater) as caught:
        await ada.transport.send(to(eve, "t2", words.carrier()))
    assert caught.value.code == "activitypub.full" and of(ada)._outgoing.waiting == 2


async def test_what_strangers_cause_leaves_space_for_what_we_say(
    ada: Resident, new_stranger: NewStranger, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "_CAUSED_OF_SITE", 3)
    eve, bert = await new_stranger("eve"), await new_stranger("bert", number=1)
    eve.answer = bert.answer = lambda _: web.Response(status=503)
    inbox, waiting = of(ada).names.inbox, of(ada)._outgoing
    # However often it asks, one answer waits, and one announce.
    for _ in range(5):
        assert (await eve.post(inbox, eve.follow(ada.address)))[0] == 202
    assert waiting.waiting == 2
    status, document, _ = await bert.post(inbox, bert.follow(ada.address))
    assert (status, document["code"]) == (503, "activitypub.full")
    assert of(ada)._contacts.followers() == [eve.names.actor]
    await ada.transport.send(to(eve, "t1", words.carrier()))
    # Nothing is said to be sent that would not go.
    monkeypatch.setattr(outgoing, "_WAITING_MOST", waiting.waiting)
    with pytest.raises(RetryLater):
        await ada.transport.send(Parcel(txn="t2", plane="room", room=PUBLIC, carriers=(words.carrier(),), body="words"))


async def test_an_inbox_that_does_not_believe_us_holds_up_no_other(ada: Resident, eve: Stranger) -> None:
    await nothing_waits(ada)
    bad, good = f"{eve.names.base}/bad", f"{eve.names.base}/good"
    eve.answer = lambda request: web.Response(status=401 if request.path == "/bad" else 202)
    for inbox in (bad, good):
        of(ada)._dispatch.follow(of(ada)._dispatch.name(), Contact(f"{inbox}/actor", "x", inbox))
    await eve.got("Follow")
    assert of(ada)._outgoing.waiting == 1


async def test_servers_take_turns(
    ada: Resident, new_stranger: NewStranger, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_TURN", 1)
    monkeypatch.setattr(delivery, "_AT_ONCE", 1)
    order: list[str] = []

    def taken(request: web.Request) -> web.Response:
        order.append(request.host)
        return web.Response(status=202)

    both = [await new_stranger("eve"), await new_stranger("bert", number=1)]
    for one in both:
        one.answer = taken
        for number in range(3):
            await ada.transport.send(to(one, f"{one.name}{number}", words.carrier()))
    await nothing_waits(ada)
    last = len(order) - 1 - order[::-1].index(f"127.0.0.1:{both[0].port}")
    assert order.index(f"127.0.0.1:{both[1].port}") < last


async def test_one_host_has_few_turns_at_a_time_whatever_its_ports(
    ada: Resident, eve: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_AT_ONCE", 3)
    go_on, slow = asyncio.Event(), [RawServer() for _ in range(3)]

    async def slowly(_method: str, _headers: object, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(answer(202))

    def tell(inbox: str) -> None:
        of(ada)._dispatch.follow(of(ada)._dispatch.name(), Contact(f"{inbox}/actor", "x", inbox))

    for one in slow:
        await one.start()
        one.answers["/inbox"] = slowly
        tell(f"{one.base}/inbox")
    await until(lambda: sum(len(one.requests) for one in slow) == 2, PATIENCE_S)
    tell(f"http://localhost:{eve.port}/inbox")
    await eve.got("Follow")
    assert sum(len(one.requests) for one in slow) == 2
    go_on.set()
    await nothing_waits(ada)
    for one in slow:
        await one.stop()


async def test_who_is_heard_of_is_tried_before_its_time_but_not_at_once_again(
    ada: Resident, eve: Stranger, words: Words
) -> None:
    await eve.away()
    courier, lane = of(ada)._courier, eve.names.base
    courier._backoff_s = (900.0, 900.0)
    of(ada)._contacts.know(Contact(eve.names.actor, "eve", eve.names.inbox), 1)
    await ada.transport.send(to(eve, "t1", words.carrier()))
    for count in (1, 2):
        await until(partial(_held_after, courier, lane, count), PATIENCE_S)
        courier.heard_from(lane)
        assert (lane in courier._held) == (count == 2)


def _held_after(courier: delivery.Courier, lane: str, tries: int) -> bool:
    return lane in courier._held and courier._tries[lane] == tries


class TestNobody:
    async def test_an_actor_that_is_not_there(self, ada: Resident, eve: Stranger, words: Words) -> None:
        parcel = Parcel(txn="t1", plane="direct", address=f"{eve.names.base}/nobody", carriers=(words.carrier(),))
        with pytest.raises(Refused) as caught:
            await ada.transport.send(parcel)
        assert caught.value.code == "activitypub.no_peer"

    async def test_ourselves(self, ada: Resident, words: Words) -> None:
        for address in (ada.address, f"{of(ada).names.base}/other"):
            parcel = Parcel(txn=address, plane="direct", address=address, carriers=(words.carrier(),))
            with pytest.raises(Refused):
                await ada.transport.send(parcel)

    @pytest.mark.parametrize(
        "address", ["", "matrix:u/a:example.org", "HTTP://Example.org/a", "https://u@h/a", "ftp://h/a"]
    )
    async def test_what_is_no_address_of_an_actor(self, ada: Resident, words: Words, address: str) -> None:
        assert not ada.transport.reaches(address)
        parcel = Parcel(txn="t1", plane="direct", address=address, carriers=(words.carrier(),))
        with pytest.raises(Refused):
            await ada.transport.send(parcel)

    async def test_on_a_private_network_where_that_is_not_allowed(
        self, world: ActivityPubWorld, ada: Resident, eve: Stranger, words: Words
    ) -> None:
        of(ada)._fetcher._allow_private = False
        with pytest.raises(Refused):
            await ada.transport.send(to(eve, "t1", words.carrier()))
        assert eve.requests == []

    async def test_a_room_that_we_are_not_in(self, ada: Resident, words: Words) -> None:
        with pytest.raises(Refused) as caught:
            await ada.transport.send(Parcel(txn="t1", plane="room", room="lan:x", carriers=(words.carrier(),)))
        assert caught.value.code == "activitypub.no_room"
