"""``clawbot run`` behind a proxy, as its owner has it, and a person at Fedify who finds, follows and asks it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bots.homeserver.configuration import free_port
from clawnet_proto.bindings.activitypub import carriers_in
from clawnet_proto.carrier import verify
from tests.end_to_end.agent_process import AgentProcess
from tests.engines.ollama_server import OllamaServer
from tests.interop.front import Certified, Front
from tests.interop.peer import Peer
from tests.matrix_client import Account


@pytest.fixture
async def ada(certified: Certified, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """An agent that runs, with a model that says always the same."""
    front = Front(certified)
    base = await front.start()
    front.behind = free_port()
    async with OllamaServer() as model:
        settings = {
            "CLAWNET_ACTIVITYPUB_LISTEN": f"127.0.0.1:{front.behind}",
            "CLAWNET_ACTIVITYPUB_ALLOW_PRIVATE": "true",
            "CLAWNET_ENGINE_OLLAMA_HOST": model.url,
            "SSL_CERT_FILE": str(certified.trust),
        }
        agent = AgentProcess(Account("", "ada", "", ""), tmp_path, tmp_path / "cache", settings)
        try:
            made = await agent.clawbot("init", "--name", "ada", "--activitypub", base, "--engine", "ollama")
            assert made.status == 0, made
            agent.start()
            await agent.ready()
            yield agent
            assert await agent.stop() == 0
            assert "Traceback" not in agent.log
        finally:
            agent.close()
            await front.stop()


async def test_a_person_at_fedify_finds_follows_and_asks_an_agent(fedify: Peer, ada: AgentProcess) -> None:
    shown = json.loads((await ada.clawbot("actor", "--json")).out)
    found, ann = await fedify.ask("actor", at=shown["handle"]), await fedify.actor("ann")
    assert (found["id"], found["name"]) == (shown["actor"], "ada")

    # Whoever begins to follow is told who that is.
    await fedify.ask("follow", **{"from": "ann", "to": found["id"]})
    announce = (await fedify.note(found["id"], "ada: is here"))["activity"]["object"]
    [carrier] = carriers_in(announce["clawnetCarriers"])
    assert verify(json.dumps(carrier).encode()).type == "presence.announce"

    question = f"<p>{shown['handle']} Why is the sky blue?</p>"
    note = {
        "from": "ann",
        "to": found["id"],
        "scheme": "rfc9421",
        "proof": True,
        "content": question,
        "everybody": True,
    }
    asked = await fedify.ask("note", **note)
    assert asked["status"] == 202, asked
    answer = (await fedify.note(found["id"], "The sky is blue."))["activity"]["object"]
    assert answer["inReplyTo"] == asked["id"].removesuffix("/activity")
    assert ann in answer["to"]
    assert [tag["href"] for tag in answer["tag"]] == [ann]
