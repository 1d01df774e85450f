"""Health over HTTP, of a real agent: what it says, and what it does with those who mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from bots.engines import EngineHealth
from bots.errors import ConfigError
from bots.health import server
from bots.health.endpoint import Endpoint
from bots.health.reading import Health
from bots.health.server import HealthServer
from bots.health.state import State
from tests.agent.scripted_engine import ScriptedEngine
from tests.agent.simulated import Member, Room, order

GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ANYWHERE = Endpoint("127.0.0.1", 0)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def codes(self) -> list[str]:
        return [problem["code"] for problem in self.json["problems"]]


class Served(NamedTuple):
    """An agent, and where its health is told."""

    member: Member
    health: Health
    url: str

    async def send(self, data: bytes) -> bytes:
        """All that comes back; b"" if the connection is cut."""
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def get(self, path: str, request: bytes = GET) -> Answer:
        answer = await self.send(request % path.encode() if b"%s" in request else request)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def served(
    tmp_path: Path, engine: ScriptedEngine | None = None, folder: Path | None = None
) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(Room(tmp_path / "agents"))
        member = room.member("ada", engine)
        agent = await member.start()
        health = Health(agent, folder)
        listening = await stack.enter_async_context(HealthServer(health, ANYWHERE))
        yield Served(member, health, listening.url)


async def test_an_agent_that_does_well(tmp_path: Path) -> None:
    async with served(tmp_path, ScriptedEngine(["x"]), tmp_path) as ada:
        answer = await ada.get("/health")
        assert (answer.status, answer.json["status"], answer.codes) == (200, "ok", [])
        state = answer.json["state"]
        assert (state["online"], state["rooms"], state["models"], state["peers_live"]) == (True, 1, 1, 1)
        assert state["disk_free_bytes"] > 0
        ready = await ada.get("/ready")
        assert (ready.status, ready.json) == (200, {"ready": True, "problems": []})
        metrics = await ada.get("/metrics")
        assert metrics.status == 200
        assert metrics.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert b'\nclawnet_messages_sent_total{type="presence.announce"} ' in metrics.body
        for told in (answer, ready, metrics):
            assert told.headers["Cache-Control"] == "no-store"
            assert told.headers["Connection"] == "close"
            for secret in (ada.member.did, ada.member.address, "example.org"):
                assert secret.encode() not in told.body


async def test_the_engine_fails_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_FRESH_S", 0.0)
    engine = ScriptedEngine(["x"])
    async with served(tmp_path, engine) as ada:
        engine.health = EngineHealth(state="failed", detail="The worker died.")
        answer = await ada.get("/health")
        assert (answer.status, answer.codes) == (503, ["engine.failed"])
        assert answer.json["problems"][0]["text"] == "The worker died."
        assert b"\nclawnet_engine_up 0.0" in (await ada.get("/metrics")).body
        engine.health = EngineHealth(state="ready")
        assert (await ada.get("/health")).status == 200


async def test_the_disk_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bots.health.disk._PROBE_EVERY_S", 0.0)
    monkeypatch.setattr(server, "_FRESH_S", 0.0)
    folder = tmp_path / "files"
    folder.mkdir()
    async with served(tmp_path, folder=folder) as ada:
        assert (await ada.get("/health")).status == 200
        assert list(folder.iterdir()) == []
        folder.rmdir()
        answer = await ada.get("/health")
        assert (answer.status, answer.codes) == (503, ["disk.unwritable"])
        assert "No such file" in answer.json["problems"][0]["text"]
        folder.mkdir()
        assert (await ada.get("/health")).status == 200


async def test_a_full_disk(tmp_path: Path) -> None:
    async with served(tmp_path, folder=Path("/dev/full")) as ada:
        assert (await ada.get("/health")).codes == ["disk.unwritable"]


async def test_a_revoked_identity(tmp_path: Path) -> None:
    async with served(tmp_path) as ada:
        ada.member.agent.keys.revoke("stolen")
        assert (await ada.get("/health")).codes == ["identity.revoked"]
        assert (await ada.get("/ready")).status == 503


async def test_a_store_that_does_not_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as ada:
        ada.member.agent.store.close()
        for path in ("/health", "/ready"):
            answer = await ada.get(path)
            assert (answer.status, answer.codes) == (503, ["store.closed"])
        assert (await ada.get("/metrics")).status == 503


async def test_work_shows_in_the_metrics(tmp_path: Path) -> None:
    async with served(tmp_path) as ada:
        await ada.member.outcome(ada.member.ask(order()), 30)
        page = (await ada.get("/metrics")).body
        assert b'\nclawnet_stages_total{outcome="completed"} 1.0' in page
        assert b'\nclawnet_tasks_total{outcome="completed"} 1.0' in page
        assert b"\nclawnet_stage_seconds_count 1.0" in page


@pytest.mark.parametrize(
    "request_line, status",
    [
        (b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\n\r\nx", 405),
        (b"HEAD /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 405),
        (b"GET /other HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /../health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
        (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /health HTTP/1.0\r\n\r\n", 421),
        (b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (b"x" * 2000), 400),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: %s\r\n\r\n" % (b"x" * 4000), 400),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 64 + b"\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
)
async def test_everything_else_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_line: bytes, status: int
) -> None:
    with caplog.at_level(logging.INFO):
        async with served(tmp_path) as ada:
            caplog.clear()
            assert (await ada.get("", request_line)).status == status
            assert not caplog.records, "anybody on this machine could fill the log"
            assert (await ada.get("/health")).status == 200


async def test_whoever_is_slow_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTION_S", 0.05)
    async with served(tmp_path) as ada:
        async with asyncio.timeout(10):
            assert await ada.send(b"GET /health HTTP/1.1\r\nHost: 127") == b""
        assert (await ada.get("/health")).status == 200


async def test_whoever_says_nothing_leaves_room_for_others_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CONNECTION_S", 3600.0)
    monkeypatch.setattr(server, "_HEADER_S", 0.05)
    async with served(tmp_path) as ada:
        port = int(ada.url.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(128)]
        async with asyncio.timeout(10):
            for reader, writer in held:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        assert (await ada.get("/health")).status == 200


async def test_many_who_ask_at_once_cost_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_FRESH_S", 3600.0)
    read, readings = Health.state, []

    def counted(health: Health) -> State:
        readings.append(health)
        return read(health)

    monkeypatch.setattr(Health, "state", counted)
    async with served(tmp_path) as ada:
        for path in ("/health", "/ready", "/metrics") * 3:
            assert (await ada.get(path)).status == 200
        assert len(readings) == 1
        monkeypatch.setattr(server, "_FRESH_S", 0.0)
        assert (await ada.get("/health")).status == 200
        assert len(readings) == 2


async def test_only_so_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 2)
    async with served(tmp_path) as ada:
        port = int(ada.url.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in held:
            writer.write(b"GET")
        assert (await ada.get("/health")).status == 200
        # Whoever has been silent longest made room.
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert await held[0][0].read() == b""
        for _, writer in held:
            writer.close()


async def test_who_is_being_answered_is_not_cut_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 2)
    going, go_on = asyncio.Event(), asyncio.Event()
    answer = HealthServer._answer

    async def slow(listening: HealthServer[Any], request: web.BaseRequest) -> web.Response:
        told = await answer(listening, request)
        going.set()
        await go_on.wait()
        return told

    monkeypatch.setattr(HealthServer, "_answer", slow)
    async with served(tmp_path) as ada, asyncio.TaskGroup() as asking:
        slow_ones = []
        for _ in range(2):
            slow_ones.append(asking.create_task(ada.get("/health")))
            await going.wait()
            going.clear()
        # The third is taken by the system before the server looks at it.
        assert await ada.send(GET % b"/health") == b""
        go_on.set()
    assert [task.result().status for task in slow_ones] == [200, 200]


async def test_whoever_comes_again_and_again_and_says_nothing_keeps_no_monitor_out(tmp_path: Path) -> None:
    async with served(tmp_path) as ada, asyncio.timeout(30):
        port = int(ada.url.rpartition(":")[2])

        async def idle() -> None:
            while True:
                with contextlib.suppress(ConnectionError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    try:
                        await reader.read()
                    finally:
                        writer.close()

        crowd = [asyncio.create_task(idle()) for _ in range(160)]
        try:
            statuses = [(await ada.get("/health")).status for _ in range(50)]
        finally:
            for one in crowd:
                one.cancel()
            await asyncio.gather(*crowd, return_exceptions=True)
        assert statuses == [200] * 50


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    async with served(tmp_path) as ada:
        port = int(ada.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match="in use") as caught:
            await HealthServer(ada.health, Endpoint("127.0.0.1", port)).__aenter__()
        assert caught.value.code == "health.port"
        # A page asked for while it ends is not waited for, and the port is free at once.
    async with served(tmp_path / "again") as other:
        assert other.url.startswith("http://127.0.0.1:")


async def test_a_fault_of_ours_is_logged_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as ada:
        monkeypatch.setattr(Health, "state", lambda self: 1 // 0)
        assert (await ada.get("/health")).status == 500
        assert "ZeroDivisionError" in caplog.text
