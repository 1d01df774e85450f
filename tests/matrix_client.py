"""A small Matrix client of plain HTTP, to look from outside at what our agents do.

It shares nothing with the code under test: no nio, nothing of ``bots``. No retries, no encryption.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import aiohttp

Json = dict[str, Any]
Query = dict[str, str | int]


class Account(NamedTuple):
    """What it takes to log in."""

    homeserver: str  # base URL
    name: str  # local part
    user_id: str
    password: str


class MatrixError(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, body: Json) -> None:
        self.status = status
        self.errcode = str(body.get("errcode", ""))
        self.retry_after_ms = int(body.get("retry_after_ms", 0))
        super().__init__(f"{status} {self.errcode}: {body.get('error', '')}")


class MatrixClient:
    """One logged-in device. ``async with MatrixClient(account) as alice: ...`` logs in.

    ``sync`` appends to ``events`` (timelines of joined rooms, each event with its ``room_id``),
    ``to_device`` and ``invites`` (room ids).
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.user_id = account.user_id
        self.device_id = ""
        self.token = ""
        self.since = ""
        self.events: list[Json] = []
        self.to_device: list[Json] = []
        self.invites: list[str] = []
        self._txn = itertools.count()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        try:
            await self.login()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        query: Query | None = None,
    ) -> Json:
        """One request below ``/_matrix/client/v3`` (or at ``path`` if it starts with ``/_``)."""
        assert self._session is not None, "use `async with`"
        url = self.account.homeserver + (path if path.startswith("/_") else f"/_matrix/client/v3{path}")
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self._session.request(method, url, json=body, data=data, params=query, headers=headers) as response:
            answer = await response.json(content_type=None)
            if response.status >= 400:
                raise MatrixError(response.status, answer if isinstance(answer, dict) else {})
            assert isinstance(answer, dict)
            return answer

    async def login(self) -> None:
        answer = await self.request(
            "POST",
            "/login",
            {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": self.account.name},
                "password": self.account.password,
            },
        )
        self.token, self.device_id = answer["access_token"], answer["device_id"]

    async def create_room(self, **options: Any) -> str:
        return str((await self.request("POST", "/createRoom", options))["room_id"])

    async def join(self, room: str) -> str:
        return str((await self.request("POST", f"/join/{_path(room)}", {}))["room_id"])

    async def leave(self, room_id: str) -> None:
        await self.request("POST", f"/rooms/{_path(room_id)}/leave", {})

    async def invite(self, room_id: str, user_id: str) -> None:
        await self.request("POST", f"/rooms/{_path(room_id)}/invite", {"user_id": user_id})

    async def send(self, room_id: str, kind: str, content: Json, txn: str = "") -> str:
        """Send a message event and return its id."""
        txn = txn or f"{self.device_id}-{next(self._txn)}"
        path = f"/rooms/{_path(room_id)}/send/{_path(kind)}/{_path(txn)}"
        return str((await self.request("PUT", path, content))["event_id"])

    async def send_text(self, room_id: str, text: str, **content: Any) -> str:
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **content})

    async def send_state(self, room_id: str, kind: str, key: str, content: Json) -> str:
        path = f"/rooms/{_path(room_id)}/state/{_path(kind)}/{_path(key)}"
        return str((await self.request("PUT", path, content))["event_id"])

    async def state(self, room_id: str, kind: str, key: str = "") -> Json:
        return await self.request("GET", f"/rooms/{_path(room_id)}/state/{_path(kind)}/{_path(key)}")

    async def members(self, room_id: str) -> set[str]:
        return set((await self.request("GET", f"/rooms/{_path(room_id)}/joined_members"))["joined"])

    async def messages(self, room_id: str) -> list[Json]:
        """Every event of the room that this user may see, oldest first."""
        events: list[Json] = []
        query: Query = {"dir": "f", "limit": 1000}
        while True:
            page = await self.request("GET", f"/rooms/{_path(room_id)}/messages", query=query)
            events += page["chunk"]
            if "end" not in page:
                return events
            query["from"] = page["end"]

    async def send_to_device(self, user_id: str, device_id: str, kind: str, content: Json) -> None:
        path = f"/sendToDevice/{_path(kind)}/{next(self._txn)}"
        await self.request("PUT", path, {"messages": {user_id: {device_id: content}}})

    async def sync(self, timeout_ms: int = 0) -> None:
        """One sync; with a time-out it returns early as soon as there is news."""
        query: Query = {"timeout": timeout_ms}
        query["filter"] = json.dumps({"room": {"timeline": {"limit": 1000}}})
        if self.since:
            query["since"] = self.since
        answer = await self.request("GET", "/sync", query=query)
        rooms = answer.get("rooms", {})
        self.invites += rooms.get("invite", {})
        self.to_device += answer.get("to_device", {}).get("events", [])
        for room_id, room in rooms.get("join", {}).items():
            self.events += [{**event, "room_id": room_id} for event in room["timeline"]["events"]]
        self.since = answer["next_batch"]

    async def wait_for(self, match: Callable[[Json], bool], timeout_s: float = 30) -> Json:
        """The first timeline event, seen already or still to come, that matches."""
        return await self._wait(self.events, match, timeout_s)

    async def wait_for_text(self, text: str, timeout_s: float = 30) -> Json:
        """The first timeline event whose body contains ``text``."""
        return await self.wait_for(lambda event: text in event["content"].get("body", ""), timeout_s)

    async def wait_for_to_device(self, match: Callable[[Json], bool], timeout_s: float = 30) -> Json:
        return await self._wait(self.to_device, match, timeout_s)

    async def _wait(self, events: list[Json], match: Callable[[Json], bool], timeout_s: float) -> Json:
        looked_at = 0
        async with asyncio.timeout(timeout_s):
            while True:
                for event in events[looked_at:]:
                    looked_at += 1
                    if match(event):
                        return event
                await self.sync(timeout_ms=10_000)


def _path(text: str) -> str:
    return quote(text, safe="")
