"""Logged in: one account and device, whose every call is authenticated.

What a failed call means is decided here, once:

    429                         RetryLater matrix.rate_limited, with the server's figure
    no answer, 502, 503, 504    RetryLater matrix.unreachable
    other 5xx                   RetryLater matrix.server_error
    4xx without errcode         RetryLater matrix.unreachable: not a homeserver's answer
    M_UNKNOWN_TOKEN             log in again if the logout was soft, else Fatal matrix.logged_out
    413                         Refused matrix.too_large
    M_BAD_JSON, M_NOT_JSON      Refused matrix.bad_content
    other 4xx                   Refused matrix.<errcode in lower case, without "m_">
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

import msgspec

from bots.errors import Fatal, Refused, RetryLater, TransportError
from bots.transports.matrix import session as sessions
from bots.transports.matrix import wire
from bots.transports.matrix.config import MatrixConfig
from bots.transports.matrix.session import Session
from bots.transports.matrix.wire import Answered, MatrixError, Request, Unreachable, Wire

log = logging.getLogger(__name__)

_GATEWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_CODES = {"bad_json": "bad_content", "not_json": "bad_content"}
_REVIVED_AT_MOST_EVERY_S = 60.0
_ABOUT_MS = 5_000  # within which two clocks are taken to agree


def nonsense() -> RetryLater:
    """The error for an answer that no homeserver gives."""
    return RetryLater("matrix.unreachable", "The homeserver's answer makes no sense.", 0.0)


class _Login(msgspec.Struct):
    access_token: str
    device_id: str
    user_id: str


class _Whoami(msgspec.Struct):
    user_id: str


class _DisplayName(msgspec.Struct):
    displayname: str = ""


class Account:
    """The login and its calls.

    ``password`` is asked only when a login is due; "" means that there is none. ``answered`` is told of every answer:
    its ``Date``, and how many seconds after the question it came.
    """

    def __init__(
        self,
        config: MatrixConfig,
        directory: Path,
        password: Callable[[], str],
        answered: Answered | None = None,
    ) -> None:
        self._config = config
        self._directory = directory
        self._password = password
        self._answered = answered
        self._date = ""  # of the newest answer
        self._wire: Wire | None = None
        self._session: Session | None = None
        self._login_lock = asyncio.Lock()
        self._revived_at = float("-inf")
        self.display_name = ""

    @property
    def device(self) -> str:
        """Our device id, "" before ``connect``."""
        return self._session.device if self._session else ""

    def server_ms(self) -> int:
        """The server's time, Unix milliseconds: ours if that is about what its newest answer told, or it told none."""
        ours_ms = time.time_ns() // 1_000_000
        try:
            told_ms = round(parsedate_to_datetime(self._date).timestamp() * 1000)
        except (ValueError, OverflowError):
            return ours_ms
        # It was cut to whole seconds, and may be of a moment ago.
        return ours_ms if abs(ours_ms - told_ms) < _ABOUT_MS else told_ms

    def _heard(self, date: str, took_s: float) -> None:
        self._date = date
        if self._answered is not None:
            self._answered(date, took_s)

    async def connect(self) -> None:
        """Take up the kept login, or log in. Raises Fatal, RetryLater, StoreError."""
        async with self._login_lock:
            if self._session is None:
                session = sessions.load(self._directory)
                if session is not None and (session.homeserver, session.user) != self._whose():
                    log.info(
                        "The kept login belongs to %s at %s: logging in anew",
                        session.user,
                        session.homeserver,
                    )
                    session = None
                self._session = session or await self._log_in(device="")
        try:
            who = msgspec.json.decode(await self.call(wire.whoami()), type=_Whoami)
            if who.user_id != self._config.user:
                raise Fatal(
                    "matrix.other_user",
                    f"The login is for {who.user_id}, not for {self._config.user}.",
                    "Set `user` to the account you log in with.",
                )
            await self._name()
        except msgspec.MsgspecError as error:
            raise self._no_homeserver() from error

    async def close(self) -> None:
        """Close the connections; the login is kept."""
        client, self._wire = self._wire, None
        if client is not None:
            await client.close()

    async def call(self, request: Request, *, poll_s: float = 0.0, most: int = 0) -> bytes:
        """One authenticated request; of its answer ``most`` bytes and one are read (0: all).

        Raises RetryLater, Refused, Fatal as the module says.
        """
        session = self._session
        if session is None:
            raise RetryLater("matrix.not_connected", "Not logged in at the homeserver yet.", 0.0)
        try:
            return await self._open().call(request, session.token, poll_s=poll_s, most=most)
        except MatrixError as error:
            if error.errcode != "M_UNKNOWN_TOKEN":
                raise self._meaning(error) from error
            await self._revive(session, error)
            return await self.call(request, poll_s=poll_s, most=most)
        except Unreachable as error:
            raise self._unreachable(str(error)) from error

    # --- logging in ---

    async def _log_in(self, device: str) -> Session:
        password = self._password()
        if not password:
            raise Fatal(
                "matrix.password_needed",
                f"There is no kept login for {self._config.user}, and no password.",
                "Start from a terminal to be asked for it, or set CLAWNET_MATRIX_PASSWORD.",
            )
        request = wire.login(self._config.user, password, self._config.device_name, device)
        try:
            answer = msgspec.json.decode(await self._open().call(request), type=_Login)
        except Unreachable as error:
            raise self._unreachable(str(error)) from error
        except MatrixError as error:
            self._login_refused(error)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._no_homeserver() from error
        homeserver, user = self._whose()
        session = Session(homeserver=homeserver, user=user, device=answer.device_id, token=answer.access_token)
        sessions.save(self._directory, session)
        log.info("Logged in as %s, device %s", answer.user_id, answer.device_id)
        return session

    async def _revive(self, dead: Session, error: MatrixError) -> None:
        """Log in again after a soft logout, once for all calls that met it."""
        async with self._login_lock:
            if self._session is not dead:
                if self._session is None:
                    raise self._logged_out(error)
                return
            now = asyncio.get_running_loop().time()
            if not error.soft_logout or now - self._revived_at < _REVIVED_AT_MOST_EVERY_S:
                self._session = None
                sessions.remove(self._directory)
                raise self._logged_out(error)
            log.info("The homeserver ended the session softly: logging in again")
            self._session = await self._log_in(device=dead.device)
            self._revived_at = now

    def _logged_out(self, error: MatrixError) -> Fatal:
        return Fatal(
            "matrix.logged_out",
            f"The homeserver no longer accepts the session of {self._config.user} ({error}).",
            "Somebody logged this device out; start again with the password to log in anew.",
        )

    def _login_refused(self, error: MatrixError) -> NoReturn:
        user = self._config.user
        if error.errcode == "M_USER_DEACTIVATED":
            raise Fatal("matrix.deactivated", f"The account {user} is deactivated.", "Use another one.") from error
        if error.errcode == "M_FORBIDDEN":
            raise Fatal(
                "matrix.wrong_password",
                f"The homeserver does not accept this password for {user}.",
                "Check the user id and the password.",
            ) from error
        if error.errcode in ("", "M_UNRECOGNIZED") and error.status in (404, 405):
            raise self._no_homeserver() from error
        meaning = self._meaning(error)
        if not isinstance(meaning, Refused):
            raise meaning from error
        raise Fatal(
            "matrix.login_refused",
            f"The homeserver refused to log {user} in ({error}).",
            "Check that the account exists and may log in by password.",
        ) from error

    async def _name(self) -> None:
        """Learn our display name, and set it if the owner wants another one."""
        user, wanted = self._config.user, self._config.display_name
        try:
            answer = await self.call(wire.display_name(user))
            self.display_name = msgspec.json.decode(answer, type=_DisplayName).displayname
            if wanted and wanted != self.display_name:
                await self.call(wire.set_display_name(user, wanted))
                self.display_name = wanted
        except (Refused, RetryLater, msgspec.MsgspecError) as error:
            log.info("The display name could not be read or set: %s", error)

    # --- what went wrong ---

    def _meaning(self, error: MatrixError) -> TransportError:
        if error.status == HTTPStatus.TOO_MANY_REQUESTS or error.errcode == "M_LIMIT_EXCEEDED":
            return RetryLater(
                "matrix.rate_limited",
                "The homeserver limits how fast we may go.",
                error.retry_after_ms / 1000,
            )
        if error.status in _GATEWAY:
            if error.errcode:
                return RetryLater("matrix.unreachable", f"The homeserver cannot do that now ({error}).", 0.0)
            return self._unreachable(str(error))
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return RetryLater("matrix.server_error", f"The homeserver failed ({error}).", 0.0)
        code = error.errcode.removeprefix("M_").lower()
        if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            code = "too_large"
        elif not code:
            return self._unreachable(f"something else answered: {error}")
        return Refused(f"matrix.{_CODES.get(code, code)}", f"The homeserver refused ({error}).")

    def _unreachable(self, reason: str) -> RetryLater:
        message = f"The homeserver {self._config.homeserver} cannot be reached ({reason})."
        return RetryLater("matrix.unreachable", message, 0.0)

    def _no_homeserver(self) -> Fatal:
        return Fatal(
            "matrix.no_homeserver",
            f"There is no Matrix homeserver at {self._config.homeserver}.",
            "Check the URL; it is the server's own address, which may differ from the name in user ids.",
        )

    def _whose(self) -> tuple[str, str]:
        return self._config.homeserver.rstrip("/"), self._config.user

    def _open(self) -> Wire:
        # nio binds its connections to the running loop, so they are made here and not in __init__.
        if self._wire is None:
            self._wire = Wire(self._config.homeserver, self._heard)
        return self._wire
