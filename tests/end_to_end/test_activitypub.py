"""Two agents on two hosts that have nothing in common but the fediverse."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bots.transports.activitypub.names import PUBLIC
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.conftest import MODEL, NO_MODEL, run
from tests.matrix_client import Account
from tests.transports.activitypub.stranger import Stranger


class Actor(AgentProcess):
    """An agent that is on no Matrix server."""

    def __init__(self, name: str, address: str, home: Path, cache: Path) -> None:
        with socket.create_server((address, 0)) as free:
            place = f"{address}:{free.getsockname()[1]}"
        settings = {
            "CLAWNET_ACTIVITYPUB_HOST": f"http://{place}",
            "CLAWNET_ACTIVITYPUB_LISTEN": place,
            "CLAWNET_ACTIVITYPUB_ALLOW_PRIVATE": "true",
        }
        super().__init__(Account("", name, "", ""), home, cache, settings)
        self.handle = f"@{name}@{place}"
        self.actor = f"http://{place}/actor"

    async def make(self, *options: str) -> None:
        finished = await self.clawbot("init", "--name", self.name, *options)
        assert finished.status == 0, finished


@pytest.fixture(scope="module")
def pair(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Actor, Actor]]:
    """One with the model, and a person's that follows it; the first one has nobody named."""
    with ExitStack() as stack:
        ada = Actor("ada", "127.0.0.2", tmp_path_factory.mktemp("ada"), cache)
        me = Actor("me", "127.0.0.3", tmp_path_factory.mktemp("me"), cache)
        for agent in (ada, me):
            stack.callback(agent.close)
        run(_meet(ada, me))
        yield ada, me
        assert not [agent.log for agent in (ada, me) if "Traceback" in agent.log]


async def _meet(ada: Actor, me: Actor) -> None:
    await ada.make(*MODEL)
    await me.make(*NO_MODEL, "--kind", "human", "--follow", ada.handle)
    ada.start()
    me.start()
    await asyncio.gather(ada.ready(), me.ready())
    await asyncio.gather(ada.sees("ada", "me"), me.sees("ada", "me"))


async def test_announce_handshake_task_result(pair: tuple[Actor, Actor]) -> None:
    ada, me = pair
    finished = await me.clawbot("ask", "What is the capital of France?", "--json", "--max-tokens", "8")
    assert finished.status == 0, finished
    (answer,) = finished.of("answer")
    assert answer["outcome"] == "completed" and answer["text"]
    assert {stage["name"] for stage in answer["stages"]} == {"ada"}
    said = finished.of("message")
    assert {line["room"] for line in said} == {PUBLIC}
    assert {line["address"] for line in said} == {ada.actor, me.actor}
    assert {line["verdict"] for line in said} == {"bound"}
    assert {"task.request", "task.award", "task.result", "task.close"} <= {line["type"] for line in said}
    # The handshake is done: each has proven its key and its address to the other.
    (seen,) = [peer for peer in await me.peers() if peer.name == "ada"]
    assert seen.live and seen.bound and seen.rtt_ms is not None
    # What is for one alone is sealed, and goes the same way.
    finished = await me.clawbot("ask", "And of Spain?", "--private", "--json", "--max-tokens", "8")
    assert finished.status == 0 and finished.of("answer")[0]["outcome"] == "completed"


async def test_how_to_be_found(pair: tuple[Actor, Actor]) -> None:
    ada, me = pair
    finished = await ada.clawbot("actor", "--json")
    assert json.loads(finished.out) == {
        "handle": ada.handle, "actor": ada.actor, "listen": ada.handle.rpartition("@")[2], "follow": [],
    }  # fmt: skip
    finished = await me.clawbot("actor")
    assert me.handle in finished.out and f"follows: {ada.handle}" in finished.out


async def test_a_person_asks_in_public_and_is_answered(pair: tuple[Actor, Actor]) -> None:
    ada, _ = pair
    ann = Stranger("ann", kind="Person")
    await ann.start()
    try:
        question = ann.asks(f"{ada.handle} What is the capital of France?", ada.actor, ada.handle)
        assert (await ann.post(f"{ada.actor}/inbox", question))[0] == 202
        replies = await ann.answered("Paris", timeout_s=60)
        assert {reply["object"]["attributedTo"] for reply in replies} == {ada.actor}
        assert {reply["object"]["inReplyTo"] for reply in replies} == {question["object"]["id"]}
        assert all(ann.names.actor in reply["to"] for reply in replies)
    finally:
        await ann.stop()


async def test_after_a_crash_they_know_each_other_and_go_on(pair: tuple[Actor, Actor]) -> None:
    ada, me = pair
    ada.kill()
    asking = asyncio.create_task(
        me.clawbot("ask", "What is the capital of France?", "--json", "--max-tokens", "8", timeout_s=60)
    )
    await me.logs("task opened")
    ada.start()
    finished = await asking
    assert finished.status == 0, finished
    (answer,) = finished.of("answer")
    assert answer["outcome"] == "completed"
    assert await me.stop() == 0
    # Whoever leaves is told to be gone.
    async with asyncio.timeout(30):
        while any(peer.name == "me" and peer.live for peer in await ada.peers()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
