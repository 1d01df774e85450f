"""Proofs within activities (FEP-8b32): Fedify verifies ours, we verify Fedify's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bots.message_signature import BadSignature
from bots.transports.activitypub import proofs
from bots.transports.activitypub.keys import Claim, check
from bots.transports.activitypub.notes import Words, create
from tests.interop.agent import Agent, NewAgent
from tests.interop.peer import Peer
from tests.transports.worlds import now_ms


def proven(agent: Agent, recipient: str, **members: Any) -> dict[str, Any]:
    """A note of our agent with a proof; ``members`` were put in before that."""
    words = Words(
        name="proven",
        published_ms=now_ms(),
        text="Grüße <from> here & there: €, \u2028, 🦀",
        carriers=f'{{"carriers":[{agent.carrier()}]}}',
        to=(recipient,),
        mentions=((recipient, "@alice"),),
    )
    document = create(agent.names, words) | members
    return proofs.attach(document, agent.keys, agent.names.ed25519_key, now_ms() // 1000)


async def test_fedify_verifies_our_proof(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    assert await fedify.ask("proven", document=proven(agent, alice))


async def test_fedify_does_not_take_our_proof_for_anything_else(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    document = proven(agent, alice)
    changed = [
        document | {"object": document["object"] | {"content": "<p>Something else</p>"}},
        document | {"to": ["https://www.w3.org/ns/activitystreams#Public"]},
        document | {"proof": document["proof"] | {"created": "2026-01-01T00:00:00Z"}},
        document | {"proof": document["proof"] | {"verificationMethod": f"{alice}#multikey-2"}},
        proven(agent, alice, actor=alice),
    ]
    assert [await fedify.ask("proven", document=one) for one in changed] == [False] * len(changed)


async def test_what_we_send_is_verified_by_its_proof(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    await fedify.actor("alice")
    await fedify.ask("follow", **{"from": "alice", "to": agent.actor})
    posted = await fedify.taken(lambda one: one["type"] == "Accept" and one["actor"] == agent.actor)
    assert posted["verdict"]["verified"] and not posted["verdict"]["by_http"]
    assert posted["verdict"]["proof_key_id"] == agent.names.ed25519_key


async def test_we_verify_a_proof_of_fedify_and_nothing_else_with_it(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice, bob = await new_agent("ada"), await fedify.actor("alice"), await fedify.actor("bob")
    note = {"from": "alice", "to": bob, "scheme": "rfc9421", "proof": True, "content": "<p>Grüße, €, 🦀</p>"}
    assert (await fedify.ask("note", **note))["status"] == 202
    document = json.loads((await fedify.requests("POST", "/users/bob/inbox"))[-1]["body"])
    key = (await agent.verifier.actor(alice)).key(f"{alice}#multikey-2")
    assert key is not None
    # Another signature may be there, of a kind that we do not look at.
    for genuine in (document, document | {"signature": {"type": "RsaSignature2017"}}):
        check(claimed(genuine), key)
    for changed in (document | {"to": alice}, document | {"object": document["object"] | {"content": "<p>No</p>"}}):
        with pytest.raises(BadSignature):
            check(claimed(changed), key)


def claimed(document: dict[str, Any]) -> Claim:
    """What the proof of an activity claims."""
    claim = proofs.claim(document)
    assert claim is not None
    return claim
