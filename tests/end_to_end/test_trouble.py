"""What a homeserver can do to agents, the real one: it forgets a login, restarts, loses files, and repeats itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from bots.homeserver import Homeserver
from bots.transports.matrix import session
from clawnet_proto.artifact import describe
from clawnet_proto.families import task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest, signed_bytes
from tests.agent.simulated import echo, request
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import LEAVE_S, AgentProcess
from tests.end_to_end.conftest import NO_MODEL, NewAgent, plain_client
from tests.end_to_end.handmade_peer import HandmadePeer
from tests.end_to_end.person import Person
from tests.end_to_end.reading import Json, about, carried, room_messages
from tests.engines.ollama_server import OllamaServer
from tests.matrix_client import MatrixClient

CANNOT = 3
QUESTION = "What is honey?"
PLENTY_MS = "120000"


async def ended(agent: AgentProcess) -> int:
    """Its exit status, once it has ended by itself."""
    async with asyncio.timeout(LEAVE_S):
        while agent.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return await agent.stop()


def kinds(messages: list[Message], *kinds: type) -> list[Message]:
    return [message for message in messages if isinstance(message.body, kinds)]


async def test_a_token_is_revoked(new_client: NewClient, new_room: NewRoom, new_agent: NewAgent) -> None:
    """The agent ends with one sentence; started again with its password, it answers what was asked meanwhile."""
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("ada", person.room_id, *NO_MODEL)
    agent.start()
    before = await agent.ready()
    kept = session.load(agent.state)
    assert kept is not None
    async with MatrixClient(agent.account) as elsewhere:
        elsewhere.token = kept.token
        await elsewhere.request("POST", "/logout", {})
    assert await ended(agent) == CANNOT
    sentence = f"clawbot: The homeserver no longer accepts the session of {agent.account.user_id}"
    assert agent.log.splitlines()[-1].startswith(sentence)
    assert kept.token not in agent.log

    asked = await person.say("!claw peers", agent)
    agent.start()
    await person.told(asked, f"{agent.name} – ai")
    assert (await agent.ready()).did == before.did


async def test_the_homeserver_restarts_in_the_middle_of_a_task(tmp_path: Path, new_agent: NewAgent) -> None:
    """What was finished meanwhile is told once it is back, and nobody does it again."""
    async with OllamaServer() as server, Homeserver(tmp_path) as homeserver:
        server.fault = "stall"
        async with plain_client(homeserver, "founder") as founder:
            room_id = await founder.create_room(preset="public_chat")
        asker = await new_agent(
            "asker", room_id, *NO_MODEL, "--kind", "human", homeserver=homeserver, requests_lease_ms=PLENTY_MS
        )
        worker = await new_agent(
            "worker", room_id, "--engine", "ollama", homeserver=homeserver, engine_ollama_host=server.url
        )
        for agent in (asker, worker):
            agent.start("--record", "transcript.jsonl")
        await asyncio.gather(asker.ready(), worker.ready())
        await asker.sees(worker.name)
        async with asker.running("ask", QUESTION, "--json") as command:
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            await homeserver.stop()
            await asyncio.gather(asker.logs("Trying again"), worker.logs("Trying again"))
            server.fault = ""
            server.went_on.set()
            await worker.logs("ran answer of task")
            await homeserver.start()
            answer = await command.until(lambda line: line["event"] == "answer")
            assert answer["outcome"] == "completed", command.lines
        assert len([name for name, _ in server.requests if name == "chat"]) == 1
        async with plain_client(homeserver, "witness") as witness:
            await witness.join(room_id)
            # Who asked has its answer before the room has the receipt.
            await witness.wait_for(lambda event: bool(kinds(carried(event), task.Close)))
            messages = about(answer["task"], await room_messages(witness, room_id))
        assert [len(kinds(messages, kind)) for kind in (task.Request, task.Award, task.Result, task.Close)] == [1] * 4
        assert len({message.id for message in messages}) == len(messages)
        assert await asker.stop() == await worker.stop() == 0


async def test_files_that_are_missing_or_not_what_was_promised(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    """Such a result is as good as none: the person is told why, and the stage is given out anew."""
    client = await new_client("oracle")
    room_id = await new_room(client)
    asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human", requests_lease_ms="3000")
    asker.start()
    await asker.ready()
    oracle = HandmadePeer(client, room_id, "oracle")
    await oracle.announce()
    await asker.sees(oracle.name)
    promised, other = b"far away " * 9_000, b"elsewhere" * 9_000
    assert len(promised) == len(other)
    uris = [await upload(client, other), f"mxc://{client.user_id.partition(':')[2]}/nothing-there"]
    uris.append(await upload(client, promised))
    async with asker.running("ask", QUESTION, "--to", oracle.name, "--json") as command:
        asked = await oracle.received(task.Request)
        for attempt, uri in enumerate(uris, start=1):
            award = await awarded(oracle, attempt)
            result = msgspec.structs.replace(
                oracle.result(award, asked.body, "."),
                text=UNSET, artifact=describe(promised, [uri]), output_digest=digest(promised),
            )  # fmt: skip
            await oracle.post(oracle.message(result, to=asked.sender, thread=asked.id, answers=award.id))
        answer = await command.until(lambda line: line["event"] == "answer")
    assert (answer["outcome"], answer["text"]) == ("completed", promised.decode())
    assert answer["stages"][0]["attempt"] == len(uris)
    notices = [line["text"] for line in command.lines if line["event"] == "notice" and "can not be had" in line["text"]]
    assert len(notices) == 2
    assert "is not what was promised" in notices[0]
    await oracle.received(task.Close)  # who asked has its answer before the room has the receipt
    assert len(kinds(await room_messages(client, room_id), task.Close)) == 1


async def upload(client: MatrixClient, data: bytes) -> str:
    answer = await client.request("POST", "/_matrix/media/v3/upload", data=data)
    return str(answer["content_uri"])


async def awarded(oracle: HandmadePeer, attempt: int) -> Message:
    """The award of this attempt, once it is there."""

    def match(event: Json) -> bool:
        return any(isinstance(found.body, task.Award) and found.body.attempt == attempt for found in carried(event))

    event = await oracle.client.wait_for(match)
    (award,) = kinds(carried(event), task.Award)
    return award


async def test_everything_is_delivered_again_and_backwards(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    """By whoever said it and by others. Words that come before what they answer wait for it, and count once."""
    client = await new_client("oracle")
    room_id = await new_room(client)
    ada, bert = [await new_agent(name, room_id, *NO_MODEL) for name in ("ada", "bert")]
    for agent in (ada, bert):
        agent.start()
    await asyncio.gather(ada.ready(), bert.ready())
    oracle = HandmadePeer(client, room_id, "oracle")
    await oracle.announce()
    await asyncio.gather(ada.sees("oracle", bert.name), bert.sees("oracle", ada.name))

    asked = oracle.message(request(echo()))
    task_id = digest(signed_bytes(asked["env"].encode()))
    did = (await ada.ready()).did
    award = task.Award(stage="answer", attempt=1, lease_ms=60_000)
    given = oracle.message(award, to=did, thread=task_id, answers=task_id)
    await oracle.post(given)
    await oracle.post(asked)
    await oracle.received(task.Result)
    said = [event for event in await client.messages(room_id) if carried(event)]
    async with MatrixClient(ada.account) as ada_elsewhere, MatrixClient(bert.account) as bert_elsewhere:
        for event in reversed(said):
            for account in (client, ada_elsewhere, bert_elsewhere):
                await account.send(room_id, "m.room.message", event["content"])
    # What comes after it is answered: so all of it was looked at.
    person = Person(await new_client("person"), room_id)
    await person.client.join(room_id)
    for agent in (ada, bert):
        await person.told(await person.say("!claw help", agent), "I pass questions on")
    originals: dict[str, Any] = {message.id: message for message in await room_messages(client, room_id)}
    done = about(task_id, originals.values())
    assert [len(kinds(done, kind)) for kind in (task.Request, task.Award, task.Result, task.Fail)] == [1, 1, 1, 0]
    for agent in (ada, bert):
        assert (await agent.ready()).jobs == 0
