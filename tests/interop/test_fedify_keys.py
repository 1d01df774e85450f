"""New keys of an actor are learned when the old ones no longer do, by asking once; both ways."""

from __future__ import annotations

import pytest

from bots.transports.activitypub.schemes import SCHEMES
from tests.interop.agent import NewAgent
from tests.interop.peer import Peer


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_new_keys_of_an_actor_of_fedify_are_fetched_once(fedify: Peer, new_agent: NewAgent, scheme: str) -> None:
    agent = await new_agent("ada")
    name = f"changes-{scheme}"
    note = {"from": name, "to": agent.actor, "scheme": scheme}
    await fedify.actor(name)
    asked = []
    for _ in range(2):
        for _ in range(2):
            answer = await fedify.ask("note", **note)
            assert answer["status"] in (200, 202), answer
        asked.append(len(await fedify.requests("GET", f"/users/{name}")))
        await fedify.ask("rekey", name=name)
    assert asked == [1, 2]


async def test_who_signs_with_wrong_keys_does_not_make_us_ask_again_and_again(
    fedify: Peer, new_agent: NewAgent
) -> None:
    agent, forger = await new_agent("ada"), "forger"
    await fedify.actor(forger)
    victim = await fedify.actor("victim")
    note = {"to": agent.actor, "scheme": "rfc9421"}
    assert (await fedify.ask("note", **note, **{"from": "victim"}))["status"] in (200, 202)
    forged = {"from": forger, "other": victim, "tampering": "the key of another actor"}
    for _ in range(5):
        assert (await fedify.ask("note", **note, **forged))["status"] == 401
    assert len(await fedify.requests("GET", "/users/victim")) <= 2


async def test_fedify_takes_our_new_keys_after_its_old_ones_failed(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    alice = await fedify.actor("alice")
    await fedify.ask("follow", **{"from": "alice", "to": agent.actor})
    await agent.resident.until(lambda: agent.followers() == [alice])
    for text in ("By the first keys", "By the second keys"):
        await agent.announce(text)
        assert (await fedify.note(agent.actor, text))["verdict"]["verified"]
        await agent.restart_with_new_keys()
