"""What DNS-SD may say of a node, and how much of it is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bots.transports.lan.candidates import ENDPOINTS_MOST, NODES_MOST, NODES_OF_ADDRESS, Candidates, Endpoint, Node
from bots.transports.lan.interfaces import Interface, interfaces, is_near
from bots.transports.lan.records import TYPE, Record, is_instance, properties, record
from tests.proto.authoring import Author

ADA = Author("ada").did
OWN = (Interface("eth0", "192.168.1.5", 24), Interface("eth1", "169.254.7.7", 16))


def txt(**values: str) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in values.items()}


def test_what_we_say_of_ourselves_is_read_as_it_was_meant() -> None:
    said = properties(ADA, ("lan:clawnet", "lan:den"))
    assert set(said) == {"v", "did", "rooms"}
    assert record(txt(**said), ["192.168.1.5"], 4000) == Record(ADA, ("192.168.1.5",), 4000, ("clawnet", "den"))
    assert "rooms" not in properties(ADA, ("lan:clawnet", "matrix:roomid/x:example.org"))
    assert "rooms" not in properties(ADA, [f"lan:{letter * 60}" for letter in "abcd"])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"did": ADA},
        {"v": "2", "did": ADA},
        {"v": "1"},
        {"v": "1", "did": ADA + "x"},
        {"v": "1", "did": "did:key:z6Mk"},
    ],
)
def test_what_is_no_node_of_ours(values: dict[str, str]) -> None:
    assert record(txt(**values), ["192.168.1.5"], 4000) is None


def test_a_record_is_short() -> None:
    found = record(txt(v="1", did=ADA, rooms=",".join(["room"] * 1000)), ["10.0.0.1"] * 100, 4000)
    assert found is not None
    assert (len(found.addresses), len(found.rooms)) == (4, 40)
    assert record(txt(v="1", did=ADA), [], 0) is None
    assert is_instance(f"clawnet-1a2b3c4d.{TYPE}")
    assert not is_instance(f"{'x' * 200}.{TYPE}")
    assert not is_instance("clawnet._http._tcp.local.")


@given(st.dictionaries(st.sampled_from([b"v", b"did", b"rooms", b"x"]), st.none() | st.binary(max_size=300)))
def test_no_record_disturbs(properties: dict[bytes, bytes | None]) -> None:
    found = record(properties, ["192.168.1.5"], 4000)
    assert found is None or all(name.isascii() for name in found.rooms)


@pytest.mark.parametrize(
    "address, port, near",
    [
        ("192.168.1.9", 40000, True),
        ("192.168.1.5", 1024, True),
        ("169.254.1.1", 40000, True),
        ("192.168.2.9", 40000, False),  # a private network that is not ours
        ("127.0.0.1", 40000, False),
        ("10.0.0.1", 40000, False),
        ("93.184.216.34", 40000, False),
        ("192.168.1.9", 80, False),
        ("192.168.1.9", 65536, False),
        ("192.168.1.0", 40000, False),
        ("192.168.1.255", 40000, False),
        ("224.0.0.251", 40000, False),
        ("0.0.0.0", 40000, False),  # noqa: S104
        ("::1", 40000, False),
        ("192.168.1.9.example.org", 40000, False),
        ("", 40000, False),
    ],
)
def test_where_a_node_may_be(address: str, port: int, near: bool) -> None:
    assert is_near(address, port, OWN) is near


def test_no_network_of_the_world_is_local() -> None:
    assert not is_near("93.184.216.35", 40000, (Interface("eth0", "93.184.216.34", 24),))


def test_loopback_is_none_of_our_networks_unless_it_is_chosen() -> None:
    assert interfaces(("lo",)) == interfaces(("127.0.0.1",)) == [Interface("lo", "127.0.0.1", 8)]
    assert all(one.name != "lo" for one in interfaces())
    assert interfaces(("none",)) == []


def test_places_that_showed_nothing_make_place_for_others() -> None:
    candidates = Candidates()
    node, _ = candidates.space(ADA)
    assert node is not None
    home = Endpoint("192.168.1.9", 4000)
    assert node.add(home)
    assert not node.add(home)
    node.shown(home)
    for port in range(5000, 5100):
        assert node.add(Endpoint("192.168.1.9", port))
    assert len(node.endpoints) == ENDPOINTS_MOST
    assert node.endpoints[0] == home
    moved = Endpoint("192.168.1.10", 4000)
    node.shown(moved)
    assert node.endpoints[0] == node.proven == moved


def full(candidates: Candidates) -> list[Node]:
    made = [candidates.space(f"did:{number}")[0] for number in range(NODES_MOST)]
    nodes = [node for node in made if node is not None]
    assert len(nodes) == NODES_MOST
    return nodes


def test_who_is_read_is_not_pushed_out() -> None:
    candidates = Candidates(chance=lambda: 0.5)
    for node in full(candidates):
        node.here = True
    assert candidates.space("one more") == (None, "")
    assert candidates.get("did:1") is not None


def test_who_has_proven_itself_is_not_pushed_out_by_who_has_not() -> None:
    candidates = Candidates()
    proven = full(candidates)[::2]
    for node in proven:
        node.shown(Endpoint("192.168.1.9", 4000))
    for number in range(3 * NODES_MOST):
        fresh, gone = candidates.space(f"new:{number}")
        assert fresh is not None
        assert gone
    assert all(candidates.get(node.did) is node for node in proven)


def test_who_has_proven_itself_keeps_its_place_for_an_hour() -> None:
    now_s = 10_000.0
    candidates = Candidates(now_s=lambda: now_s)
    for number, node in enumerate(full(candidates)):
        candidates.shown(node, Endpoint(f"192.168.{number}.9", 4000))
        node.seen_s = now_s
    assert candidates.space("one more") == (None, "")
    now_s += 3601
    assert candidates.space("one more")[0] is not None


def test_of_one_address_the_last_ones_are_kept() -> None:
    """Who has one address proves as many identities as he wants, and keeps nobody out."""
    candidates = Candidates()
    for second, node in enumerate(full(candidates)):
        candidates.shown(node, Endpoint("192.168.1.9", 4000))
        node.seen_s = candidates._now_s() + second
    for number in range(NODES_MOST - NODES_OF_ADDRESS - 1):
        assert candidates.space(f"new {number}")[0] is not None
    assert candidates.get(f"did:{NODES_MOST - 1}") is not None


def test_who_asks_us_is_not_pushed_out_by_records() -> None:
    candidates = Candidates()
    full(candidates)
    endpoint = Endpoint("192.168.1.9", 4000)
    node, _ = candidates.space("newcomer")
    assert node is not None
    node.add(endpoint)
    node.tried = True
    candidates.called(node, endpoint)
    for number in range(3 * NODES_MOST):
        assert candidates.space(f"new:{number}")[0] is not None
    assert candidates.get("newcomer") is node


def test_who_asks_in_many_names_has_that_advantage_for_few_of_them() -> None:
    candidates = Candidates()
    for number, node in enumerate(full(candidates)):
        endpoint = Endpoint("192.168.1.9", 4000 + number)
        node.add(endpoint)
        candidates.called(node, endpoint)
    assert sum(node.called for node in candidates._nodes.values()) == NODES_OF_ADDRESS


def test_who_had_his_chance_goes_first_and_then_who_is_away_for_longest() -> None:
    candidates = Candidates(chance=lambda: 0.0, now_s=lambda: 10_000.0)
    nodes = full(candidates)
    nodes[7].tried = True
    assert candidates.space("one")[1] == "did:7"
    for number, node in enumerate(nodes):
        node.shown(Endpoint("192.168.1.9", 4000))
        node.seen_s = abs(number - 9)
    one = candidates.get("one")
    assert one is not None
    one.shown(Endpoint("192.168.1.9", 4000))
    one.here = True
    assert candidates.space("two")[1] == "did:9"
