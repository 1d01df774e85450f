"""History read by a store that holds nothing: nothing of it is done, or answered, a second time."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from clawnet_proto.carrier import verify
from clawnet_proto.families import task
from clawnet_proto.message import Message
from clawnet_proto.sealed_carrier import open_carrier
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import AgentProcess, start_all
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent
from tests.end_to_end.person import Person
from tests.end_to_end.reading import carried, messages_of, results
from tests.flood.scene import ECHO, Asker, did_of, id_of
from tests.matrix_client import MatrixClient
from tests.proto import samples

COURTESIES = {"presence.announce", "handshake.hello", "handshake.accept", "handshake.confirm"}
QUIET_S = 4.0  # longer than anybody waits for its turn to offer, or to take over a question
MEGOLM = {"algorithm": "m.megolm.v1.aes-sha2"}


def forget(agent: AgentProcess, *, device: bool) -> None:
    """Its store is lost, and with ``device`` its login too; its identity and its account stay."""
    lost = [path for path in agent.state.iterdir() if path.name.startswith(("store.sqlite", "matrix-")[: 1 + device])]
    assert len(lost) > device
    for path in lost:
        path.unlink()


class Watched:
    """A room with somebody who asks, and all that agents say in it from some moment on."""

    def __init__(self, client: MatrixClient, room_id: str) -> None:
        self.asker = Asker(client, room_id, "asker")
        self._client = client
        self._room_id = room_id
        self._before = 0

    async def begin(self) -> None:
        """What was said so far is history."""
        await self._client.sync()
        self._before = len(await self._client.messages(self._room_id))
        self._client.to_device.clear()

    async def pause(self) -> None:
        """Whoever wants to say something does."""
        end_s = time.monotonic() + QUIET_S
        while time.monotonic() < end_s:
            await self._client.sync(timeout_ms=500)

    async def said(self, agent: AgentProcess, did: str) -> Counter[str]:
        """The types of all that it said since then, in the room and to the asker; plain words are ``words``."""
        found: Counter[str] = Counter()
        for event in (await self._client.messages(self._room_id))[self._before :]:
            if event["type"] == "m.room.message" and event["sender"] == agent.account.user_id:
                found.update([message.type for message in carried(event)] or ["words"])
        found.update(message.type for message in self._told_directly() if message.sender == did)
        return found

    def _told_directly(self) -> list[Message]:
        keys, me = (self.asker.seal,), self.asker.key.did
        events = [event for event in self._client.to_device if event["type"] == "net.clawnet.direct"]
        carriers = [carrier for event in events for carrier in event["content"]["net.clawnet.carriers"]]
        return [verify(open_carrier(json.dumps(carrier).encode(), keys, me)) for carrier in carriers]


@pytest.mark.parametrize("device", [False, True], ids=["the same device", "a new device"])
async def test_an_agent_without_its_store_does_nothing_twice(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent, device: bool
) -> None:
    client, paula = await new_client("asker"), await new_client("paula")
    room_id = await new_room(client, paula)
    ada = await new_agent("ada", room_id, *NO_MODEL)
    ada.start()
    await ada.ready()
    did = await did_of(ada)
    room = Watched(client, room_id)
    asker, person = room.asker, Person(paula, room_id)
    await asker.announce()

    # Done and closed; done; open; awarded, and waiting for what nobody has begun; asked by a person, and answered.
    closed = await asker.ask(did)
    await asker.post(closing(asker, closed))
    done = await asker.ask(did)
    opened = await asker.open()
    in_flight = await asker.open(ECHO, samples.stage("revise", "draft", kind="echo"))
    await asker.post(asker.award(in_flight, did, "revise"))
    await person.told(await person.say("!claw peers", ada), ada.name)
    ada.kill()
    # Awarded and asked while it was away.
    asked = asker.request(to=did)
    await asker.post(asked, asker.award(id_of(asked), did))
    await person.say("!claw peers", ada)
    await person.say("!claw ask Why is the sky blue?")

    forget(ada, device=device)
    await room.begin()
    ada.start()
    await ada.ready()
    await room.pause()
    said = await room.said(ada, did)
    assert said["presence.announce"] >= 1
    assert said.keys() <= COURTESIES

    # The same for somebody who was never here before.
    late = await new_agent("late", room_id, *NO_MODEL)
    await room.begin()
    late.start()
    await late.ready()
    late_did = await did_of(late)
    await room.pause()
    for agent, who in ((late, late_did), (ada, did)):
        said = await room.said(agent, who)
        assert said.keys() <= COURTESIES, agent.name

    # New work is done by both, also in old tasks.
    assert {(await asker.ask(who)).sender for who in (did, late_did)} == {did, late_did}
    await asker.post(asker.award(opened, late_did), asker.award(in_flight, late_did))
    await asker.post(asker.award(in_flight, did, "revise", attempt=2))
    assert (await asker.done(opened)).sender == (await asker.done(in_flight)).sender == late_did
    assert (await asker.done(in_flight, "revise")).sender == did
    await person.told(await person.say("!claw peers", ada), late.name)
    said_of_old = [message for event in await client.messages(room_id) for message in carried(event)]
    counts = [len(results(task_id, said_of_old)) for task_id in (thread_of(closed), thread_of(done), id_of(asked))]
    assert counts == [1, 1, 0]


def closing(asker: Asker, result: Message) -> dict[str, object]:
    """The receipt for a result."""
    accepted = task.Accepted(
        stage="draft", attempt=1, executor=result.sender, result=result.id, output_digest=result.body.output_digest
    )
    body = task.Close(outcome="completed", accepted=(accepted,), executions=1)
    return asker.message(body, thread=thread_of(result), answers=thread_of(result))


def thread_of(message: Message) -> str:
    return str(message.envelope.thread)


async def test_in_an_encrypted_room_neither(new_client: NewClient, new_agent: NewAgent, tmp_path: Path) -> None:
    """What another agent could read is what counts: a homeserver reads nothing."""
    founder = await new_client("founder")
    state = [{"type": "m.room.encryption", "state_key": "", "content": MEGOLM}]
    room_id = await founder.create_room(preset="public_chat", initial_state=state)
    asker, worker = await new_agent("asker", room_id, *NO_MODEL), await new_agent("worker", room_id, *MODEL)
    transcript = tmp_path / "transcript.jsonl"
    asker.start("--record", str(transcript))
    worker.start()
    for agent in (asker, worker):
        await agent.ready()
    await asker.sees(worker.name)
    did = await did_of(worker)
    ask = ("ask", "What is honey?", "--stages", "draft", "--max-tokens", "8")
    first = await asker.clawbot(*ask)
    assert first.status == 0, first
    worker.kill()
    forget(worker, device=False)
    await start_all([worker])
    await asker.sees(worker.name)
    second = await asker.clawbot(*ask)
    assert second.status == 0, second
    assert await asker.stop() == 0
    said = [message for message in messages_of(transcript) if message.sender == did]
    assert len([message for message in said if isinstance(message.body, task.Result)]) == 2
