"""Follow, Accept and Undo, both ways; Delete of an actor there."""

from __future__ import annotations

import json

from bots.transports.activitypub import notes, proofs
from tests.interop.agent import NewAgent
from tests.interop.peer import Peer
from tests.transports.worlds import now_ms


async def test_fedify_follows_us_until_it_takes_that_back(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    follow = await fedify.ask("follow", **{"from": "alice", "to": agent.actor})
    accepted = await fedify.taken(lambda one: one["type"] == "Accept" and one["actor"] == agent.actor)
    assert accepted["activity"]["object"]["id"] == follow
    assert agent.followers() == [alice]

    await fedify.ask("unfollow", **{"from": "alice", "to": agent.actor, "id": follow})
    await agent.resident.until(lambda: not agent.followers())


async def test_we_follow_an_actor_of_fedify_by_its_handle(fedify: Peer, new_agent: NewAgent) -> None:
    alice = await fedify.actor("alice")
    agent = await new_agent("ada", follow=(f"@alice@{fedify.host}",))
    await agent.resident.until(lambda: agent.follows() == {alice: "accepted"})
    assert agent.actor in await fedify.ask("followers", name="alice")


async def test_an_actor_that_was_deleted_hears_nothing_of_us_any_more(fedify: Peer, new_agent: NewAgent) -> None:
    agent, leaver = await new_agent("ada"), await fedify.actor("leaver")
    await fedify.ask("follow", **{"from": "leaver", "to": agent.actor})
    await agent.resident.until(lambda: agent.followers() == [leaver])
    # As a rule nobody is there any more to be asked for the key.
    await fedify.ask("pretend", path="/users/leaver", status=410)
    await fedify.ask("leave", **{"from": "leaver", "to": agent.actor})
    await agent.resident.until(lambda: not agent.followers())


async def test_the_deletion_of_an_actor_that_nobody_here_knows_is_taken_as_it_is(
    fedify: Peer, new_agent: NewAgent
) -> None:
    agent = await new_agent("ada")
    await fedify.actor("ghost")
    await fedify.ask("pretend", path="/users/ghost", status=410)
    # Fedify complains of whatever is not taken.
    await fedify.ask("leave", **{"from": "ghost", "to": agent.actor})


async def test_fedify_takes_whatever_we_can_say_of_following(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    names, follow = agent.names, f"{alice}/follows/1"
    for document, named in (
        (notes.follow(names, "follow", alice), alice),
        (notes.undo(names, "undo", "follow", alice), names.activity("follow")),
        (notes.accept(names, "accept", alice, follow), follow),
        (notes.reject(names, "reject", alice, follow), follow),
    ):
        proven = proofs.attach(document, agent.keys, names.ed25519_key, now_ms() // 1000)
        assert await fedify.ask("proven", document=proven)
        assert (await agent.fetcher.post(f"{alice}/inbox", json.dumps(proven).encode())).status == 202
        taken = (await fedify.taken(lambda one, of=document["id"]: one["id"] == of))["activity"]  # type: ignore[misc]
        assert named in (taken["object"], taken["object"]["id"] if isinstance(taken["object"], dict) else "")
