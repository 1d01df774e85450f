"""Start, watch and stop one Synapse as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bots.errors import ClawbotError, ConfigError, StoreError
from bots.homeserver import configuration, database
from bots.homeserver.api import History, Rejected, open_api
from bots.homeserver.configuration import Kept, RateLimits
from bots.homeserver.federation import Federation

START_S: Final = 60.0
STOP_S: Final = 10.0
LOCK_S: Final = 3.0
POLL_S: Final = 0.05

ANNOUNCE_STATE: Final = "net.clawnet.announce"

_LOCALPART: Final = re.compile(r"[a-z0-9._=/+-]{1,200}")
_EXCEPTION: Final = re.compile(r"\s*(?:\w+\.)*\w*(?:Error|Exception): \S")


class Homeserver:
    """A Synapse on loopback whose state is one directory.

    ``async with Homeserver(directory) as homeserver`` starts it and stops it. The same directory
    keeps server name, port, signing key, accounts and rooms from one start to the next; one
    server at a time may use it. Nothing here is bound to an event loop: a server started by one
    ``asyncio.run`` may be used and stopped by another.

    ``port`` 0 takes the directory's port, or any free one for a new directory. ``rate_limits``
    "default" leaves Synapse's own, "raised" is for servers that are one's own. ``federation`` lets it
    federate, by the ``server_name`` that the others know; without it, it does not. ``progress`` is told
    what is going on, one line at a time, about once a second.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        server_name: str | None = None,
        rate_limits: RateLimits = "raised",
        federation: Federation | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.log_path = self.directory / "homeserver.log"
        self._port = port
        self._server_name = server_name
        self._rate_limits = rate_limits
        self._federation = federation
        self._progress = progress
        self._kept: Kept | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The client API's base URL, ``http://127.0.0.1:PORT``; known after the first start."""
        return self._identity.url

    @property
    def server_name(self) -> str:
        """The server's Matrix name, e.g. ``localhost:8008``; known after the first start."""
        return self._identity.server_name

    @property
    def pid(self) -> int | None:
        """The process id of Synapse, or None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server and return when it serves; does nothing if it runs.

        Raises ConfigError (port taken, name differs, Synapse not installed), StoreError (directory
        unusable or in use) and ClawbotError (it died, or did not answer within 60 s).
        """
        if self.pid is not None:
            return
        _require_synapse()
        began = time.monotonic()
        await self.stop()
        _make_directory(self.directory)
        lock = await self._lock()
        try:
            new = database.is_new(self.directory)
            kept = configuration.settle(self.directory, self._port, self._server_name, new=new)
            configuration.check_port(kept.port)
            if self._federation is not None:
                configuration.check_port(self._federation.port_of(kept.server_name))
            database.begin(self.directory)
            config = configuration.write(self.directory, kept, self._rate_limits, self._federation)
            self._kept = kept
            self._process = self._spawn(config, lock)
        finally:
            # From here on the child alone holds the lock: it is free when the child is gone, not before.
            os.close(lock)
        try:
            await self._serving(self._process, kept, new, began)
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop the server: SIGTERM, and SIGKILL after 10 s. Does nothing if it does not run."""
        try:
            self._signal(signal.SIGTERM)
            await self._gone(STOP_S)
        finally:
            self._signal(signal.SIGKILL)
            self._forget()

    async def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL). It can be started again."""
        self._signal(signal.SIGKILL)
        self._forget()

    async def restart(self) -> None:
        """Stop and start again: same URL, same name, same rooms."""
        await self.stop()
        await self.start()

    async def wait(self) -> None:
        """Return when the server no longer runs, however it ended."""
        await self._gone(math.inf)

    async def register(self, user: str, password: str, admin: bool = False) -> str:
        """Make an account and return its user id; an account with this password may exist already.

        ``user`` is a local part. Raises ConfigError if the name cannot be one, or is taken with another
        password. An existing account keeps its rights.
        """
        _check_localpart("user name", user)
        async with open_api(self.url) as api:
            try:
                return await api.register(
                    user, password, admin=admin, shared_secret=self._identity.registration_shared_secret
                )
            except Rejected as error:
                if error.code != "M_USER_IN_USE":
                    raise
            try:
                async with api.logged_in(user, password) as (_, user_id):
                    return user_id
            except Rejected as error:
                if error.code != "M_FORBIDDEN":
                    raise
                raise ConfigError(
                    "homeserver_user_exists",
                    f"The user {user} exists on {self.server_name} already, with another password.",
                    "Give that password, or choose another name.",
                ) from error

    async def create_room(
        self,
        alias_localpart: str,
        *,
        creator: str,
        password: str,
        name: str = "",
        topic: str = "",
        history: History = "shared",
        announce_state: bool = False,
    ) -> str:
        """Make the public room ``#alias_localpart:server_name``, or find it, and return its id.

        Only ``creator`` (a user's local part) is in a new room. ``announce_state`` lets every member
        send state events of type ``net.clawnet.announce``; an existing room is left as it is.
        """
        _check_localpart("room alias", alias_localpart)
        async with open_api(self.url) as api:
            room_id = await api.room_with_alias(f"#{alias_localpart}:{self.server_name}")
            if room_id is not None:
                return room_id
            async with api.logged_in(creator, password) as (token, _):
                room_id = await api.create_room(
                    alias_localpart,
                    token=token,
                    name=name or alias_localpart,
                    topic=topic,
                    history=history,
                )
                if announce_state:
                    await api.let_members_send_state(room_id, ANNOUNCE_STATE, token=token)
            return room_id

    def last_log_line(self) -> str:
        """The last line of the log that says what went wrong, or "" if there is none."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        told = [line.strip() for line in lines if line.strip(" \t*^~")]
        raised = [line for line in told if _EXCEPTION.match(line)]
        return (raised or told or [""])[-1][:500]

    @property
    def _identity(self) -> Kept:
        if self._kept is None:
            raise ClawbotError("homeserver_not_started", "The homeserver has not been started yet.")
        return self._kept

    def _say(self, text: str) -> None:
        if self._progress is not None:
            self._progress(text)

    async def _lock(self) -> int:
        """Take the directory's lock; a server whose parent has just died gets a moment to go."""
        path = self.directory / "lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise configuration.cannot_write(self.directory, error) from error
        deadline = time.monotonic() + LOCK_S
        try:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return lock
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise StoreError(
                            "homeserver_directory_in_use",
                            f"Another homeserver is running in {self.directory}.",
                            "Stop it, or choose another directory.",
                        ) from error
                await asyncio.sleep(POLL_S)
        except BaseException:
            os.close(lock)
            raise

    def _spawn(self, config: Path, lock: int) -> subprocess.Popen[bytes]:
        try:
            if self.log_path.exists():
                self.log_path.replace(self.log_path.with_name(self.log_path.name + ".1"))
            log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise configuration.cannot_write(self.directory, error) from error
        # Our own settings may hold passwords, and a warning made an error would stop Synapse.
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("CLAWBOT_") and key not in ("PYTHONWARNINGS", "PYTHONDEVMODE")
        }
        try:
            # A session of its own: Ctrl-C in the terminal reaches us alone, and we stop it.
            return subprocess.Popen(
                # Unbuffered, so that the log's last line is what it said last.
                [sys.executable, "-u", "-P", str(Path(__file__).with_name("child.py")), str(config)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                bufsize=0,
                env=environment,
                pass_fds=(lock,),
                start_new_session=True,
            )
        except OSError as error:
            raise ClawbotError(
                "homeserver_failed", f"The homeserver could not be started: {error.strerror or error}."
            ) from error
        finally:
            os.close(log)

    async def _serving(self, process: subprocess.Popen[bytes], kept: Kept, new: bool, began: float) -> None:
        what = f"Starting the homeserver {kept.server_name}" + (" with a new database" if new else "")
        self._say(what)
        said = 0
        async with open_api(kept.url, timeout_s=5.0) as api:
            while True:
                # First the answer, then the look at the child: an answer counts only if it is our child's.
                serving = await api.healthy()
                if process.poll() is not None:
                    raise self._died("while starting")
                elapsed_s = time.monotonic() - began
                if serving:
                    break
                if elapsed_s > START_S:
                    raise ClawbotError(
                        "homeserver_timeout",
                        f"The homeserver did not answer within {START_S:.0f} s.",
                        f"Its log is {self.log_path}.",
                    )
                if int(elapsed_s) > said:
                    said = int(elapsed_s)
                    self._say(f"{what} ({said} s)")
                await asyncio.sleep(POLL_S)
        database.served(self.directory)
        self._say(f"The homeserver {kept.server_name} serves {kept.url} (started in {elapsed_s:.1f} s)")

    def _died(self, when: str) -> ClawbotError:
        status = self._process.returncode if self._process is not None else None
        why = f"killed by signal {-status}" if status is not None and status < 0 else self.last_log_line()
        which = "The homeserver" if self._federation is None else f"The homeserver {self.server_name}"
        return ClawbotError(
            "homeserver_died",
            f"{which} stopped {when}: {why or f'exit status {status}'}".rstrip(".") + ".",
            f"Its log is {self.log_path}.",
        )

    def died(self) -> ClawbotError | None:
        """The error for a server that stopped by itself, or None while it runs or after ``stop``."""
        return self._died("by itself") if self._process is not None and self.pid is None else None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            # It leads a session, hence a process group, of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def _gone(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        # Polled, since what asyncio offers to await a process is bound to the event loop that started it.
        while self.pid is not None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)

    def _forget(self) -> None:
        """Reap the process, which has ended or been killed."""
        if self._process is None:
            return
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None


def _require_synapse() -> None:
    try:
        importlib.metadata.version("matrix-synapse")
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError(
            "homeserver_not_installed",
            "The package matrix-synapse is not installed.",
            "Install it: pip install 'clawnet-mesh[homeserver]'",
        ) from error


def _make_directory(directory: Path) -> None:
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise configuration.cannot_write(directory, error) from error


def _check_localpart(what: str, text: str) -> None:
    if not _LOCALPART.fullmatch(text):
        raise ConfigError(
            "homeserver_name_invalid",
            f"{text!r} cannot be a {what}.",
            "Use lower-case letters, digits and any of . _ = / + -",
        )
