"""A real account that floods a real room, and what the processes under it hold meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.end_to_end.agent_process import AgentProcess
from tests.flood.spam import Rogue, Spam
from tests.matrix_client import Account, Json, MatrixClient, MatrixError, Query

_AT_ONCE = 12  # requests under way: what a homeserver takes slowly must not pile up here
_CARRIERS = 16


class Selective(MatrixClient):
    """A client that is not shown what certain users post, so that it can be quick while they flood."""

    def __init__(self, account: Account, deaf_to: Sequence[str] = ()) -> None:
        super().__init__(account)
        timeline = {"limit": 1000, "not_senders": list(deaf_to)}
        self._filter = json.dumps({"room": {"timeline": timeline}})

    async def request(
        self, method: str, path: str, body: object = None, *, data: bytes | None = None, query: Query | None = None
    ) -> Json:
        if path == "/sync" and query is not None:
            query["filter"] = self._filter
        return await super().request(method, path, body, data=data, query=query)


class Flood(NamedTuple):
    """What the homeserver took within so many seconds."""

    seconds: float
    events: int
    messages: int
    refused: int  # events


class Flooder:
    """Posts spam into a room, and sends it to ``targets`` (user ids) directly, every ``direct_every``th event."""

    def __init__(
        self, client: MatrixClient, room_id: str, rogue: Rogue, targets: Sequence[str], direct_every: int = 8
    ) -> None:
        self._client = client
        self._room_id = room_id
        self._rogue = rogue
        self._targets = targets
        self._direct_every = direct_every
        self._numbers = itertools.count(1)
        self._taken = self._refused = 0

    async def announce(self) -> None:
        await self._post([self._rogue.announcement()])

    async def flood(self, seconds: float, per_second: float, kinds: Sequence[Spam], direct: Sequence[Spam]) -> Flood:
        """So many messages a second, or as many as the homeserver takes."""
        loop = asyncio.get_running_loop()
        start, self._taken, self._refused = loop.time(), 0, 0
        under_way: set[asyncio.Task[None]] = set()
        for number in itertools.count():
            due_s = number * _CARRIERS / per_second
            if due_s >= seconds or loop.time() - start >= seconds:
                break
            await asyncio.sleep(max(0.0, start + due_s - loop.time()))
            to_device = number % self._direct_every == 0
            carriers = self._rogue.event(direct if to_device else kinds, _CARRIERS)
            work = self._send(carriers) if to_device else self._post(carriers)
            task = asyncio.create_task(work)
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            if len(under_way) >= _AT_ONCE:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*under_way)
        return Flood(loop.time() - start, self._taken, self._taken * _CARRIERS, self._refused)

    async def _post(self, carriers: Sequence[object]) -> None:
        content = {"msgtype": "m.notice", "body": "(signed)", "net.clawnet.carriers": list(carriers)}
        try:
            await self._client.send(self._room_id, "m.room.message", content)
            self._taken += 1
        except MatrixError:
            self._refused += 1

    async def _send(self, carriers: Sequence[object]) -> None:
        content = {"net.clawnet.carriers": list(carriers)}
        messages = {target: {"*": content} for target in self._targets}
        path = f"/sendToDevice/net.clawnet.direct/flood-{next(self._numbers)}"
        try:
            await self._client.request("PUT", path, {"messages": messages})
            self._taken += 1
        except MatrixError:
            self._refused += 1


class Load(NamedTuple):
    """What one agent holds, by the system's own account."""

    rss_mb: float
    cpu_s: float
    store_mb: float
    audit_mb: float
    log_lines: int


def load(agent: AgentProcess) -> Load:
    """A look at a running agent."""
    process = Path(f"/proc/{agent.pid}")
    pages = int((process / "statm").read_text().split()[1])
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    store = sum(path.stat().st_size for path in agent.state.rglob("*.sqlite*"))
    audit = sum(path.stat().st_size for path in agent.state.rglob("*audit*") if path.is_file())
    return Load(
        rss_mb=pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        store_mb=store / (1 << 20),
        audit_mb=audit / (1 << 20),
        log_lines=agent.log.count("\n"),
    )


def p95(values: Sequence[float]) -> float:
    """The value that one in twenty exceeds."""
    return sorted(values)[max(0, -(-19 * len(values) // 20) - 1)]
