"""Servers that take nothing of what an agent's actor says: by how many in health, by name to its owner alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bots.agent import Agent
from bots.agent_status import agent_status
from bots.cli import look
from bots.transports import Undelivered
from tests.health.test_server import served

SERVERS = (
    Undelivered(server="https://young.example", waiting=1, oldest_s=2.0),
    Undelivered(server="https://old.example", waiting=3, oldest_s=7261.5, fault="503 \x1b[31mcome\nback"),
)


def holds(agent: Agent, servers: Sequence[Undelivered], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the agent's transport be one that brings to servers, and have this yet to bring."""
    monkeypatch.setattr(agent.transport.ways[0], "undelivered", lambda: servers, raising=False)


async def test_a_server_that_takes_nothing_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as ada:
        holds(ada.member.agent, SERVERS, monkeypatch)
        answer = await ada.get("/health")
        assert (answer.status, answer.json["status"]) == (200, "degraded")
        assert answer.json["warnings"] == [
            {"code": "deliveries.stuck", "text": "4 deliveries wait for 2 servers, the oldest for 7262 s."}
        ]
        state = answer.json["state"]
        assert (state["deliveries_waiting"], state["deliveries_servers"]) == (4, 2)
        page = (await ada.get("/metrics")).body
        for line in (b"_waiting 4.0", b"_servers 2.0", b"_oldest_seconds 7261.5"):
            assert b"\nclawnet_deliveries" + line in page
        for told in (answer.body, page):
            assert b"old.example" not in told


async def test_its_owner_is_told_which_one_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with served(tmp_path) as ada:
        agent = ada.member.agent
        holds(agent, SERVERS, monkeypatch)
        status = agent_status(agent, ada.health)
    assert (status.health, [finding.code for finding in status.warnings]) == ("degraded", ["deliveries.stuck"])
    assert status.undelivered == 4
    assert [(told.server, told.waiting, told.oldest_s) for told in status.servers_waiting] == [
        ("https://old.example", 3, 7261),
        ("https://young.example", 1, 2),
    ]
    look._show_status(status)
    lines = capsys.readouterr().out.splitlines()
    assert "undelivered       4" in lines
    first, second = [line for line in lines if line.startswith("servers waiting")]
    assert first.startswith("servers waiting   https://old.example: 3, the oldest for 7261 s (503 ")
    assert "\x1b" not in first and first.endswith("back)")
    assert second == "servers waiting   https://young.example: 1, the oldest for 2 s"


async def test_only_the_worst_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Undelivered(server=f"https://{age}.example", waiting=1, oldest_s=age) for age in range(100)]
    async with served(tmp_path) as ada:
        holds(ada.member.agent, many, monkeypatch)
        status = agent_status(ada.member.agent, ada.health)
    assert status.undelivered == 100
    assert [told.oldest_s for told in status.servers_waiting] == [99, 98, 97, 96, 95]


async def test_an_agent_without_an_actor_has_nothing_to_bring(tmp_path: Path) -> None:
    async with served(tmp_path) as ada:
        status = agent_status(ada.member.agent, ada.health)
        assert (status.undelivered, status.servers_waiting) == (0, ())
        assert json.loads((await ada.get("/health")).body)["state"]["deliveries_waiting"] == 0
