"""Agents come and go: invitations, leaving, coming back, and what was asked in between."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from bots.homeserver import Homeserver
from clawnet_proto.families import presence, task
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent, plain_client
from tests.end_to_end.person import Person, on_behalf
from tests.end_to_end.reading import carried, room_messages
from tests.matrix_client import MatrixClient

ANNOUNCED_S = 10


async def membership(client: MatrixClient, room_id: str, user_id: str) -> str:
    return str((await client.state(room_id, "m.room.member", user_id))["membership"])


async def test_an_invitation_of_the_owner_is_accepted(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    owner, stranger = await new_client("owner"), await new_client("stranger")
    agent = await new_agent("ada", "", *NO_MODEL, "--owner", owner.user_id)
    agent.start()
    await agent.online()
    user_id = agent.account.user_id

    theirs = await new_room(stranger, public=False)
    await stranger.invite(theirs, user_id)
    await stranger.wait_for(
        lambda event: (
            event["type"] == "m.room.member"
            and event.get("state_key") == user_id
            and event["content"]["membership"] == "leave"
        )
    )
    mine = await new_room(owner, public=False)
    await owner.invite(mine, user_id)
    announce = await owner.wait_for(
        lambda event: (
            event["room_id"] == mine and any(isinstance(message.body, presence.Announce) for message in carried(event))
        ),
        ANNOUNCED_S,
    )
    assert announce["sender"] == user_id
    assert "is here: ai generalist" in announce["content"]["body"]
    assert user_id not in await stranger.members(theirs)
    # It is of use there at once.
    person = Person(owner, mine)
    await person.told(await person.say("!claw peers"), f"{agent.name} – ai")


async def test_an_agent_leaves_politely_and_does_nothing_twice(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    """Alone with a person it does the work itself."""
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("solo", person.room_id, *MODEL)
    agent.start()
    await agent.ready()
    ask = await person.say("!claw ask What is honey?")
    _, close = await person.closed(ask)
    assert close.body.outcome == "completed"

    assert await agent.stop() == 0, agent.log
    leave = await client.wait_for(
        lambda event: any(isinstance(message.body, presence.Leave) for message in carried(event))
    )
    assert "leaves" in leave["content"]["body"]
    while_away = await person.say("!claw ask What is bread?")
    agent.start()
    await agent.ready()
    _, close = await person.closed(while_away)
    assert close.body.outcome == "completed"
    assert len(person.requests(ask)) == len(person.requests(while_away)) == 1
    messages = await room_messages(client, person.room_id)
    assert len([message for message in messages if isinstance(message.body, task.Result)]) == 6
    # Its owner sees for whom it works.
    assert agent.log.count(f" for {agent.name}: ") == 6
    assert await agent.stop() == 0


async def test_a_question_waits_for_the_only_one_who_can(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    room_id = await new_room(await new_client("founder"))
    asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human")
    agent = await new_agent("ada", room_id, *MODEL)
    for each in (asker, agent):
        each.start()
    await asyncio.gather(asker.ready(), agent.ready())
    await asker.sees(agent.name)
    assert await agent.stop() == 0
    async with asker.running("ask", "Why is the sky blue?", "--max-tokens", "16", "--json") as command:
        await command.until(lambda line: line["event"] == "task")
        agent.start()
        answer = await command.until(lambda line: line["event"] == "answer")
        assert answer["outcome"] == "completed", command.lines
        assert await command.ended() == 0


async def test_the_homeserver_goes_away_and_comes_back(tmp_path: Path, new_agent: NewAgent) -> None:
    """A question that was taken while it was away is asked, and answered, once it is back."""
    async with Homeserver(tmp_path) as homeserver:
        async with plain_client(homeserver, "founder") as founder:
            room_id = await founder.create_room(preset="public_chat")
        asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human", homeserver=homeserver)
        agent = await new_agent("ada", room_id, *MODEL, homeserver=homeserver)
        for each in (asker, agent):
            each.start()
        await asyncio.gather(asker.ready(), agent.ready())
        await asker.sees(agent.name)
        await homeserver.stop()
        await asyncio.gather(asker.logs("Trying again"), agent.logs("Trying again"))
        async with asker.running("ask", "Why is the sky blue?", "--max-tokens", "16", "--json") as command:
            await command.until(lambda line: line["event"] == "task")
            notices = [line["text"] for line in command.lines if line["event"] == "notice"]
            assert "The homeserver cannot be reached just now: the question goes out once it can." in notices
            await homeserver.start()
            answer = await command.until(lambda line: line["event"] == "answer")
            assert answer["outcome"] == "completed", command.lines
            assert await command.ended() == 0
        assert await asker.stop() == await agent.stop() == 0


async def test_the_agent_that_asks_is_killed_before_it_awards(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    """The offers it has heard are gone with it; the person who asked is answered all the same."""
    client = await new_client("person")
    person = Person(client, await new_room(client))
    host = await new_agent("host", person.room_id, *NO_MODEL, requests_offer_wait_ms="60000")
    worker, silent = [await new_agent(name, person.room_id, *MODEL) for name in ("ada", "bert")]
    for each in (host, worker, silent):
        each.start()
    await asyncio.gather(*(each.ready() for each in (host, worker, silent)))
    await host.sees(worker.name, silent.name)
    silent.signal(signal.SIGSTOP)
    async with host.running("watch", "--json") as watch:
        await watch.until(lambda line: line["event"] == "notice")
        ask = await person.say(f"{host.name}: What is honey?", host)
        await watch.until(lambda line: line["event"] == "message" and line["type"] == "task.offer")
        host.kill()
    silent.signal(signal.SIGCONT)
    host.start()
    request, close = await person.closed(ask)
    assert close.body.outcome == "completed"
    assert on_behalf(request).event == ask
    (revised,) = [message for message in person.messages() if message.id == close.body.accepted[-1].result]
    await person.told(ask, revised.body.text.strip())
