"""A first sync, asked for again, is not answered from what the homeserver remembers."""

from __future__ import annotations

from bots.transports.matrix import wire
from tests.conftest import NewClient, NewRoom
from tests.matrix_client import Query


def test_no_two_first_syncs_are_alike() -> None:
    assert len({wire.sync("", 0, {})[1] for _ in range(20)}) > 10
    assert len({wire.sync("s1", 0, {})[1] for _ in range(20)}) == 1


async def test_a_homeserver_remembers_its_answer_to_one_that_is_alike(new_client: NewClient, new_room: NewRoom) -> None:
    """If it no longer does, nothing is lost; as long as it does, who asks alike begins in the past."""
    alice = await new_client("alice")
    room_id = await new_room(alice)
    query: Query = {"timeout": 0, "filter": "{}"}
    first = await alice.request("GET", "/sync", query=query)
    await alice.send_text(room_id, "news")
    again = await alice.request("GET", "/sync", query=query)
    other = await alice.request("GET", "/sync", query=query | {"timeout": 1})
    assert again["next_batch"] == first["next_batch"] != other["next_batch"]
