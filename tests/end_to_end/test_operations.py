"""An agent as whoever runs it sees it: its health over HTTP and by ``status``, its logs, and how it stops."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

from bots.homeserver import Homeserver
from clawnet_proto.families import presence, task
from tests.conftest import NewClient, NewRoom
from tests.end_to_end.agent_process import LEAVE_S, READY_S, AgentProcess, models_held
from tests.end_to_end.conftest import MODEL, NO_MODEL, NewAgent, plain_client
from tests.end_to_end.person import Person
from tests.end_to_end.reading import room_messages
from tests.health.pages import Page, page
from tests.matrix_client import MatrixClient

_POLL_S = 0.05


async def page_of(agent: AgentProcess, name: str) -> Page:
    await agent.logs("health: http://")
    url = re.findall(r"^health: (http://127\.0\.0\.1:\d+)/health$", agent.log, re.MULTILINE)[-1]
    return await page(url, name)


async def until_codes(agent: AgentProcess, *codes: str) -> Page:
    """Once its health names these problems."""
    async with asyncio.timeout(READY_S):
        while (found := await page_of(agent, "health")).codes != list(codes):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
    return found


async def ended(agent: AgentProcess) -> None:
    """Once it has ended without another word."""
    async with asyncio.timeout(LEAVE_S):
        while agent.pid is not None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)


def log_lines(agent: AgentProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in agent.log.splitlines() if line.startswith("{")]


async def messages(client: MatrixClient, room_id: str, *kinds: type) -> list[Any]:
    return [message for message in await room_messages(client, room_id) if isinstance(message.body, kinds)]


async def test_what_an_agent_does_shows_in_health_metrics_status_and_logs(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    client = await new_client("person")
    person = Person(client, await new_room(client))
    agent = await new_agent("ada", person.room_id, *MODEL, log_format="json", health_listen="127.0.0.1:0")
    agent.start("--log-level", "debug")
    await agent.ready()
    healthy, ready = await page_of(agent, "health"), await page_of(agent, "ready")
    assert (healthy.status, healthy.json["status"], ready.status) == (200, "ok", 200)
    assert healthy.json["state"]["engine"] == "ready"

    request, close = await person.closed(await person.say("!claw ask What is honey?"))
    assert close.body.outcome == "completed"
    metrics = (await page_of(agent, "metrics")).text
    assert 'clawnet_stages_total{outcome="completed"} 3.0' in metrics
    assert 'clawnet_tasks_total{outcome="completed"} 1.0' in metrics
    assert "clawnet_stage_seconds_count 3.0" in metrics
    assert re.search(r'^clawnet_tokens_total\{direction="output"\} [1-9]', metrics, re.MULTILINE)

    status = await agent.clawbot("status", "--json")
    (told,) = status.of("status")
    assert (status.status, told["uptime_s"] > 0, told["peers_live"]) == (0, True, 1)
    assert told["health_url"].startswith("http://127.0.0.1:")
    assert "health            ok" in (await agent.clawbot("status")).out

    assert await agent.stop() == 0
    lines = log_lines(agent)
    about_it = [line for line in lines if line.get("task") == request.id]
    assert {line["stage"] for line in about_it if line["message"].startswith("ran ")} == {"draft", "critique", "revise"}
    assert any(line.get("message_id") == close.id for line in lines)
    assert all(line["peer"] == request.sender for line in about_it if line["message"].startswith("ran "))
    assert "What is honey?" not in agent.log
    assert agent.account.password not in agent.log
    unstructured = [line for line in agent.log.splitlines() if not line.startswith(("{", "health: "))]
    assert unstructured == []


async def test_a_homeserver_that_is_gone_is_told_truthfully(tmp_path: Path, new_agent: NewAgent) -> None:
    async with Homeserver(tmp_path) as homeserver:
        async with plain_client(homeserver, "founder") as founder:
            room_id = await founder.create_room(preset="public_chat")
        agent = await new_agent("ada", room_id, *NO_MODEL, homeserver=homeserver, health_sync_seconds="5")
        agent.start("--health", "0")
        await agent.ready()
        await homeserver.stop()
        gone = await until_codes(agent, "sync.stale")
        assert (gone.status, (await page_of(agent, "ready")).status) == (503, 503)
        assert [warning["code"] for warning in gone.json["warnings"]] in (["sync.offline"], [])
        status = await agent.clawbot("status")
        assert (status.status, "sync.stale" in status.out) == (1, True)
        metrics = (await page_of(agent, "metrics")).text
        assert "clawnet_healthy 0.0" in metrics
        assert 'clawnet_problem{code="sync.stale"} 1.0' in metrics
        await homeserver.start()
        await until_codes(agent)
        assert await agent.stop() == 0


async def test_an_agent_that_was_never_connected_is_not_healthy(new_agent: NewAgent) -> None:
    agent = await new_agent("ada", "", *NO_MODEL)
    agent.start("--health", "0", "--homeserver", "http://127.0.0.1:1")
    found = await until_codes(agent, "sync.never")
    assert found.status == 503
    assert (await agent.clawbot("status")).status == 1
    assert await agent.stop() == 0


async def acquainted(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent, **settings: Any
) -> tuple[MatrixClient, str, AgentProcess, AgentProcess]:
    """A person's client, the room, an agent that asks, and one with a model, which is set so."""
    client = await new_client("founder")
    room_id = await new_room(client)
    asker = await new_agent("asker", room_id, *NO_MODEL, "--kind", "human")
    agent = await new_agent("ada", room_id, *MODEL, **settings)
    for each in (asker, agent):
        each.start()
    await asyncio.gather(asker.ready(), agent.ready())
    await asker.sees(agent.name)
    return client, room_id, asker, agent


async def test_sigterm_lets_a_running_stage_end(new_client: NewClient, new_room: NewRoom, new_agent: NewAgent) -> None:
    client, room_id, asker, agent = await acquainted(new_client, new_room, new_agent)
    async with asker.running("ask", "Why is the sky blue?", "--json") as command:
        with models_held(agent):
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            agent.signal(signal.SIGTERM)
            await agent.logs("finishing 1 stages")
        answer = await command.until(lambda line: line["event"] == "answer")
        assert (answer["outcome"], answer["executions"]) == ("completed", 1), command.lines
    await ended(agent)
    assert await agent.stop() == 0
    assert await messages(client, room_id, task.Fail) == []
    assert len(await messages(client, room_id, presence.Leave)) == 1
    assert await asker.stop() == 0


async def test_what_outlasts_the_grace_is_handed_back(
    new_client: NewClient, new_room: NewRoom, new_agent: NewAgent
) -> None:
    client, room_id, asker, agent = await acquainted(new_client, new_room, new_agent, limits_grace_seconds="1")
    async with asker.running("ask", "Why is the sky blue?", "--json") as command:
        with models_held(agent):
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            assert await agent.stop() == 0
        (fail,) = await messages(client, room_id, task.Fail)
        assert (fail.body.code, fail.body.retryable) == ("stopping", True)
        agent.start()
        answer = await command.until(lambda line: line["event"] == "answer")
        assert (answer["outcome"], answer["stages"][0]["attempt"]) == ("completed", 2), command.lines
    assert await agent.stop() == await asker.stop() == 0


async def test_a_second_signal_does_not_wait(new_client: NewClient, new_room: NewRoom, new_agent: NewAgent) -> None:
    _, _, asker, agent = await acquainted(new_client, new_room, new_agent, limits_grace_seconds="600")
    async with asker.running("ask", "Why is the sky blue?", "--json") as command:
        with models_held(agent):
            await command.until(lambda line: line["event"] == "stage" and line["state"] == "working")
            agent.signal(signal.SIGTERM)
            await agent.logs("finishing 1 stages")
            assert await agent.stop() == 130
        assert "ended at once" in agent.log
        agent.start()
        answer = await command.until(lambda line: line["event"] == "answer")
        assert answer["outcome"] == "completed", command.lines
    assert await agent.stop() == await asker.stop() == 0
