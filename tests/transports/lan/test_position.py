"""How far nodes were read, as it is committed."""

from __future__ import annotations

import pytest

from bots.transports.http.position import Place
from bots.transports.lan.candidates import NODES_MOST
from bots.transports.lan.position import Position
from tests.proto.authoring import Author

ROOM = "lan:clawnet"
DIDS = [Author(f"node {number}").did for number in range(NODES_MOST)]


def committed(position: Position) -> dict[str, str]:
    return {"lan": position.rooms()} | dict(position.part("lan", did) for did in position.nodes)


def some() -> Position:
    position = Position(joined_ms={ROOM: 5})
    for number, did in enumerate(DIDS):
        position.put(did, ROOM, Place(f"e-{number}", past=True))
        position.note(did, "192.168.1.9:4000")
    return position


def test_what_was_committed_is_known_again() -> None:
    position = some()
    assert Position.read("lan", committed(position).get) == position


def test_each_commit_is_small() -> None:
    assert max(map(len, committed(some()).values())) < 8192


def test_who_was_not_heard_of_for_longest_is_forgotten() -> None:
    position = some()
    position.put(DIDS[0], ROOM, Place("e-0", past=True))
    position.put("one more", ROOM, Place("e-1"))
    assert DIDS[1] not in position.nodes
    known = Position.read("lan", committed(position).get)
    assert known == position
    assert len(known.nodes) == NODES_MOST


@pytest.mark.parametrize("text", ["", "[", "[]", "[" * 5000, '{"nodes":{"x":{"places":{"":{"after":"\\u0000"}}}}}'])
def test_a_part_that_is_broken_breaks_no_other(text: str) -> None:
    parts = committed(some())
    name, _ = some().part("lan", DIDS[0])
    position = Position.read("lan", (parts | {name: text}).get)
    assert position.joined_ms == {ROOM: 5}
    assert position.place(DIDS[0], ROOM) == Place()
    assert len(position.nodes) > NODES_MOST // 2
