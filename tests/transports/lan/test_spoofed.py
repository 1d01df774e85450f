"""Records that somebody multicasts for nodes that are not there: they hide nobody, and make nobody a nuisance."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import count

import pytest

from bots.transports.lan import following
from bots.transports.lan.candidates import CALLERS_MOST, ENDPOINTS_MOST, NODES_MOST, Candidates, Endpoint, Node
from bots.transports.lan.neighbours import _STRAYS, Neighbours
from bots.transports.lan.records import Record
from bots.transports.lan.transport import LanTransport
from clawnet_proto.bindings import lan as binding
from tests.agent.virtual_time import until
from tests.transports.resident import Resident
from tests.transports.worlds import LanWorld


def lan_of(resident: Resident) -> LanTransport:
    assert isinstance(resident.transport, LanTransport)
    return resident.transport


def around(resident: Resident) -> Neighbours:
    """Its neighbours; from now on it hears no records but those of the test."""
    lan_of(resident)._discovery._found = lambda _: None
    return lan_of(resident)._neighbours


@contextmanager
def tarpit(address: str) -> Iterator[tuple[int, socket.socket]]:
    """Is connected to and never answers, nor even looks who is there; its port, and what listens there."""
    with socket.create_server((address, 0), backlog=4096) as listening:
        listening.setblocking(False)
        yield listening.getsockname()[1], listening


def visits(listening: socket.socket) -> int:
    """How often somebody has connected."""
    count = 0
    with suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


@asynccontextmanager
async def flood(neighbours: Neighbours, record: Callable[[int], Record]) -> AsyncIterator[None]:
    """A hundred records a second, and enough to begin with."""

    async def tell() -> None:
        for number in count():
            neighbours.found(record(number))
            await asyncio.sleep(0.01 if number > NODES_MOST else 0)

    telling = asyncio.ensure_future(tell())
    yield
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)


async def test_a_newcomer_that_asks_us_is_found_in_a_flood_of_others(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    neighbours = around(ada)
    with tarpit("127.0.0.7") as (port, _):

        def nobody(number: int) -> Record:
            return Record(f"did:{number}", (f"127.0.0.{number % 200 + 7}", "127.0.0.7"), port, ())

        async with flood(neighbours, nobody):
            await until(lambda: len(neighbours._following) == NODES_MOST, 10)
            bert = await lan.resident("bert", mutual=False)
            await asyncio.wait_for(ada.until(lambda: ada.transport.is_member(lan.room, bert.address)), 10)


async def test_a_newcomer_is_found_among_the_places_where_it_is_not(lan: LanWorld) -> None:
    ada, bert = await lan.resident("ada"), await lan.resident("bert", mutual=False)
    neighbours, did = around(ada), binding.identity(bert.address)
    await ada.until(lambda: neighbours.is_here(did))
    # As if it had not been heard of so far.
    node = neighbours._candidates._nodes.pop(did)
    neighbours._following.pop(did)[1].cancel()
    assert node.proven is not None
    with tarpit("127.0.0.7") as (port, _):

        def elsewhere(number: int) -> Record:
            return Record(did, ("127.0.0.7",), port if number % 4 == 0 else 2000 + number % 60_000, ())

        async with flood(neighbours, elsewhere):
            await until(lambda: did in neighbours._following, 10)
            neighbours.contact(did, "127.0.0.7", port, called=True)  # one host more that says so
            neighbours.contact(did, node.proven.address, node.proven.port, called=True)
            await until(lambda: neighbours.is_here(did), 15)


async def test_a_host_that_records_name_is_asked_so_often_and_no_more(lan: LanWorld) -> None:
    ada = await lan.resident("ada")
    neighbours = around(ada)
    with tarpit("127.0.0.7") as (port, listening):
        for number in range(NODES_MOST):
            neighbours.found(Record(f"did:{number}", ("127.0.0.7",), port, ()))
        await until(lambda: all(one.settled.is_set() for one, _ in neighbours._following.values()), 15)
        assert 0 < visits(listening) <= _STRAYS.burst + 15 * _STRAYS.per_second


async def test_who_is_read_is_told_again_where_we_are(lan: LanWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_CALL_S", (0.05, 0.1))
    ada = await lan.resident("ada")
    asked: list[tuple[str, int]] = []
    node = lan._nodes[binding.identity(ada.address)]
    node._server.contact = lambda did, _, port: asked.append((did, port))
    bert = await lan.resident("bert", mutual=False)
    again = (binding.identity(bert.address), lan_of(bert)._node.port)
    await until(lambda: asked.count(again) >= 4, 10)


def test_each_host_that_asked_in_the_name_of_a_node_has_its_turn_before_any_record() -> None:
    node = Node("did")
    for port in range(4000, 4010):
        node.add(Endpoint("192.168.1.9", port))
    asked = [Endpoint(f"192.168.1.{number}", 4000) for number in range(10, 13)]
    assert all(node.call(one) for one in asked)
    assert not node.call(asked[0])
    places = node.places()
    assert [next(places)] == asked[:1]
    node.call(Endpoint(asked[0].address, 5000))  # it had its turn
    late = Endpoint("192.168.1.20", 4000)
    assert [next(places), next(places)] == asked[1:]
    assert next(places) in node.endpoints
    node.call(late)
    assert next(places) == late
    assert len(list(places)) == ENDPOINTS_MOST - 1
    for number in range(100):
        node.call(Endpoint(f"192.168.2.{number}", 4000))
    assert len(node.callers) == CALLERS_MOST


def test_no_host_is_pushed_out_by_all_that_is_said_of_others() -> None:
    candidates = Candidates()
    for number in range(3 * NODES_MOST):
        if number == 3:
            honest, _ = candidates.space("honest")
            assert honest is not None
            honest.add(Endpoint("192.168.1.9", 4000))
        node, _ = candidates.space(f"did:{number}")
        assert node is not None
        node.add(Endpoint(f"192.168.1.{10 + number % 200}", 4000))
    assert candidates.get("honest") is honest
