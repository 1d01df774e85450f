"""One request to the homeserver, and what its answer says. The only module that imports nio.

nio builds the requests and keeps the connections. Its own loops are not used: they retry without
bound on a dead token, sleep on rate limits by themselves, and hide the raw event.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from nio import Api, AsyncClient, AsyncClientConfig, MessageDirection

_CONNECT_S = 15.0
_ANSWER_S = 60.0
_ERROR_BYTES = 1 << 20
_POLL_MARGIN_S = 20.0  # what a long poll may take beyond what we asked for


class MatrixError(Exception):
    """The homeserver answered with an error."""

    def __init__(self, status: int, errcode: str, error: str, *, retry_after_ms: int, soft_logout: bool) -> None:
        super().__init__(f"{errcode or status}: {error}" if error else f"{errcode or status}")
        self.status = status
        self.errcode = errcode
        self.retry_after_ms = retry_after_ms  # 0: it did not say
        self.soft_logout = soft_logout


class Unreachable(Exception):
    """No answer came, or one that no homeserver gives."""


class _Failure(msgspec.Struct):
    errcode: str = ""
    error: str = ""
    retry_after_ms: float = 0
    soft_logout: bool = False


Request = tuple[str, str, str | bytes]  # method, path, body
Answered = Callable[[str, float], None]


class Wire:
    """The connections to one homeserver. Methods raise ``MatrixError`` or ``Unreachable``.

    ``answered`` is told of every answer: its ``Date``, and how many seconds after the question it came.
    """

    def __init__(self, homeserver: str, answered: Answered | None = None) -> None:
        config = AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0, request_timeout=_ANSWER_S)
        self._client = AsyncClient(homeserver.rstrip("/"), config=config)
        self._answered = answered

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def call(self, request: Request, token: str = "", *, poll_s: float = 0.0, most: int = 0) -> bytes:
        """Send one request; the body of its answer, of which ``most`` bytes and one are read (0: all)."""
        method, path, body = request
        headers = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        total = poll_s + (_POLL_MARGIN_S if poll_s else _ANSWER_S)
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT_S)
        # nio takes bytes as well as text: it hands them on.
        data = cast("str | None", body or None)
        asked_s = time.monotonic()
        try:
            response = await self._client.send(method, path, data, headers, timeout=cast("float", timeout))
            async with response:
                status, retry_after = response.status, response.headers.get("Retry-After", "")
                if self._answered is not None:
                    self._answered(response.headers.get("Date", ""), time.monotonic() - asked_s)
                most = most if 200 <= status < 300 else _ERROR_BYTES
                answer = await (_read(response, most + 1) if most else response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(_reason(error)) from error
        if not 200 <= status < 300:
            raise _matrix_error(status, answer, retry_after)
        return answer


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    data = b""
    while len(data) < most and (piece := await response.content.read(most - len(data))):
        data += piece
    return data


# --- the requests ---


def login(user: str, password: str, device_name: str, device: str) -> Request:
    return _request(Api.login(user, password=password, device_name=device_name, device_id=device))


def whoami() -> Request:
    return _request(Api.whoami(""))


def display_name(user: str) -> Request:
    return _request(Api.profile_get_displayname(user))


def set_display_name(user: str, name: str) -> Request:
    return _request(Api.profile_set_displayname("", user, name))


def sync(since: str, poll_ms: int, sync_filter: dict[str, Any]) -> Request:
    # A first sync is answered at once, and homeservers remember the answer for minutes: who has lost his store would
    # begin in the past, and take for news what he has done since. So no two of them are alike.
    poll_ms = poll_ms if since else random.randrange(1, 30_000)
    # Presence costs the server work on every poll; an agent's liveness is known from what it signs.
    return _request(Api.sync("", since=since, timeout=poll_ms, filter=sync_filter, set_presence="offline"))


def messages_before(room: str, start: str, stop: str, limit: int, event_filter: dict[str, Any]) -> Request:
    return _request(Api.room_messages("", room, start, stop, MessageDirection.back, limit, event_filter))


def context(room: str, event_id: str) -> Request:
    return _request(Api.room_context("", room, event_id, 1))


def join(room: str, via: Sequence[str]) -> Request:
    method, path, _ = _request(Api.join("", room))
    # Older servers know the parameter as server_name.
    query = urlencode([(key, server) for server in via for key in ("via", "server_name")])
    return method, path + (f"?{query}" if query else ""), "{}"


def leave(room: str) -> Request:
    return _request(Api.room_leave("", room))


def resolve_alias(alias: str) -> Request:
    return _request(Api.room_resolve_alias(alias))


def state(room: str, kind: str) -> Request:
    return _request(Api.room_get_state_event("", room, kind))


def state_event(room: str, kind: str) -> Request:
    """The whole event, not its content alone."""
    method, path, body = state(room, kind)
    return method, f"{path}?format=event", body


def joined_members(room: str) -> Request:
    return _request(Api.joined_members("", room))


def send_to_room(room: str, kind: str, content: dict[str, Any], txn: str) -> Request:
    return _request(Api.room_send("", room, kind, content, txn))


def send_to_device(kind: str, messages: dict[str, Any], txn: str) -> Request:
    return _request(Api.to_device("", kind, {"messages": messages}, txn))


def keys_upload(keys: dict[str, Any]) -> Request:
    return _request(Api.keys_upload("", keys))


def keys_query(users: Sequence[str]) -> Request:
    return _request(Api.keys_query("", users))


def keys_claim(devices: Sequence[tuple[str, str]]) -> Request:
    """One key of each device, as (user id, device id)."""
    wanted: dict[str, list[str]] = {}
    for user, device in devices:
        wanted.setdefault(user, []).append(device)
    return _request(Api.keys_claim("", wanted))


def upload(data: bytes) -> Request:
    return "POST", "/_matrix/media/v3/upload", data


def download(server: str, media: str) -> Request:
    # nio knows only the endpoint that asks nobody who he is, which servers have closed.
    return "GET", f"/_matrix/client/v1/media/download/{quote(server, safe='')}/{quote(media, safe='')}", ""


def _request(built: Sequence[str]) -> Request:
    """nio's request without the place for a token in its address: addresses end up in logs."""
    method, path, *body = built
    path = path.replace("access_token=&", "").removesuffix("?access_token=").removesuffix("&access_token=")
    return method, path, body[0] if body else ("{}" if method == "POST" else "")


def _matrix_error(status: int, answer: bytes, retry_after: str) -> MatrixError:
    try:
        failure = msgspec.json.decode(answer, type=_Failure)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        failure = _Failure()
    retry_after_ms = failure.retry_after_ms
    if not retry_after_ms and retry_after.isdecimal():
        retry_after_ms = int(retry_after[:6]) * 1000
    return MatrixError(
        status,
        failure.errcode[:100],
        failure.error[:300],
        retry_after_ms=int(min(max(retry_after_ms, 0), 86_400_000)),
        soft_logout=failure.soft_logout,
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        # asyncio has words of its own for a number that everybody's words are better for.
        return os.strerror(number) if number and number > 0 else str(error.os_error.strerror or error.os_error)
    return str(error) or type(error).__name__
