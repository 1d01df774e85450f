"""An agent on a real homeserver keeps a log of what it does, whatever ends it, and ``clawbot audit`` vouches for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent


async def report(agent: AgentProcess) -> dict[str, Any]:
    """What ``verify`` finds; its status says the same."""
    done = await agent.clawbot("audit", "verify", "--name", agent.name, "--json")
    found: dict[str, Any] = json.loads(done.out)
    assert done.status == (0 if found["intact"] else 1), done
    return found


async def shown(agent: AgentProcess, *flags: str) -> list[dict[str, Any]]:
    done = await agent.clawbot("audit", "show", "--name", agent.name, "--json", "-n", "0", *flags)
    assert done.status == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


async def test_from_the_first_start_to_a_change_of_keys(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    room_id = await new_room(await new_client("founder"))
    asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human")
    worker = await new_agent("worker", room_id, *MODEL)
    for each in (asker, worker):
        each.start()
    await asyncio.gather(asker.ready(), worker.ready())
    await asker.sees(worker.name)
    async with asker.running("ask", "Why is the sky blue?", "--max-tokens", "8", "--json") as command:
        answer = await command.until(lambda line: line["event"] == "answer")
    for each in (asker, worker):
        assert (await report(each))["intact"]
    did = (await report(worker))["identity"]
    ours = await shown(asker, "--task", answer["task"][:8])
    assert [entry["type"] for entry in ours if entry["kind"] == "signed"] == [
        "task.request",
        "task.award",
        "task.close",
    ]
    theirs = await shown(worker, "--task", answer["task"][:8])
    done = [entry["type"] for entry in theirs if entry["kind"] == "signed"]
    assert done == ["task.offer", "task.start", "task.result"]
    assert next(entry["to"] for entry in ours if entry["type"] == "task.award") == [did]

    worker.kill()
    assert (await report(worker))["intact"]
    worker.start()
    await worker.ready()
    rotated = await worker.clawbot("identity", "rotate", "--name", worker.name, "--yes", "--json")
    assert rotated.status == 0
    assert await worker.stop() == await asker.stop() == 0

    end = await report(worker)
    assert end["intact"] and not end.get("unsigned")
    assert end["identity"] == did and end["key"] == json.loads(rotated.out)["key"] != did
    kinds = [entry["kind"] for entry in await shown(worker)]
    assert (kinds.count("started"), kinds.count("stopped")) == (2, 1)
    people = await worker.clawbot("audit", "show", "--name", worker.name)
    told = await worker.clawbot("audit", "verify", "--name", worker.name)
    assert (end["runs"], end["interrupted"]) == (2, 1)
    assert "keys     number 2 is in use" in people.out and "Everything is intact." in told.out
