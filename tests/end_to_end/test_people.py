"""People in the room, with any chat client and without a key: here one of plain HTTP."""

from __future__ import annotations

import re

import pytest

from clawnet_proto.families import task
from clawnet_proto.signing import digest
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import models_held
from tests.end_to_end.conftest import NO_MODEL, Mesh, NewAgent
from tests.end_to_end.handmade_peer import HandmadePeer
from tests.end_to_end.person import Person, in_thread, on_behalf
from tests.end_to_end.reading import carried, room_messages
from tests.matrix_client import MatrixClient


@pytest.fixture
async def person(mesh: Mesh, new_client: NewClient) -> Person:
    client = await new_client("person")
    await client.join(mesh.room_id)
    return Person(client, mesh.room_id)


async def test_one_agent_answers_a_question_to_nobody_in_particular(mesh: Mesh, person: Person) -> None:
    peers = await person.say("!claw peers")
    ask = await person.say("!claw ask Why is the sky blue?")
    request, close = await person.closed(ask)

    behalf = on_behalf(request)
    assert behalf.address == person.address
    assert behalf.text_digest == digest(b"!claw ask Why is the sky blue?")
    assert close.body.outcome == "completed"
    asking = await person.told(ask, "vouched by the homeserver")
    assert request.id in [message.id for message in carried(asking)]
    (revised,) = [message for message in person.messages() if message.id == close.body.accepted[-1].result]
    await person.told(ask, f"^{re.escape(revised.body.text.strip())}$")

    listing = await person.told(peers, "model|gemma")
    for agent in mesh.agents:
        assert f"{agent.name} – ai" in listing["content"]["body"]
    # By now each agent had its turn to answer as well.
    answers = [event for event in person.client.events if event["type"] == "m.room.message" and in_thread(event, peers)]
    assert len(answers) == 1


async def test_a_mentioned_agent_answers(mesh: Mesh, person: Person) -> None:
    agent = mesh.agents[1]
    ask = await person.say(f"{agent.name}: What is honey?", agent)
    request, close = await person.closed(ask)
    assert close.body.outcome == "completed"
    assert on_behalf(request).text_digest == digest(f"{agent.name}: What is honey?".encode())
    (me,) = [peer for peer in await agent.peers() if peer.me]
    assert request.sender == close.sender == me.did
    answer = await person.told(ask, "[Hh]oney")
    assert answer["sender"] == agent.account.user_id


async def test_a_task_is_looked_at_and_only_its_owner_cancels_it(
    mesh: Mesh, person: Person, new_client: NewClient
) -> None:
    other = Person(await new_client("other"), mesh.room_id)
    await other.client.join(mesh.room_id)
    with models_held(*mesh.agents):
        ask = await person.say("!claw ask What is the capital of France?")
        # The id stands where a person reads it.
        asking = await person.told(ask, r"task [\w-]{8}")
        found = re.search(r"task ([\w-]{8})", asking["content"]["body"])
        assert found is not None
        task_id = found.group(1)
        look = await person.say(f"!claw task {task_id}")
        seen = await person.told(look, f"Task {task_id}: ")
        assert "draft: " in seen["content"]["body"]
        assert "revise: " in seen["content"]["body"]

        theirs = await other.say(f"!claw cancel {task_id}")
        await other.told(theirs, "Only who asked may do that")
        mine = await person.say(f"!claw cancel {task_id}")
        await person.told(mine, f"Task {task_id} is canceled")
        await person.client.wait_for(
            lambda event: (
                event["sender"] == asking["sender"]
                and in_thread(event, ask)
                and any(isinstance(message.body, task.Cancel) for message in carried(event))
            )
        )
    again = await person.say(f"!claw cancel {task_id}")
    await person.told(again, "no open task")


async def test_what_is_no_question(mesh: Mesh, person: Person) -> None:
    """An edit, an agent's words, a notice, and talk that is for nobody of ours."""
    room_id = mesh.room_id
    spoken = await person.say("Good morning, everybody!")
    edit = {
        "m.new_content": {"msgtype": "m.text", "body": "!claw ask What is an edit?"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": spoken},
    }
    edited = await person.client.send_text(room_id, "* !claw ask What is an edit?", **edit)
    hammer = await person.say("!clawhammer ask What is a hammer?")
    async with MatrixClient(mesh.agents[0].account) as agent:
        words = await agent.send_text(room_id, "!claw ask What does an agent ask?")
        mention = {"user_ids": [mesh.agents[1].account.user_id]}
        to_agent = await agent.send_text(room_id, f"{mesh.agents[1].name}: hello?", **{"m.mentions": mention})
    notice = {"msgtype": "m.notice", "body": "!claw ask What is a notice?"}
    noticed = await person.client.send(room_id, "m.room.message", notice)

    ask = await person.say("!claw ask What is a question?")
    await person.closed(ask)
    events = {spoken, edited, hammer, words, to_agent, noticed}
    messages = await room_messages(person.client, room_id)
    assert not [m for m in messages if isinstance(m.body, task.Request) and on_behalf(m).event in events]
    assert not [event for event in person.client.events if any(in_thread(event, root) for root in events)]


async def test_a_person_has_a_quota(new_client: NewClient, new_room: NewRoom, new_agent: NewAgent) -> None:
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("host", person.room_id, *NO_MODEL, people_questions_per_minute="2")
    agent.start()
    await agent.ready()
    for _ in range(2):
        await person.told(await person.say("!claw help", agent), "!claw ask QUESTION")
    await person.told(await person.say("!claw help", agent), "Ask again in a while")
    # Somebody else's is not used up by that.
    other = Person(await new_client("other"), person.room_id)
    await other.client.join(person.room_id)
    await other.told(await other.say("!claw help", agent), "!claw ask QUESTION")


async def test_a_task_has_a_question_for_the_person(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    """The agent that asked passes it on, and what is answered in the room reaches whoever does the work."""
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("host", person.room_id, *NO_MODEL)
    agent.start()
    await agent.ready()
    oracle_client = await new_client("oracle")
    await oracle_client.join(person.room_id)
    oracle = HandmadePeer(oracle_client, person.room_id, "oracle")
    await oracle.announce()
    await agent.sees("oracle")

    ask = await person.say("!claw ask Which way is up?")
    request = await oracle.received(task.Request)
    stages = tuple(task.StageOffer(stage=stage.id, wait_ms=0) for stage in request.body.stages)
    offer = oracle.message(task.Offer(stages=stages), to=request.sender, thread=request.id, answers=request.id)
    await oracle.direct(agent.account.user_id, offer)
    award = await oracle.received(task.Award)
    thread = {"to": request.sender, "thread": request.id}
    question = task.Ask(stage="draft", attempt=1, question="Which planet?")
    await oracle.post(oracle.message(question, answers=award.id, **thread))

    told = await person.told(ask, r"Which planet\?")
    command = re.search(r"!claw answer ([\w-]{8})", told["content"]["body"])
    assert command is not None
    await person.say(f"{command.group()} Jupiter, please")
    reply = await oracle.received(task.Reply)
    assert reply.body.text == "Jupiter, please"
    result = oracle.result(award, request.body, "Away from Jupiter's centre.")
    await oracle.post(oracle.message(result, answers=reply.id, **thread))
    status = await person.say(f"!claw task {request.id[:8]}")
    seen = await person.told(status, "draft: completed by oracle")
    assert "critique: awarded by oracle" in seen["content"]["body"]
