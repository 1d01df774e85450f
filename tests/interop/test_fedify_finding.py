"""Finding each other: WebFinger, NodeInfo, actors and their keys, both ways."""

from __future__ import annotations

import pytest

from bots.transports.activitypub.fetcher import FetchError
from tests.interop.agent import NewAgent
from tests.interop.peer import Peer


async def test_fedify_finds_our_actor_by_its_handle(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    found = await fedify.ask("actor", at=agent.names.handle)
    assert found["id"] == agent.actor
    assert (found["type"], found["username"]) == ("Service", "ada")
    assert found["inbox"] == agent.names.inbox
    assert found["shared_inbox"] == agent.names.shared_inbox
    assert (found["outbox"], found["followers"]) == (agent.names.outbox, agent.names.followers)


async def test_fedify_reads_both_keys_of_our_actor(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    found = await fedify.ask("actor", at=agent.actor)
    rsa, ed25519 = {"algorithm": "RSASSA-PKCS1-v1_5", "bits": 2048}, {"algorithm": "Ed25519"}
    assert found["public_keys"] == [{"id": agent.names.main_key, "owner": agent.actor, **rsa}]
    assert found["multikeys"] == [{"id": agent.names.ed25519_key, "owner": agent.actor, **ed25519}]


@pytest.mark.parametrize("resource", ["acct:ada@{host}", "{actor}"])
async def test_our_webfinger_leads_fedify_to_the_actor(fedify: Peer, new_agent: NewAgent, resource: str) -> None:
    agent = await new_agent("ada")
    resource = resource.format(host=agent.names.host, actor=agent.actor)
    found = await fedify.ask("webfinger", resource=resource)
    assert found["subject"] == f"acct:ada@{agent.names.host}"
    [link] = [link for link in found["links"] if link["rel"] == "self"]
    assert (link["type"], link["href"]) == ("application/activity+json", agent.actor)


async def test_fedify_finds_nobody_of_another_name(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    assert await fedify.ask("actor", at=f"@bert@{agent.names.host}") is None


async def test_fedify_takes_our_nodeinfo(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    found = await fedify.ask("nodeinfo", origin=agent.names.base)
    assert found["protocols"] == ["activitypub"]
    assert found["software"]["name"] == "clawbot"


async def test_we_find_an_actor_of_fedify_by_its_handle(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    assert await agent.fetcher.webfinger(f"@alice@{fedify.host}") == alice
    assert await agent.fetcher.webfinger(f"alice@{fedify.host}") == alice
    with pytest.raises(FetchError):
        await agent.fetcher.webfinger(f"@nobody@{fedify.host}")


async def test_we_read_both_keys_of_an_actor_of_fedify(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    found = await agent.verifier.actor(alice)
    assert (found.type, found.user, found.inbox) == ("Person", "alice", f"{alice}/inbox")
    assert found.shared_inbox == f"{fedify.origin}/inbox"
    assert found.followers == f"{alice}/followers"
    # It lists its RSA key among the Multikeys, too.
    assert {(key.id, key.algorithm) for key in found.keys} == {
        (f"{alice}#main-key", "rsa-v1_5-sha256"),
        (f"{alice}#multikey-2", "ed25519"),
    }


async def test_an_actor_that_shows_itself_only_to_who_signs_is_found_all_the_same(
    fedify: Peer, new_agent: NewAgent
) -> None:
    agent, guarded = await new_agent("ada"), await fedify.actor("guarded", guarded=True)
    assert (await agent.verifier.actor(guarded)).id == guarded
