"""An encrypted room from end to end: agents with the real model, ``clawbot ask``, and a person's own client."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import NewAccount, NewClient
from tests.end_to_end.agent_process import start_all
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent
from tests.transports.encryption_person import EncryptingPerson

MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}
QUESTION = "What is the capital of France?"


async def test_questions_and_answers_that_no_homeserver_reads(
    new_agent: NewAgent, new_client: NewClient, new_account: NewAccount, tmp_path: Path
) -> None:
    founder = await new_client("founder")
    state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
    room_id = await founder.create_room(preset="public_chat", initial_state=state)
    asker, worker = await new_agent("asker", room_id, *NO_MODEL), await new_agent("worker", room_id, *MODEL)
    await start_all([asker, worker])

    finished = await asker.clawbot("ask", QUESTION, "--max-tokens", "16")
    assert finished.status == 0 and finished.out.strip(), finished
    assert "is encrypted: its 3 members can read the question and the answer, no server can" in finished.err

    async with EncryptingPerson(await new_account("paula"), tmp_path / "paula") as paula:
        await paula.client.join(room_id)
        await paula.until(lambda: room_id in paula.client.rooms and len(paula.client.rooms[room_id].users) == 4)
        event_id = await paula.say(room_id, QUESTION, **{"m.mentions": {"user_ids": [worker.account.user_id]}})
        await paula.until(
            lambda: [
                event
                for event in paula.read
                if event.sender == worker.account.user_id
                and event.source["content"].get("m.relates_to", {}).get("event_id") == event_id
                and event.source["content"].get("m.mentions", {}).get("user_ids") == [paula.user_id]
            ]
        )

    status = await asker.clawbot("status")
    assert status.status == 0 and "unreadable" in status.out, status
    events = await founder.messages(room_id)
    said = [event for event in events if event["type"] == "m.room.encrypted"]
    assert len(said) >= 8
    assert not [event for event in events if event["type"] == "m.room.message"]
    # Of the content nothing is in the open: no carrier, no body, nothing of ours.
    assert "net.clawnet" not in str(said) and "France" not in str(events)


async def test_a_newcomer_finds_those_who_were_there_before(new_agent: NewAgent, new_client: NewClient) -> None:
    founder = await new_client("founder")
    state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
    room_id = await founder.create_room(preset="public_chat", initial_state=state)
    worker = await new_agent("worker", room_id, *MODEL)
    await start_all([worker])
    # Its announce is of before our time, so nobody who comes can read it.
    asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human")
    finished = await asker.clawbot("ask", QUESTION, "--max-tokens", "16")
    assert finished.status == 0 and finished.out.strip(), finished
