"""A room is one on both sides: what is said on one is said on the other, by the same author, and once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bots.bridge import bridge as bridges
from clawnet_proto.carrier import verify
from clawnet_proto.families import presence, task
from clawnet_proto.mesh import Mesh
from tests.agent.virtual_time import until
from tests.bridge.crossing import PATIENCE_S, Copy, Crossing
from tests.conftest import NewClient
from tests.proto.samples import request

if TYPE_CHECKING:
    from tests.bridge.conftest import NewBridge


def folded(crossing: Crossing, copies: list[Copy]) -> Mesh:
    """The room as who reads these copies folds it."""
    mesh = Mesh(crossing.room)
    for copy in copies:
        mesh.add(copy.message, copy.sender)
    return mesh


async def test_both_ways_and_untouched(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    ada, bert = crossing.on_matrix("ada"), crossing.on_hub("bert")
    for speaker, other in ((ada, "http"), (bert, "matrix")):
        carrier = speaker.sign(speaker.announced())
        await speaker.post(carrier)
        copy = await crossing.arrived(verify(carrier), other)
        assert copy.carrier == json.loads(carrier)
        assert copy.sender == bridge.address(other)
        mesh = folded(crossing, await crossing.there(other))
        assert mesh.binding(copy.message) == "unbound"


async def test_readers_are_told_who_says_it_where(crossing: Crossing, new_bridge: NewBridge) -> None:
    await new_bridge()
    bert = crossing.on_hub("bert")
    await bert.announce(name="Bert \u202e@room\x07")
    copy = await crossing.arrived(await bert.tell(request()), "matrix")
    host = crossing.hub.base.removeprefix("http://")
    assert copy.body.startswith(f"Bert room (relayed from {host}): asks: A question")


async def test_a_bridge_says_what_it_is_on_both_sides(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    await crossing.quiet(crossing.on_matrix("ada"), crossing.on_hub("bert"))
    for side in ("matrix", "http"):
        (own,) = [copy for copy in await crossing.there(side) if copy.message.sender == bridge.did]
        body = own.message.body
        assert (body.kind, body.role, body.limits.open_to) == ("system", "bridge", "nobody")
        mesh = folded(crossing, await crossing.there(side))
        assert mesh.binding(own.message) == "bound"
        assert own.sender == bridge.address(side)
    assert bridge.address("http") in crossing.hub.hub.roster(crossing.room).addresses
    await bridge.stop()
    for side in ("matrix", "http"):
        (last,) = [copy for copy in await crossing.there(side) if isinstance(copy.message.body, presence.Leave)]
        assert last.message.sender == bridge.did


async def test_nothing_comes_twice(crossing: Crossing, new_bridge: NewBridge) -> None:
    await new_bridge()
    ada, bert = crossing.on_matrix("ada"), crossing.on_hub("bert")
    said = [await ada.announce(), await bert.announce(), await ada.tell(request())]
    await crossing.quiet(ada, bert)
    for side in ("matrix", "http"):
        counted = await crossing.counted(side)
        assert {counted[message.id] for message in said} == {1}
        assert set(counted.values()) == {1}


async def test_who_is_on_both_sides_needs_no_bridge(
    crossing: Crossing, new_bridge: NewBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridges, "HOLD_MS", 500)
    bridge = await new_bridge()
    here, there = crossing.on_matrix("ada"), crossing.on_hub("ada")
    both = (presence.Address(uri=here.address), presence.Address(uri=there.address))
    carrier = here.sign(here.announced(addresses=both))
    await here.post(carrier)
    await there.post(carrier)
    await crossing.quiet(crossing.on_matrix("bert"), crossing.on_hub("cleo"))
    for side, own in (("matrix", here), ("http", there)):
        (copy,) = await crossing.copies(verify(carrier), side)
        assert copy.sender == own.address
    assert bridge.bridge.counts.there.total() == 1
    # What such a one says on one side alone is carried, and is relayed there: it has an address of its own.
    copy = await crossing.arrived(await here.tell(request()), "http")
    assert folded(crossing, await crossing.there("http")).binding(copy.message) == "relayed"


@pytest.mark.parametrize("named", [True, False])
async def test_two_bridges_between_the_same_sides(
    crossing: Crossing, new_bridge: NewBridge, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    monkeypatch.setattr(bridges, "SPREAD_MS", 1_000)
    north, south = await new_bridge("north"), await new_bridge("south")
    if named:
        for one, other in ((north, south), (south, north)):
            await one.stop()
            one.name(other)
            await one.start()
    ada, bert = crossing.on_matrix("ada"), crossing.on_hub("bert")
    said = [await speaker.announce() for _ in range(5) for speaker in (ada, bert)]
    for _ in range(2):
        await crossing.quiet(ada, bert)
    await until(lambda: not north.waiting and not south.waiting, PATIENCE_S)
    for side in ("matrix", "http"):
        counted = await crossing.counted(side)
        assert all(1 <= counted[message.id] <= 2 for message in said)
        assert max(counted.values()) <= 2
    # One sees what the other has carried, nearly always; readers may trust either, so it matters whose it is.
    assert not named or north.bridge.counts.there.total() + south.bridge.counts.there.total() > len(said) // 2


async def test_a_chain_of_bridges(crossing: Crossing, another_hub: Crossing, new_bridge: NewBridge) -> None:
    """What one has brought the next one takes on, and nothing comes back."""
    await new_bridge("north")
    south = await new_bridge("south", between=another_hub)
    bert, cleo = crossing.on_hub("bert"), another_hub.on_hub("cleo")
    said = await bert.announce()
    copy = await another_hub.arrived(said, "http")
    assert copy.sender == south.address("http")
    await crossing.arrived(await cleo.announce(), "http")
    for where, side in ((crossing, "http"), (crossing, "matrix"), (another_hub, "http")):
        assert set((await where.counted(side)).values()) == {1}


async def test_a_task_stands_in_one_thread(crossing: Crossing, new_bridge: NewBridge) -> None:
    """Where it was asked for on Matrix, and under its first message where it was asked for elsewhere."""
    await new_bridge()
    ada, bert = crossing.on_matrix("ada"), crossing.on_hub("bert")
    await crossing.quiet(ada, bert)
    for asking in (ada, bert):
        asked = await asking.tell(request())
        root = (await crossing.arrived(asked, "matrix")).event
        cancel = await bert.tell(task.Cancel(), thread=asked.id, answers=asked.id)
        copy = await crossing.arrived(cancel, "matrix")
        assert copy.root == root


async def test_words_of_people_stay_where_they_are(
    crossing: Crossing, new_bridge: NewBridge, new_client: NewClient
) -> None:
    await new_bridge()
    person = await new_client("person")
    await person.join(crossing.room_id)
    await person.send_text(crossing.room_id, "!claw ask Why?")
    ada = crossing.on_matrix("ada")
    await crossing.quiet(ada)
    assert {copy.message.type for copy in await crossing.there("http")} == {"presence.announce"}
