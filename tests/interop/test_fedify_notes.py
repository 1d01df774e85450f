"""Notes both ways, by each scheme of signatures, and what of a carrier others keep."""

from __future__ import annotations

import hashlib
import itertools
import json

import aiohttp
import pytest

from bots.transports import Parcel
from bots.transports.activitypub.names import PUBLIC
from bots.transports.activitypub.schemes import SCHEMES
from clawnet_proto.carrier import verify
from tests.interop.agent import Agent, NewAgent
from tests.interop.peer import Peer
from tests.transports.worlds import Words

ANOTHER = Words("bert", PUBLIC)
MEDIA_TYPE = "application/clawnet+json"
CONTEXT = {"clawnetCarriers": "https://clawnet.example/ns#carriers"}


def carriers_text(*carriers: str) -> str:
    return f'{{"carriers":[{",".join(carriers)}]}}'


async def followed(fedify: Peer, agent: Agent, name: str) -> str:
    """A new actor at the peer, which follows our agent; its id."""
    actor = await fedify.actor(name)
    await fedify.ask("follow", **{"from": name, "to": agent.actor})
    await agent.resident.until(lambda: actor in agent.followers())
    await agent.resident.until(lambda: agent.transport._outgoing.waiting == 0)  # it knows that it is accepted
    return actor


async def linked(fedify: Peer, carrier: str) -> dict[str, str]:
    """Where the peer serves a carrier, as an attachment."""
    text = carriers_text(carrier)
    path = f"/carriers/{hashlib.sha256(text.encode()).hexdigest()}"
    return {"type": MEDIA_TYPE, "href": await fedify.ask("serve", path=path, type=MEDIA_TYPE, body=text)}


async def test_our_announce_reads_as_a_note_with_the_same_carrier_bytes_twice(
    fedify: Peer, new_agent: NewAgent
) -> None:
    agent = await new_agent("ada")
    await followed(fedify, agent, "alice")
    carrier = await agent.announce("I write first drafts.\nAsk me <anything> & more.")
    activity = (await fedify.note(agent.actor, "first drafts"))["activity"]

    read = await fedify.ask("object", at=activity["object"]["id"])
    assert (read["type"], read["attributed_to"]) == ("Note", agent.actor)
    assert (read["to"], read["cc"]) == ([PUBLIC], [agent.names.followers])
    assert "I write first drafts." in read["content"]
    assert "Ask me &lt;anything&gt; &amp; more." in read["content"]
    assert read["published"]

    [link] = read["attachments"]
    assert (link["type"], link["media_type"]) == ("Link", MEDIA_TYPE)
    text = activity["object"]["clawnetCarriers"]
    assert text == carriers_text(carrier)
    assert link["href"] == agent.names.carriers(hashlib.sha256(text.encode()).hexdigest())
    async with aiohttp.ClientSession() as session, session.get(link["href"], ssl=agent.trust) as answer:
        assert answer.content_type == MEDIA_TYPE
        assert await answer.read() == text.encode()
    assert verify(carrier.encode()).sender == agent.author.did


async def test_what_fedify_writes_anew_still_leads_to_the_carrier(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    await followed(fedify, agent, "alice")
    await agent.announce("Hello")
    activity = (await fedify.note(agent.actor, "Hello"))["activity"]
    rewritten = (await fedify.ask("rewritten", document=activity))["object"]
    assert "clawnetCarriers" not in rewritten
    assert rewritten["content"] == activity["object"]["content"]
    text = activity["object"]["clawnetCarriers"]
    assert rewritten["attachment"]["mediaType"] == MEDIA_TYPE
    assert rewritten["attachment"]["href"].endswith(hashlib.sha256(text.encode()).hexdigest())


async def test_our_outbox_shows_fedify_what_we_said_in_public(fedify: Peer, new_agent: NewAgent) -> None:
    agent = await new_agent("ada")
    for text in ("one", "two"):
        await agent.announce(text)
    shown = await fedify.ask("collection", at=agent.names.outbox, depth="objects")
    assert (shown["type"], shown["total"]) == ("OrderedCollection", 2)
    assert [item["type"] for item in shown["items"]] == ["Create", "Create"]
    assert [text in item["object"]["content"] for item, text in zip(shown["items"], ("two", "one"), strict=True)]


async def test_a_direct_message_goes_to_its_recipient_alone(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    carrier = agent.carrier()
    parcel = Parcel(txn="one", plane="direct", address=alice, device="inbox", carriers=(carrier,), body="For you alone")
    await agent.transport.send(parcel)
    note = (await fedify.note(agent.actor, "For you alone"))["activity"]["object"]
    assert (note["to"], note.get("cc", [])) == ([alice], [])
    assert note["clawnetCarriers"] == carriers_text(carrier)
    [mention] = note["tag"]
    assert (mention["type"], mention["href"]) == ("Mention", alice)


async def test_a_peer_that_refuses_one_scheme_gets_the_other_and_from_then_on_at_once(
    fedify: Peer, new_agent: NewAgent
) -> None:
    agent = await new_agent("ada")
    await followed(fedify, agent, "choosy")
    schemes = []
    try:
        for refused, text in itertools.product(SCHEMES, ("first", "second")):
            await fedify.ask("refuse", scheme=refused)
            before = len(await fedify.ask("seen"))
            await agent.announce(f"The {text} without {refused}")
            await fedify.note(agent.actor, f"The {text} without {refused}")
            posts = [one for one in await fedify.ask("seen", after=before) if one["method"] == "POST"]
            schemes.append([(one["scheme"], one["status"]) for one in posts])
    finally:
        await fedify.ask("refuse", scheme=None)
    assert schemes == [
        [("cavage", 401), ("rfc9421", 202)],
        [("rfc9421", 202)],
        [("rfc9421", 401), ("cavage", 202)],
        [("cavage", 202)],
    ]


@pytest.mark.parametrize("proof", [False, True], ids=["by the request", "by the request and a proof"])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_carrier_in_a_note_of_fedify_arrives(
    fedify: Peer, new_agent: NewAgent, scheme: str, proof: bool
) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    carrier = ANOTHER.carrier(address=alice)
    link = await linked(fedify, carrier)
    answer = await fedify.ask(
        "note",
        **{"from": "alice", "to": agent.actor, "scheme": scheme, "proof": proof},
        attachments=[link],
    )
    assert answer["status"] in (200, 202), answer
    await agent.resident.until(agent.arrived)
    [delivery] = agent.arrived()
    assert delivery.sender == alice
    assert agent.transport.carriers(delivery) == [json.loads(carrier)]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_carrier_that_stands_in_the_note_itself_arrives(fedify: Peer, new_agent: NewAgent, scheme: str) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    carrier = ANOTHER.carrier(address=alice)
    answer = await fedify.ask(
        "note",
        **{"from": "alice", "to": agent.actor, "scheme": scheme},
        members={"clawnetCarriers": carriers_text(carrier)},
        context=CONTEXT,
    )
    assert answer["status"] in (200, 202), answer
    await agent.resident.until(agent.arrived)
    [delivery] = agent.arrived()
    assert agent.transport.carriers(delivery) == [json.loads(carrier)]


async def test_a_note_that_comes_twice_counts_once(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    carrier = carriers_text(ANOTHER.carrier(address=alice))
    for scheme in SCHEMES:
        note = {"from": "alice", "to": agent.actor, "scheme": scheme}
        answer = await fedify.ask("note", **note, members={"clawnetCarriers": carrier}, context=CONTEXT)
        assert answer["status"] in (200, 202), answer
    await agent.resident.until(agent.arrived)
    assert len(agent.arrived()) == 1


async def test_words_of_a_person_at_fedify_are_read_as_such(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    question = '<p><span class="h-card"><a href="x">@ada</a></span> Why is the sky <b>blue</b>?</p>'
    note = {"from": "alice", "to": agent.actor, "scheme": "rfc9421", "content": question, "everybody": True}
    assert (await fedify.ask("note", **note))["status"] in (200, 202)
    await agent.resident.until(agent.arrived)
    [delivery] = agent.arrived()
    assert (delivery.sender, delivery.plane, delivery.room) == (alice, "room", PUBLIC)
    words = agent.transport.person_text(delivery)
    assert words is not None
    assert "Why is the sky blue?" in words.text


async def test_a_private_question_is_declined_with_the_reason(fedify: Peer, new_agent: NewAgent) -> None:
    agent, alice = await new_agent("ada"), await fedify.actor("alice")
    asked = await fedify.ask("note", **{"from": "alice", "to": agent.actor, "scheme": "cavage"})
    note = (await fedify.note(agent.actor, "Ask me in a public post"))["activity"]["object"]
    assert note["inReplyTo"] == asked["id"].removesuffix("/activity")
    assert note["to"] == [alice]
    assert not agent.arrived()


async def test_a_note_that_another_actor_hands_on_is_its_author_s_by_the_proof(
    fedify: Peer, new_agent: NewAgent
) -> None:
    agent = await new_agent("ada")
    alice, _ = await fedify.actor("alice"), await fedify.actor("bob")
    link = await linked(fedify, ANOTHER.carrier(address=alice))
    note = {"from": "alice", "courier": "bob", "to": agent.actor, "scheme": "rfc9421", "attachments": [link]}
    assert (await fedify.ask("note", **note))["status"] in (401, 403)
    assert (await fedify.ask("note", **note, proof=True))["status"] in (200, 202)
    await agent.resident.until(agent.arrived)
    assert [delivery.sender for delivery in agent.arrived()] == [alice]


@pytest.mark.parametrize("count", [1, 2])
async def test_what_an_actor_of_fedify_said_before_we_followed_it_is_context(
    fedify: Peer, new_agent: NewAgent, count: int
) -> None:
    stranger, name = await new_agent("stranger"), f"author-of-{count}"
    author, said = await fedify.actor(name), []
    for _ in range(count):
        said.append(ANOTHER.carrier(address=author))
        link = await linked(fedify, said[-1])
        note = {"from": name, "to": stranger.actor, "scheme": "cavage", "everybody": True, "attachments": [link]}
        assert (await fedify.ask("note", **note))["status"] == 202
    agent = await new_agent("ada", follow=(author,))
    await agent.resident.until(lambda: len(agent.arrived()) == count)
    found = [agent.transport.carriers(delivery) for delivery in agent.arrived()]
    assert found == [[json.loads(carrier)] for carrier in said]
    assert {(delivery.sender, delivery.live) for delivery in agent.arrived()} == {(author, False)}
