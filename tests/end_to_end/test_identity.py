"""Keys that an owner changes and revokes by command, on the real homeserver."""

from __future__ import annotations

import asyncio

from bots.requests import Peers, PeerSeen
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import LEAVE_S, READY_S, AgentProcess, models_held, start_all
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent
from tests.end_to_end.reading import room_messages


async def seen(by: AgentProcess, did: str) -> PeerSeen | None:
    answers = await by.ask_socket(Peers(everyone=True))
    return next((peer for peer in answers if isinstance(peer, PeerSeen) and peer.did == did), None)


async def until_seen(by: AgentProcess, did: str, *, rotations: int = 0, standing: str = "good") -> PeerSeen:
    async with asyncio.timeout(READY_S):
        while True:
            peer = await seen(by, did)
            there = standing == "good"
            wanted = (rotations, standing, there, there)
            if peer is not None and (peer.rotations, peer.standing, peer.live, peer.bound) == wanted:
                return peer
            await asyncio.sleep(0.05)


async def test_keys_are_rotated_and_revoked(new_client: NewClient, new_room: NewRoom, new_agent: NewAgent) -> None:
    client = await new_client("person")
    room_id = await new_room(client)
    ada, bert = await new_agent("ada", room_id, *NO_MODEL), await new_agent("bert", room_id, *NO_MODEL)
    await start_all([ada, bert])
    (before,) = (await ada.clawbot("identity", "show", "--json")).json
    assert (before["key"], before["rotations"]) == (before["did"], [])

    refused = await ada.clawbot("identity", "rotate")
    assert (refused.status, refused.out) == (2, "")
    assert "--yes" in refused.err
    # Beside the running agent.
    (after,) = (await ada.clawbot("identity", "rotate", "--yes", "--json")).json
    assert after["did"] == before["did"]
    assert [step["key"] for step in after["rotations"]] == [after["key"]]
    await until_seen(bert, before["did"], rotations=1)
    assert "key 2" in (await bert.clawbot("peers")).out
    await bert.logs("signs with key number 2")

    # While it is away.
    assert await ada.stop() == 0
    away = await ada.clawbot("identity", "rotate", "--yes")
    assert away.status == 0
    assert "when the agent starts next" in away.out
    ada.start()
    await ada.ready()
    await until_seen(bert, before["did"], rotations=2)

    revoked = await ada.clawbot("identity", "revoke", "--yes", "--reason", "lost it", "--json")
    assert revoked.status == 0, revoked
    assert revoked.json[0]["reason"] == "lost it"
    async with asyncio.timeout(LEAVE_S):
        while ada.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await ada.stop() == 0
    await until_seen(bert, before["did"], rotations=2, standing="revoked")
    said = await room_messages(client, room_id)
    end = next(place for place, message in enumerate(said) if message.type == "identity.revoke")
    assert (said[end].sender, said[end].body.reason) == (before["did"], "lost it")
    (other,) = (await bert.clawbot("identity", "show", "--json")).json
    assert {message.sender for message in said[end + 1 :]} <= {other["did"]}
    again = await ada.clawbot("run", "--name", ada.name)
    assert again.status == 2
    assert "was revoked" in again.err
    assert "clawbot identity rotate" in again.err

    # The way out.
    assert (await ada.clawbot("identity", "rotate", "--yes")).status == 0
    ada.start()
    await ada.ready()
    await until_seen(bert, before["did"], rotations=3)


async def test_a_running_task_goes_on_when_both_sides_change_their_keys(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    room_id = await new_room(await new_client("person"))
    ada, bert = await new_agent("ada", room_id, *NO_MODEL), await new_agent("bert", room_id, *MODEL)
    await start_all([ada, bert])
    async with ada.running("ask", "What is honey?", "--json", "--private") as asking:
        with models_held(bert):
            await asking.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            dids = {}
            for agent in (ada, bert):
                (state,) = (await agent.clawbot("identity", "rotate", "--yes", "--json")).json
                dids[agent.name] = state["did"]
            await until_seen(ada, dids[bert.name], rotations=1)
            await until_seen(bert, dids[ada.name], rotations=1)
        answer = await asking.until(lambda line: line["event"] == "answer")
    assert (answer["outcome"], answer["executions"]) == ("completed", 1), answer
    assert answer["stages"][0]["executor"] == dids[bert.name]


async def test_an_identity_is_revoked_without_a_running_agent(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    client = await new_client("person")
    room_id = await new_room(client)
    ada = await new_agent("ada", room_id, *NO_MODEL)
    ada.start()
    await ada.ready()
    assert await ada.stop() == 0
    revoked = await ada.clawbot("identity", "revoke", "--yes")
    assert revoked.status == 0, revoked
    assert "revoked" in revoked.out
    assert (await room_messages(client, room_id))[-1].type == "identity.revoke"
