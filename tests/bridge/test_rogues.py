"""Who is in the room and means ill gains nothing by the bridge, and keeps it from nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bots.bridge.judging import judge
from bots.bridge.newcomers import SETTLED_MS, Newcomers
from clawnet_proto.carrier import verify
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families import presence, task
from clawnet_proto.mesh import Mesh
from tests.agent.virtual_time import until
from tests.bridge.crossing import PATIENCE_S, Crossing, Speaker
from tests.conftest import NewClient
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.proto.samples import announce, request

if TYPE_CHECKING:
    from tests.bridge.conftest import NewBridge


async def mallory_of(crossing: Crossing, new_client: NewClient) -> Speaker:
    """Somebody who reads both sides, and has an account on Matrix."""
    client = await new_client("mallory")
    await client.join(crossing.room_id)
    return crossing.on_matrix("mallory", client)


async def test_nobody_is_bound_by_the_address_of_a_bridge(crossing: Crossing, new_bridge: NewBridge) -> None:
    bridge = await new_bridge()
    ada, bert, eve = crossing.on_matrix("ada"), crossing.on_hub("bert"), crossing.on_hub("eve")
    mine = (presence.Address(uri=eve.address), presence.Address(uri=bridge.address("matrix"), device="inbox"))
    await eve.announce(addresses=mine)
    asked = await eve.tell(request())
    await crossing.arrived(asked, "matrix")
    await crossing.quiet(ada, bert)
    assert bridge.bridge.counts.not_carried["binding.lent"] == 1
    mesh = Mesh(crossing.room)
    for copy in await crossing.there("matrix"):
        mesh.add(copy.message, copy.sender)
    assert mesh.binding(asked) == "unbound"
    assert {peer.did for peer in mesh.live_peers(asked.envelope.sent_ms)} == {ada.did, bridge.did}


@pytest.mark.parametrize("role", ["assistant", "bridge"])
async def test_who_copies_what_others_say_keeps_a_bridge_from_nothing(
    crossing: Crossing, new_bridge: NewBridge, new_client: NewClient, role: str
) -> None:
    """Whatever he says he is, and whether he is the first or not."""
    bridge = await new_bridge()
    ada, bert, mallory = crossing.on_matrix("ada"), crossing.on_hub("bert"), await mallory_of(crossing, new_client)
    await mallory.announce(role=role)
    await crossing.quiet(ada, bert)
    late, early = bert.sign(request()), bert.sign(request())
    await bert.post(late)
    await mallory.post(late)
    await mallory.post(early)
    await crossing.arrived(verify(early), "http")
    await bert.post(early)
    await crossing.quiet(bert)
    await until(lambda: not bridge.waiting, PATIENCE_S)
    for carrier in (late, early):
        senders = [copy.sender for copy in await crossing.copies(verify(carrier), "matrix")]
        assert sorted(senders) == sorted((mallory.address, bridge.address("matrix")))
    # Nor is what is said of it put where he says.
    cancel = await bert.tell(task.Cancel(), thread=verify(early).id, answers=verify(early).id)
    root = (await crossing.arrived(cancel, "matrix")).root
    (own,) = [
        copy for copy in await crossing.copies(verify(early), "matrix") if copy.sender == bridge.address("matrix")
    ]
    assert root == own.event


def test_what_is_refused_is_not_folded_and_what_is_late_is() -> None:
    mesh, alice = Mesh(ROOM), Author("alice")
    bridge, day_ms = "matrix:u/bridge:example.org", 86_400_000
    endless = alice.carrier(request(), expires_ms=NOW_MS + 400 * day_ms)
    late = alice.carrier(request(), sent_ms=NOW_MS - day_ms, expires_ms=NOW_MS - 1)
    lent = alice.carrier(announce(alice, addresses=(presence.Address(uri=bridge),)))
    codes = []
    for carrier in (endless, late, lent):
        with pytest.raises(RemoteProtocolError) as caught:
            judge(json.loads(carrier), mesh, alice.address, NOW_MS, "did:key:z6Mk", {bridge})
        codes.append(caught.value.code)
    assert codes == ["time.lifetime", "time.expired", "binding.lent"]
    assert [mesh.has_task(verify(carrier).id) for carrier in (endless, late)] == [False, True]
    assert mesh.peers[alice.did].announce is None
    assert judge(json.loads(lent), mesh, bridge, NOW_MS, alice.did, {bridge})[1] == verify(lent)


def test_newcomers_are_those_whom_nobody_here_knows_for_minutes() -> None:
    mesh, alice, bob = Mesh(ROOM), Author("alice"), Author("bob")
    newcomers = Newcomers(mesh)
    newcomers.saw(alice.address, NOW_MS - SETTLED_MS)  # no identity has proven it yet
    mesh.add(alice.say(announce(alice)), alice.address)
    assert newcomers.is_new(alice.address, NOW_MS)
    newcomers.saw(alice.address, NOW_MS)
    newcomers.saw(alice.address, NOW_MS + SETTLED_MS - 1)
    assert newcomers.is_new(alice.address, NOW_MS + SETTLED_MS - 1)
    assert not newcomers.is_new(alice.address, NOW_MS + SETTLED_MS)
    assert newcomers.is_new(bob.address, NOW_MS + SETTLED_MS)
    mesh.add(alice.say(presence.Leave(revision=1)), alice.address)
    assert newcomers.is_new(alice.address, NOW_MS + SETTLED_MS)
