"""Nodes among others on one network: forged records, floods, clocks that differ, hosts that come and go."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from bots.complaints import OF_ONE_PER_MINUTE
from bots.errors import Refused
from bots.transports import Parcel
from bots.transports.lan import following, neighbours
from bots.transports.lan.candidates import NODES_MOST, Endpoint
from bots.transports.lan.interfaces import interfaces
from bots.transports.lan.neighbours import Neighbours
from bots.transports.lan.records import TYPE, Record
from bots.transports.lan.survey import Seen, survey
from bots.transports.lan.transport import LanTransport
from clawnet_proto.bindings import lan as binding
from tests.proto.authoring import Author
from tests.transports import worlds
from tests.transports.resident import Resident
from tests.transports.worlds import LanWorld, Words

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def lan_of(resident: Resident) -> LanTransport:
    assert isinstance(resident.transport, LanTransport)
    return resident.transport


def around(resident: Resident) -> Neighbours:
    return lan_of(resident)._neighbours


def did_of(resident: Resident) -> str:
    return binding.identity(resident.address)


def port_of(resident: Resident) -> int:
    return lan_of(resident)._node.port


async def says(lan: LanWorld, resident: Resident, carrier: str) -> None:
    parcel = Parcel(txn=secrets.token_hex(4), plane="room", room=lan.room, carriers=(carrier,))
    await resident.transport.send(parcel)


async def hears(resident: Resident, carrier: str) -> bool:
    """Once it is there: whether it is live."""
    wanted = json.loads(carrier)

    def found() -> list[bool]:
        return [one.live for one in resident.received if wanted in resident.transport.carriers(one)]

    await resident.until(found)
    return found()[0]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """Somebody else's server, at this port of loopback."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def records(*told: tuple[str, int, dict[str, str]]) -> AsyncIterator[None]:
    """Somebody says on the network that there are these (address, port, TXT)."""
    responder = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    try:
        for address, port, txt in told:
            name = f"clawnet-{secrets.token_hex(4)}"
            info = AsyncServiceInfo(
                TYPE, f"{name}.{TYPE}", port, addresses=[socket.inet_aton(address)], properties=txt,
                server=f"{name}.local.",
            )  # fmt: skip
            await (await responder.async_register_service(info, cooperating_responders=True))
        yield
    finally:
        await responder.async_close()


def txt(lan: LanWorld, did: str) -> dict[str, str]:
    return {"v": "1", "did": did, "rooms": lan.room.removeprefix("lan:")}


async def test_a_forged_record_shuts_nobody_out(lan: LanWorld) -> None:
    """Somebody names bert's identity, and a server of his own that passes everything on to bert."""
    bert = await lan.resident("bert")
    asked = asyncio.Event()

    async def relay(request: web.Request) -> web.StreamResponse:
        asked.set()
        url = f"http://127.0.0.1:{port_of(bert)}{request.raw_path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    async with serving(relay) as port, records(("127.0.0.1", port, txt(lan, did_of(bert)))):
        ada = await lan.resident("ada")
        node = around(ada)._candidates.get(did_of(bert))
        assert node is not None
        assert await around(ada)._prove(node, Endpoint("127.0.0.1", port)) is None
        assert asked.is_set()
        words = Words("somebody", lan.room).carrier()
        await says(lan, bert, words)
        assert await hears(ada, words)
        assert node.proven == Endpoint("127.0.0.1", port_of(bert))


async def test_who_looks_around_is_told_who_did_not_prove_itself(lan: LanWorld) -> None:
    bert = await lan.resident("bert")
    forged = 1 + port_of(bert) if port_of(bert) < 65535 else 1024
    seen: dict[str, Seen] = {}
    async with records(("127.0.0.1", forged, txt(lan, did_of(bert)))), asyncio.timeout(20):
        while len(seen) < 2:
            async for one in survey(interfaces(("lo",)), 2.0):
                if one.did == did_of(bert):
                    seen[one.at] = one
    good, bad = seen[f"127.0.0.1:{port_of(bert)}"], seen[f"127.0.0.1:{forged}"]
    assert (bad.unproven, bad.announce) == ("ClientConnectorError", None)
    assert good.announce is not None
    assert (good.unproven, good.announce.name, good.rooms) == ("", "bert", (lan.room,))
    assert abs(good.clock_ahead_ms) < 5000


async def test_a_room_that_we_are_not_in_is_refused(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    elsewhere = Words("somebody", "lan:elsewhere").carrier()
    with pytest.raises(Refused) as caught:
        await ada.transport.send(Parcel(txn="t1", plane="room", room="lan:elsewhere", carriers=(elsewhere,)))
    assert caught.value.code == "lan.no_room"


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" " * 65536)
    return response


async def elsewhere(request: web.Request) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": f"http://127.0.0.1:1/{request.path}"})


async def nonsense(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"proof":' + b"[" * 20_000, content_type="application/json")


@pytest.mark.parametrize("handler", [hang, endless, elsewhere, nonsense])
async def test_what_is_no_node_is_left_alone(lan: LanWorld, handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bots.transports.lan.proving._TOTAL_S", 0.3)
    ada = await lan.resident("ada")
    asked: list[str] = []

    async def noted(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await handler(request)

    somebody = Author("somebody").did
    async with serving(noted) as port:
        around(ada).found(Record(somebody, ("127.0.0.1",), port, ()))
        known, _ = around(ada)._following[somebody]
        await ada.until(known.settled.is_set)
        assert asked == [f"/{somebody}/proof"]
        assert not ada.transport.is_member(lan.room, binding.address(somebody))
        assert ada.transport.online


async def test_a_flood_of_records_keeps_nobody_from_being_found(by_dns: LanWorld) -> None:
    ada = await by_dns.resident("ada")
    async with serving(nonsense) as port:
        for number in range(3 * NODES_MOST):
            around(ada).found(Record(Author(f"nobody {number}").did, ("127.0.0.1",), port, ()))
        assert len(around(ada)._following) <= NODES_MOST
        bert = await by_dns.resident("bert")
        words = Words("somebody", by_dns.room).carrier()
        await says(by_dns, bert, words)
        assert await hears(ada, words)
        assert len(around(ada)._following) <= NODES_MOST


async def test_who_has_one_address_is_not_everybody(lan: LanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are free: of the nodes at one address only so many are read at a time."""
    monkeypatch.setattr(neighbours, "NODES_OF_ADDRESS", 1)
    ada, bert, cleo = [await lan.resident(name, mutual=False) for name in ("ada", "bert", "cleo")]
    for one in (ada, bert, cleo):
        known = [each for each, _ in around(one)._following.values()]
        for each in known:
            await one.until(each.settled.is_set)
        assert sum(each.node.here for each in known) <= 1


async def test_where_enough_are_read_nobody_else_is_even_asked(lan: LanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, _ = await lan.resident("ada"), await lan.resident("bert")
    monkeypatch.setattr(neighbours, "NODES_OF_ADDRESS", 1)
    asked: list[str] = []

    async def noted(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await nonsense(request)

    somebody = Author("somebody").did
    async with serving(noted) as port:
        around(ada).found(Record(somebody, ("127.0.0.1",), port, ()))
        known, _ = around(ada)._following[somebody]
        await known.settled.wait()
        assert known.node.tried
        assert asked == []


async def test_who_floods_a_network_does_not_flood_the_log(
    lan: LanWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await lan.resident("ada")
    monkeypatch.setattr(neighbours, "NODES_OF_ADDRESS", 0)
    for number in range(3 * OF_ONE_PER_MINUTE):
        around(ada).found(Record(Author(f"nobody {number}").did, ("127.0.0.1",), 4000, ()))
    for known, _ in around(ada)._following.values():
        await known.settled.wait()
    assert caplog.text.count("Too many nodes are at 127.0.0.1") == OF_ONE_PER_MINUTE


async def test_a_room_has_as_many_members_as_are_here(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    somebody = Author("somebody").did
    lan_of(ada)._node.heard(lan.room, somebody, [json.loads(Words("somebody", lan.room).carrier())], "127.0.0.1")
    assert binding.address(somebody) in lan_of(ada)._node.members(lan.room)
    assert [room.members for room in ada.transport.rooms()] == [2]
    assert not ada.transport.is_member(lan.room, binding.address(somebody))
    assert not ada.transport.is_member("lan:elsewhere", bert.address)


async def test_nothing_is_asked_of_what_is_not_near(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    somebody = Author("somebody").did
    for address, port in (("93.184.216.34", 4000), ("192.168.77.1", 4000), ("127.0.0.1", 25), ("224.0.0.1", 4000)):
        around(ada).found(Record(somebody, (address,), port, ()))
    assert somebody not in around(ada)._following


async def test_malformed_multicast_disturbs_nobody(by_dns: LanWorld) -> None:
    ada = await by_dns.resident("ada")
    head = b"\x00\x00\x84\x00\x00\x00"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for packet in (
            b"",
            b"\xff" * 9000,
            head + b"\xff\xff\xff\xff\xff\xff",
            head + b"\x00\x01\x00\x00\x00\x00\xc0\x0c" * 20,  # a name that points at itself
            head + b"\x00\x01\x00\x00\x00\x00" + b"\x3f" + b"x" * 63,
            *(secrets.token_bytes(size) for size in range(1, 1400, 13)),
        ):
            sender.sendto(packet, ("224.0.0.251", 5353))
    bert = await by_dns.resident("bert")
    words = Words("somebody", by_dns.room).carrier()
    await says(by_dns, bert, words)
    assert await hears(ada, words)


async def test_names_that_clash_are_changed(lan: LanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bots.transports.lan.discovery.secrets.token_hex", lambda _: "same")
    ada = await lan.resident("ada")
    bert = await lan.resident("bert")
    found: set[str] = set()
    async with asyncio.timeout(20):
        while not {did_of(ada), did_of(bert)} <= found:
            async for seen in survey(interfaces(("lo",)), 2.0):
                found |= {seen.did} if not seen.unproven else set()


@pytest.mark.parametrize("ahead_ms", [240_000, -240_000])
async def test_clocks_that_differ_change_nothing(lan: LanWorld, monkeypatch: pytest.MonkeyPatch, ahead_ms: int) -> None:
    ada = await lan.resident("ada")
    now_ms = worlds.now_ms
    past, question, later = (Words(name, lan.room).carrier() for name in ("past", "question", "later"))
    await says(lan, ada, past)
    await asyncio.sleep(1)  # a clock that differs is known only to within the time that an answer takes
    monkeypatch.setattr(worlds, "now_ms", lambda: now_ms() + ahead_ms)
    bert = await lan.resident("bert")
    await says(lan, ada, question)
    await says(lan, bert, later)
    assert [await hears(bert, past), await hears(bert, question)] == [False, True]
    assert await hears(ada, later)


async def test_what_was_asked_just_before_one_was_found_is_live(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    question = Words("somebody", lan.room).carrier()
    bert = await lan.resident("bert")
    around(ada)._following[did_of(bert)][1].cancel()
    await says(lan, bert, question)
    around(ada)._following.clear()
    around(ada).contact(did_of(bert), "127.0.0.1", port_of(bert))
    assert await hears(ada, question)


async def test_who_cannot_be_reached_is_no_member_after_a_while(lan: LanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_AWAY_S", 0.2)
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    assert ada.transport.is_member(lan.room, bert.address)
    await bert.stop()
    await ada.until(lambda: not ada.transport.is_member(lan.room, bert.address))
    bert.open()
    await bert.start()
    await ada.until(partial(ada.transport.is_member, lan.room, bert.address))


async def test_who_comes_back_is_read_at_once(lan: LanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_BACKOFF_S", (600.0, 600.0))
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    known, _ = around(ada)._following[did_of(bert)]
    await bert.stop()
    await ada.until(lambda: not known.node.here)
    bert.open()
    await bert.start()
    await ada.until(lambda: known.node.here)


async def test_who_has_changed_its_key_is_known_all_the_same(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    bert = await lan.resident("bert", rotations=2)
    words = Words("somebody", lan.room)
    for number, (one, other) in enumerate(((ada, bert), (bert, ada))):
        secret = words.carrier()
        await one.transport.send(
            Parcel(txn=f"t{number}", plane="direct", address=other.address, device="inbox", carriers=(secret,))
        )
        await other.until(lambda: json.loads(secret) in other.carriers("direct"))  # noqa: B023


async def test_a_node_that_lost_its_file_is_read_on(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    words = Words("somebody", lan.room)
    before, after = words.carrier(), words.carrier()
    await says(lan, bert, before)
    await hears(ada, before)
    await bert.stop()
    for path in Path(bert.directory).glob("lan.sqlite*"):
        path.unlink()
    bert.open()
    await bert.start()
    await says(lan, bert, after)
    assert await hears(ada, after)


async def test_who_moves_to_another_address_is_found_there(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    port = port_of(bert)
    await bert.restart()
    assert port_of(bert) != port
    words = Words("somebody", lan.room).carrier()
    await says(lan, bert, words)
    assert await hears(ada, words)


async def test_who_moves_without_a_word_is_followed(lan: LanWorld) -> None:
    """The connection that bert is read by stays open, but he is at another address now, and says so."""
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    node = around(ada)._candidates.get(did_of(bert))
    assert node is not None
    await lan_of(bert)._node.listen(["127.0.0.1", "127.0.0.2"])
    around(ada).contact(did_of(bert), "127.0.0.2", port_of(bert))
    await ada.until(lambda: node.proven == Endpoint("127.0.0.2", port_of(bert)) and node.here)
    words = Words("somebody", lan.room).carrier()
    await says(lan, bert, words)
    assert await hears(ada, words)


async def test_what_a_node_says_for_another_is_delivered_by_itself(lan: LanWorld) -> None:
    """As a bridge does: the words are another author's, the address that vouches is that of the node."""
    ada, bert = await lan.resident("ada"), await lan.resident("bert")
    words = Words("somebody", lan.room).carrier()
    await says(lan, bert, words)
    await hears(ada, words)
    (delivery,) = (one for one in ada.received if json.loads(words) in ada.transport.carriers(one))
    assert delivery.sender == bert.address
