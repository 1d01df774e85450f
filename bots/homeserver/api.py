"""The few calls of the client and admin API that setting up a homeserver takes."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal
from urllib.parse import quote

import aiohttp

from bots.errors import ClawbotError

TIMEOUT_S: Final = 30.0

History = Literal["shared", "world_readable"]


class Rejected(ClawbotError):
    """The server answered with an error; ``code`` is Matrix's own, e.g. ``M_USER_IN_USE``."""


class Api:
    """One server's API by plain HTTP. Open it with ``open_api``.

    Every method raises ``Rejected`` for an error of the server and ``ClawbotError`` if it cannot be reached.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, token: str = ""
    ) -> dict[str, Any]:
        """One request with a JSON object each way."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._session.request(method, self._url + path, json=body, headers=headers) as response:
                answer = await response.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise ClawbotError(
                "homeserver_unreachable", f"The homeserver at {self._url} does not answer as it should."
            ) from error
        if not isinstance(answer, dict):
            answer = {}
        if not response.ok:
            code = str(answer.get("errcode", "M_UNKNOWN"))
            raise Rejected(code, f"The homeserver refused: {answer.get('error', response.reason)} ({code}).")
        return answer

    async def healthy(self) -> bool:
        """Whether the server is up and serving."""
        try:
            async with self._session.get(self._url + "/health") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def register(self, user: str, password: str, *, admin: bool, shared_secret: str) -> str:
        """Make an account by the shared secret and return the user id; leaves no device behind."""
        path = "/_synapse/admin/v1/register"
        nonce = str((await self.call("GET", path))["nonce"])
        parts = (nonce, user, password, "admin" if admin else "notadmin")
        mac = hmac.new(shared_secret.encode(), "\0".join(parts).encode(), "sha1").hexdigest()
        answer = await self.call(
            "POST",
            path,
            {
                "nonce": nonce,
                "username": user,
                "password": password,
                "admin": admin,
                "mac": mac,
                "inhibit_login": True,
            },
        )
        return str(answer["user_id"])

    @asynccontextmanager
    async def logged_in(self, user: str, password: str) -> AsyncIterator[tuple[str, str]]:
        """A session of this user that is logged out again at the end: its token and user id."""
        answer = await self.call(
            "POST",
            "/_matrix/client/v3/login",
            {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": user},
                "password": password,
                "initial_device_display_name": "homeserver set-up",
            },
        )
        token = str(answer["access_token"])
        try:
            yield token, str(answer["user_id"])
        finally:
            await self.call("POST", "/_matrix/client/v3/logout", {}, token=token)

    async def room_with_alias(self, alias: str) -> str | None:
        """The id of the room that has this alias, or None."""
        try:
            answer = await self.call("GET", f"/_matrix/client/v3/directory/room/{quote(alias, safe='')}")
        except Rejected as error:
            if error.code == "M_NOT_FOUND":
                return None
            raise
        return str(answer["room_id"])

    async def create_room(self, alias_localpart: str, *, token: str, name: str, topic: str, history: History) -> str:
        """Make a public, listed, unencrypted room and return its id."""
        visibility = {"history_visibility": history}
        answer = await self.call(
            "POST",
            "/_matrix/client/v3/createRoom",
            {
                "preset": "public_chat",
                "visibility": "public",
                "room_alias_name": alias_localpart,
                "name": name,
                "topic": topic,
                "initial_state": [{"type": "m.room.history_visibility", "state_key": "", "content": visibility}],
            },
            token=token,
        )
        return str(answer["room_id"])

    async def let_members_send_state(self, room_id: str, event_type: str, *, token: str) -> None:
        """Set the power level of one state event type to 0, and leave all others as they are."""
        # `power_level_content_override` at creation would replace the server's whole map of events.
        path = f"/_matrix/client/v3/rooms/{quote(room_id, safe='')}/state/m.room.power_levels/"
        levels = await self.call("GET", path, token=token)
        levels.setdefault("events", {})[event_type] = 0
        await self.call("PUT", path, levels, token=token)


@asynccontextmanager
async def open_api(url: str, *, timeout_s: float = TIMEOUT_S) -> AsyncIterator[Api]:
    """An ``Api`` with connections of its own, closed at the end; bound to no event loop but this one."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
        yield Api(url, session)
