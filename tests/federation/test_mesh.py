"""Agents on two homeservers are one mesh."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bots.engines.packaged_model import packaged_model
from bots.events import MessageSeen
from bots.homeserver import Homeserver
from clawnet_proto.families import task
from tests.agent.scripted_engine import ScriptedEngine
from tests.end_to_end.agent_process import AgentProcess, start_all
from tests.end_to_end.person import Person, on_behalf
from tests.end_to_end.reading import messages_of, results
from tests.federation.agreement import agreed
from tests.federation.conftest import Islands, NewPerson, NewResident
from tests.federation.resident import acquainted, until
from tests.matrix_client import Account


@pytest.mark.parametrize("addressed", [True, False])
async def test_a_person_on_one_server_is_answered_by_agents_on_the_other(
    islands: Islands, new_person: NewPerson, new_resident: NewResident, addressed: bool
) -> None:
    client = await new_person(islands.a, "person")
    room = await client.create_room(preset="public_chat", room_alias_name=client.account.name)
    alias = f"#{client.account.name}:{islands.a.server_name}"
    person = Person(client, room)
    ada = await new_resident(islands.a, "ada", alias)
    workers = [await new_resident(islands.b, name, alias, ScriptedEngine(["By ", name])) for name in ("bert", "cleo")]
    await acquainted([ada, *workers])
    await until(lambda: all(one.greeted(ada) and ada.greeted(one) for one in workers))

    words = "Why is the sky blue?"
    if addressed:
        mention = {"user_ids": [ada.account.user_id]}
        ask = await client.send_text(room, words, **{"m.mentions": mention})
    else:
        ask = await person.say(f"!claw ask {words}")
    request, close = await person.closed(ask)
    answer = await person.told(ask, "^By (bert|cleo)$")
    assert close.body.outcome == "completed"
    assert on_behalf(request).address == person.address
    assert {item.executor for item in close.body.accepted} <= {worker.did for worker in workers}
    if addressed:
        assert (request.sender, answer["sender"]) == (ada.did, ada.account.user_id)
        offers = [event for event in ada.told(MessageSeen) if event.type == "task.offer" and not event.ours]
        assert {event.sender for event in offers} == {worker.did for worker in workers}
        assert all(event.verdict == "bound" for event in offers)

    state = await agreed(ada, *workers)
    assert all(peer["bound"] and peer["standing"] == "good" for peer in state["peers"].values())
    told = state["tasks"][request.id]
    assert (told["state"], told["binding"]) == ("completed", "bound")
    for stage in told["stages"].values():
        assert stage["executions"] == 1
        assert stage["bindings"] == [(stage["accepted"], "bound")]
    assert {message.id for message in person.messages() if isinstance(message.body, task.Result)} == {
        stage["accepted"] for stage in told["stages"].values()
    }


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A cache with the packaged model in it, for all agents of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        path = packaged_model()
    yield tmp_path / "cache"
    path.unlink()


async def test_processes_with_a_real_model_do_the_same(
    islands: Islands, new_person: NewPerson, tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> None:
    """What everybody has: ``clawbot init`` and ``run`` at either server, and a transcript that verifies."""
    client = await new_person(islands.a, "person")
    room = await client.create_room(preset="public_chat", room_alias_name=client.account.name)
    alias = f"#{client.account.name}:{islands.a.server_name}"

    async def agent(homeserver: Homeserver, name: str, engine: str) -> AgentProcess:
        user = await homeserver.register(name, "secret")
        # Sockets allow no long paths: the name alone, not that of the test.
        made = AgentProcess(Account(homeserver.url, name, user, "secret"), tmp_path_factory.mktemp(name), cache, {})
        await made.init(alias, "--engine", engine)
        return made

    host, worker = await agent(islands.a, "host", "none"), await agent(islands.b, "worker", "llamacpp")
    try:
        host.start("--record", "transcript.jsonl")
        await asyncio.gather(host.ready(), start_all([worker]))
        await host.sees(worker.name)
        person = Person(client, room)
        request, close = await person.closed(await person.say("host: What is honey?", host))
        assert close.body.outcome == "completed"
        (did,) = [peer.did for peer in await host.peers() if peer.name == worker.name]
        assert {item.executor for item in close.body.accepted} == {did}
        await person.told(on_behalf(request).event, "[Hh]oney")
        assert [await host.stop(), await worker.stop()] == [0, 0]
    finally:
        host.close()
        worker.close()
    verified = await host.clawbot("verify", "transcript.jsonl", "--quiet")
    assert verified.status == 0, verified
    assert len(results(request.id, messages_of(host.home / "transcript.jsonl"))) == len(close.body.accepted)
