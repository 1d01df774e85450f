"""Requests to a hub: how many, how they are written, and what is answered."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bots.cli import hub as command
from bots.errors import ConfigError
from bots.hub.archive import Bounds
from bots.hub.hub import Settings
from bots.serving.limits import Allowance
from clawnet_proto.families import handshake, presence
from tests.hub.visitor import Visitor
from tests.proto.authoring import Author

if TYPE_CHECKING:
    from tests.hub.conftest import NewHub, Running


async def test_every_request_counts_before_it_is_verified(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(Settings(requests=Allowance(6, 1)))
    ada = Visitor("ada", hub.base, session, hub.clock)
    garbage = {"Signature-Input": "((((", "Signature": "me=1"}
    statuses = [
        (await ada.read(hub.room()))[0],
        (await ada.read(f"{hub.room()}/members"))[0],
        (await ada.read(ada.address))[0],
        (await ada.post(ada.address, b"{}", proof=garbage))[0],
        (await ada.post(hub.room(), b"no JSON"))[0],
        (await ada.read(f"{hub.base}/nowhere"))[0],
    ]
    assert statuses == [200, 200, 401, 401, 400, 404]
    assert [(await ada.read(hub.room()))[0], (await ada.post(hub.room(), b"{}"))[0]] == [429, 429]
    hub.clock.ms += 1000
    assert (await ada.read(hub.room()))[0] == 200


async def test_a_network_begins_few_rooms(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(bounds=Bounds(rooms_of_network=1))
    ada = Visitor("ada", hub.base, session, hub.clock)
    # What is not taken begins no room.
    assert (await ada.say(hub.room("none"), b"{}"))[0] == 400
    for name, status in (("a", 200), ("b", 403), ("a", 200)):
        assert (await ada.say(hub.room(name), ada.announce(hub.room(name))))[0] == status


@pytest.mark.parametrize(
    "proxied, noted, status", [(True, "192.0.2.2", 200), (True, "x", 429), (False, "192.0.2.2", 429)]
)
async def test_a_client_behind_a_proxy_has_its_own_bounds(
    new_hub: NewHub, session: aiohttp.ClientSession, proxied: bool, noted: str, status: int
) -> None:
    hub = await new_hub(Settings(requests=Allowance(1, 1)))
    hub.server._proxied = proxied
    for headers, expected in (({}, 200), ({"X-Forwarded-For": f"192.0.2.1, {noted}"}, status)):
        async with session.get(hub.base, headers=headers) as response:
            assert response.status == expected


@pytest.mark.parametrize("encoding", ["gzip", "identity", "br", "nonsense"])
async def test_a_body_that_is_encoded(hub: Running, session: aiohttp.ClientSession, encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with session.post(hub.room(), data=b"{}", headers=headers) as response:
        assert (response.status, (await response.json())["code"]) == (415, "http.content_type")


@pytest.mark.parametrize(
    "method, path, status, code",
    [
        ("GET", "/nowhere", 404, "http.not_found"),
        ("DELETE", "/rooms/a", 405, "http.method"),
        ("HEAD", "/rooms/a", 405, ""),
        ("POST", "/rooms/a", 415, "http.content_type"),
        ("POST", "/rooms/a/members", 405, "http.method"),
    ],
)
async def test_refusals_are_for_programs(
    hub: Running, session: aiohttp.ClientSession, method: str, path: str, status: int, code: str
) -> None:
    async with session.request(method, hub.base + path) as response:
        assert (response.status, response.content_type) == (status, "application/json")
        if code:
            assert (await response.json())["code"] == code


async def test_a_fault_of_the_hub_itself_is_told_and_logged(
    hub: Running, ada: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> object:
        raise ZeroDivisionError

    with monkeypatch.context() as context:
        context.setattr(hub.archive, "after", fail)
        status, answer = await ada.read(hub.room())
    assert (status, answer["code"]) == (500, "hub.fault")
    assert "ZeroDivisionError" in caplog.text


async def test_what_is_twice_in_one_request_is_once_in_the_room(hub: Running, ada: Visitor, bert: Visitor) -> None:
    carrier = ada.announce(hub.room())
    _, answer = await ada.say(hub.room(), carrier, carrier)
    first, second = answer["results"]
    assert first == second
    assert "event" in first
    await bert.say(hub.room(), bert.announce(hub.room()))
    _, read = await bert.read(hub.room())
    assert read["events"][0]["carriers"] == [json.loads(carrier)]
    _, answer = await ada.say(bert.address, carrier, carrier, signed=True)
    assert answer["results"][0] == answer["results"][1]
    _, read = await bert.read(bert.address, signed=True)
    assert [event["carriers"] for event in read["events"]] == [[json.loads(carrier)]]


@pytest.mark.parametrize(
    "sealed",
    [
        b'{"clawnet":"1","seal_key":"k","sealed":1e15}',
        b'{"clawnet":"1","seal_key":["k"],"sealed":"s"}',
        b'{"clawnet":1,"seal_key":"k","sealed":"s"}',
        b'{"clawnet":"1","seal_key":"k","sealed":' + b"[1e15," * 3000 + b"1" + b"]" * 3000 + b"}",
    ],
)
async def test_a_sealed_carrier_is_three_strings(hub: Running, ada: Visitor, sealed: bytes) -> None:
    await ada.say(hub.room(), ada.announce(hub.room()))
    status, answer = await ada.say(ada.address, sealed, signed=True)
    assert status == 400
    assert answer.get("code") == "http.body" or answer["results"][0]["code"] == "carrier.malformed"
    assert (await ada.read(ada.address, signed=True))[1]["events"] == []


@pytest.mark.parametrize("sent_s, code", [(-10, "time.expired"), (400, "time.future")])
async def test_a_direct_message_out_of_its_time(hub: Running, ada: Visitor, sent_s: int, code: str) -> None:
    await ada.say(hub.room(), ada.announce(hub.room()))
    sent_ms = hub.clock.ms + sent_s * 1000
    carrier = ada.author.carrier(
        handshake.Hello(versions=("1",), address=presence.Address(uri=ada.address)),
        room=hub.room(),
        sent_ms=sent_ms,
        expires_ms=sent_ms + 5000,
        recipients=(ada.author.did,),
    )
    status, answer = await ada.say(ada.address, carrier, signed=True)
    assert (status, answer["results"][0]["code"]) == (400, code)


async def test_a_signature_that_expires(hub: Running, ada: Visitor) -> None:
    now = hub.clock.ms // 1000
    body = b'{"carriers":[' + ada.announce(hub.room()) + b"]}"
    for more, status in ((f";expires={now - 1}", 401), (';expires="soon"', 401), (f";expires={now + 1}", 200)):
        assert (await ada.post(hub.room(), body, proof=ada.proof("POST", hub.room(), body, more=more)))[0] == status


async def test_a_signature_over_what_nobody_verifies(hub: Running, ada: Visitor) -> None:
    body = b'{"carriers":[' + ada.announce(hub.room()) + b"]}"
    proof = ada.proof("POST", hub.room(), body, date="Tue, 20 Apr 2021 02:07:55 GMT")
    status, answer = await ada.post(hub.room(), body, proof=proof)
    assert (status, answer["code"]) == (401, "http.signature")


async def test_a_banned_key_reads_nothing_of_its_own(new_hub: NewHub, session: aiohttp.ClientSession) -> None:
    hub = await new_hub(Settings(banned=(Author("ada").did,)))
    ada = Visitor("ada", hub.base, session, hub.clock)
    status, answer = await ada.read(ada.address, signed=True)
    assert (status, answer["code"]) == (403, "hub.banned")


@pytest.mark.parametrize(
    "settings, code",
    [
        ({"listen": "0.0.0.0:0"}, "hub.url"),
        ({"listen": "[::]:0"}, "hub.url"),
        ({"ban": ["did:key:z6Mk"]}, "hub.ban"),
        ({"ban": ["ada"]}, "hub.ban"),
    ],
)
def test_what_a_hub_does_not_begin_with(tmp_path: Path, settings: dict[str, object], code: str) -> None:
    options = {
        "listen": "127.0.0.1:0", "directory": str(tmp_path), "url": "", "ban": [], "behind_proxy": False,
        "files": 1, "certificate": None, "key": None, "json": True,
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        asyncio.run(asyncio.wait_for(command._serve(argparse.Namespace(**(options | settings))), 5))
    assert caught.value.code == code
