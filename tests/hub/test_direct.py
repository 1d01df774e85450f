from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from clawnet_proto.families import handshake, presence
from clawnet_proto.sealed_carrier import open_carrier, seal_carrier
from clawnet_proto.sealing import SealKey
from tests.hub.visitor import Visitor

if TYPE_CHECKING:
    from tests.hub.conftest import Running


@pytest.fixture
async def members(hub: Running, ada: Visitor, bert: Visitor) -> tuple[Visitor, Visitor]:
    for one in (ada, bert):
        assert (await one.say(hub.room(), one.announce(hub.room())))[0] == 200
    return ada, bert


def hello(hub: Running, sender: Visitor, to: Visitor) -> bytes:
    body = handshake.Hello(versions=("1",), address=presence.Address(uri=sender.address))
    return sender.author.carrier(body, room=hub.room(), sent_ms=hub.clock.ms, recipients=(to.author.did,))


async def test_from_one_peer_to_another(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    carrier = hello(hub, ada, bert)
    status, answer = await ada.say(bert.address, carrier, signed=True)
    assert status == 200
    async with bert.stream(bert.address, signed=True) as stream:
        event, kind, data = await stream.next()
    assert (event, kind) == (answer["results"][0]["event"], "message")
    assert (data["sender"], data["carriers"]) == (ada.address, [json.loads(carrier)])


async def test_what_is_sealed_is_opened_by_its_recipient_alone(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    key = SealKey(bert.author.key.seed)
    carrier = hello(hub, ada, bert)
    assert (await ada.say(bert.address, seal_carrier(key.public, bert.author.did, carrier), signed=True))[0] == 200
    _, answer = await bert.read(bert.address, signed=True)
    (sealed,) = answer["events"][0]["carriers"]
    assert open_carrier(json.dumps(sealed).encode(), (key,), bert.author.did) == carrier


async def test_what_was_read_is_forgotten_and_what_was_not_is_not(
    hub: Running, members: tuple[Visitor, Visitor]
) -> None:
    ada, bert = members
    events = []
    for _ in range(3):
        events.append((await ada.say(bert.address, hello(hub, ada, bert), signed=True))[1]["results"][0]["event"])
    for _ in range(2):  # a reader that died before it kept anything
        _, answer = await bert.read(bert.address, signed=True)
        assert [event["id"] for event in answer["events"]] == events
    _, answer = await bert.read(bert.address, signed=True, after=events[1])
    assert [event["id"] for event in answer["events"]] == events[2:]
    assert [said.id for said in hub.hub.after(bert.address, "").said] == events[2:]


async def test_a_repeated_request_is_no_second_message(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    carrier = hello(hub, ada, bert)
    first = await ada.say(bert.address, carrier, signed=True)
    assert await ada.say(bert.address, carrier, signed=True) == first
    assert len((await bert.read(bert.address, signed=True))[1]["events"]) == 1


async def test_nobody_reads_for_another(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    assert (await ada.read(bert.address))[0] == 401
    assert (await ada.read(bert.address, signed=True))[0] == 401


async def test_only_members_speak_and_are_spoken_to(hub: Running, ada: Visitor, bert: Visitor) -> None:
    carrier = hello(hub, ada, bert)
    assert (await ada.say(bert.address, carrier))[0] == 401
    assert (await ada.say(bert.address, carrier, signed=True))[0] == 403
    await ada.say(hub.room(), ada.announce(hub.room()))
    assert (await ada.say(bert.address, carrier, signed=True))[0] == 404
    await bert.say(hub.room(), bert.announce(hub.room()))
    assert (await ada.say(bert.address, carrier, signed=True))[0] == 200


async def test_what_nobody_fetches_is_dropped_after_an_hour(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    await ada.say(bert.address, hello(hub, ada, bert), signed=True)
    hub.clock.ms += 3_600_001
    assert hub.hub.after(bert.address, "").said == []


async def test_what_belongs_into_a_room(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    request = ada.author.carrier(presence.Leave(revision=9), room=hub.room(), sent_ms=hub.clock.ms)
    forged = json.loads(hello(hub, ada, bert))
    forged["sig"] = forged["sig"][:-1]
    _, answer = await ada.say(bert.address, json.dumps(forged).encode(), request, signed=True)
    assert [result.get("code", "") for result in answer["results"]] == ["signature.malformed", ""]


@pytest.mark.parametrize("fault", ["body", "url", "method", "old", "early", "uncovered", "two", "foreign", "garbage"])
async def test_a_signature_that_does_not_hold(hub: Running, members: tuple[Visitor, Visitor], fault: str) -> None:
    ada, bert = members
    body = b'{"carriers":[' + hello(hub, ada, bert) + b"]}"
    other = b'{"carriers":[' + hello(hub, ada, bert) + b"]}"
    now = hub.clock.ms // 1000
    proofs = {
        "body": ada.proof("POST", bert.address, other),
        "url": ada.proof("POST", ada.address, body),
        "method": ada.proof("PUT", bert.address, body),
        "old": ada.proof("POST", bert.address, body, created=now - 61),
        "early": ada.proof("POST", bert.address, body, created=now + 61),
        "uncovered": {**ada.proof("POST", bert.address, b"")},
        "two": {
            name: f"{value}, you{value[2:]}" if name != "Content-Digest" else value
            for name, value in ada.proof("POST", bert.address, body).items()
        },
        "foreign": {
            **ada.proof("POST", bert.address, body),
            "Signature-Input": bert.proof("POST", bert.address, body)["Signature-Input"],
        },
        "garbage": {"Signature-Input": "((((", "Signature": "me=1"},
    }
    status, answer = await ada.post(bert.address, body, proof=proofs[fault])
    assert (status, answer["code"]) == (401, "http.signature")
    assert hub.hub.after(bert.address, "").said == []


async def test_a_long_poll_of_ones_own(hub: Running, members: tuple[Visitor, Visitor]) -> None:
    ada, bert = members
    reading = asyncio.ensure_future(bert.read(bert.address, signed=True, wait="20"))
    await ada.say(bert.address, hello(hub, ada, bert), signed=True)
    assert len((await reading)[1]["events"]) == 1
