"""An agent as its owner has it: a home of its own, ``clawbot run`` in a process, and commands beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bots
from bots.control import call, socket_path
from bots.errors import ClawbotError
from bots.requests import AgentStatus, AnyAnswer, AnyRequest, Peers, PeerSeen, Status
from tests.matrix_client import Account

Json = dict[str, Any]

READY_S = 60.0
LEAVE_S = 30.0
COMMAND_S = 90.0
_POLL_S = 0.05

CLAWBOT = (sys.executable, "-m", "bots.cli")


class Finished(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> list[Json]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, event: str) -> list[Json]:
        """The events of one kind."""
        return [line for line in self.json if line["event"] == event]


class Running:
    """A command that has not ended: its JSON lines as they come."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[Json] = []

    async def until(self, match: Callable[[Json], bool], timeout_s: float = COMMAND_S) -> Json:
        """The next line that matches. Raises EOFError if the command ends without one."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout_s):
            while text := await self.process.stdout.readline():
                self.lines.append(json.loads(text))
                if match(self.lines[-1]):
                    return self.lines[-1]
        raise EOFError(f"no such line among {self.lines}")

    async def ended(self, timeout_s: float = COMMAND_S) -> int:
        """The exit status; what is still printed is read."""
        with contextlib.suppress(EOFError):
            await self.until(lambda line: False, timeout_s)
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()


class AgentProcess:
    """One agent: ``init`` once, then ``start`` and ``stop`` (or ``kill``) as often as one likes.

    ``home`` is its owner's; ``cache`` may be shared by several, so that the model is assembled once. ``settings``
    are environment variables. Nothing here is bound to an event loop.
    """

    def __init__(self, account: Account, home: Path, cache: Path, settings: dict[str, str]) -> None:
        self.name = account.name
        self.account = account
        self.home = home
        self.settings = settings
        self.state = home / ".local" / "state" / "clawnet" / self.name
        self.log_path = home / "log"
        self._cache = cache
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the owner's commands see: nothing of the machine but where programs and passing files are."""
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": tempfile.gettempdir(),
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self._cache),
            "PYTHONPATH": str(Path(bots.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CLAWNET_MATRIX_PASSWORD": self.account.password,
            **self.settings,
        }

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def log(self) -> str:
        """What all its runs have written to the terminal."""
        return self.log_path.read_text("utf-8") if self.log_path.exists() else ""

    @property
    def config(self) -> Path:
        return self.home / ".config" / "clawnet" / self.name / "config.toml"

    async def init(self, room: str, *options: str) -> None:
        """``clawbot init``; "" for no room yet."""
        account = self.account
        finished = await self.clawbot(
            "init", "--name", self.name, "--homeserver", account.homeserver, "--user", account.user_id,
            *(("--room", room) if room else ()), *options,
        )  # fmt: skip
        assert finished.status == 0, finished

    def start(self, *options: str, command: Sequence[str] = (*CLAWBOT, "run")) -> None:
        """``clawbot run``; what it writes goes to ``log``."""
        assert self.pid is None
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--name", self.name, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd=self.home,
            )  # fmt: skip

    async def ready(self, timeout_s: float = READY_S) -> AgentStatus:
        """Once it is in a room, has announced itself there, and its models are loaded if it has an engine."""
        status = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    assert self.pid is not None, f"{self.name} has ended:\n{self.log}"
                    status = await self.status()
                    if status is not None and status.online and status.rooms:
                        loaded = status.models or status.engine == "none"
                        me = [peer for peer in await self.peers() if peer.me and peer.live and peer.bound]
                        if loaded and me:
                            return status
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise AssertionError(f"{self.name} is not ready: {status}\n{self.log}") from None

    async def listening(self, timeout_s: float = READY_S) -> None:
        """Once commands reach it, whatever else is the matter."""
        async with asyncio.timeout(timeout_s):
            while await self.status() is None:
                assert self.pid is not None, f"{self.name} has ended:\n{self.log}"
                await asyncio.sleep(_POLL_S)

    async def logs(self, text: str, timeout_s: float = READY_S) -> None:
        """Once it has written this to the terminal."""
        async with asyncio.timeout(timeout_s):
            while text not in self.log:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)

    async def online(self, timeout_s: float = READY_S) -> None:
        """Once it is logged in and receives; it need be in no room."""
        async with asyncio.timeout(timeout_s):
            while (status := await self.status()) is None or not status.online:
                assert self.pid is not None, f"{self.name} has ended:\n{self.log}"
                await asyncio.sleep(_POLL_S)

    async def ask_socket(self, request: AnyRequest) -> list[AnyAnswer]:
        return [answer async for answer in call(socket_path(self.state), request)]

    async def status(self) -> AgentStatus | None:
        """What it says of itself over its socket, None while nobody listens there."""
        try:
            (status,) = await self.ask_socket(Status())
        except (ConnectionError, ValueError):
            return None
        assert isinstance(status, AgentStatus)
        return status

    async def peers(self) -> list[PeerSeen]:
        try:
            return [peer for peer in await self.ask_socket(Peers()) if isinstance(peer, PeerSeen)]
        except (ConnectionError, ClawbotError):
            return []

    async def sees(self, *names: str, timeout_s: float = READY_S) -> None:
        """Once it sees agents of these names alive."""
        async with asyncio.timeout(timeout_s):
            while set(names) - {peer.name for peer in await self.peers() if peer.live}:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)

    @property
    def children(self) -> list[int]:
        """Process ids of what it has started itself: the worker that holds the model."""
        assert self.pid is not None
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a crash: no word to anybody."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def stop(self, timeout_s: float = LEAVE_S) -> int:
        """SIGTERM, and the exit status."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.terminate()
        deadline = time.monotonic() + timeout_s
        while process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{self.name} does not leave:\n{self.log}")
            await asyncio.sleep(_POLL_S)
        return int(process.returncode)

    def close(self) -> None:
        """End it in any case."""
        if self.pid is not None:
            self.kill()

    # --- commands ---

    async def clawbot(self, *arguments: str, timeout_s: float = COMMAND_S, **settings: str) -> Finished:
        """Run a command of its owner to its end."""
        async with self.running(*arguments, **settings) as command:
            async with asyncio.timeout(timeout_s):
                out, err = await command.process.communicate()
            assert command.process.returncode is not None
            return Finished(command.process.returncode, out.decode(), err.decode())

    @contextlib.asynccontextmanager
    async def running(self, *arguments: str, **settings: str) -> AsyncIterator[Running]:
        """A command of its owner, which is killed if it has not ended by the end of the block."""
        process = await asyncio.create_subprocess_exec(
            *CLAWBOT, *arguments,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self.environment | settings, cwd=self.home, limit=1 << 20,
        )  # fmt: skip
        try:
            yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def start_all(agents: Iterable[AgentProcess]) -> None:
    """Start agents at the same time, and return once each sees all of them."""
    agents = list(agents)
    for agent in agents:
        agent.start()
    await asyncio.gather(*(agent.ready() for agent in agents))
    names = [agent.name for agent in agents]
    await asyncio.gather(*(agent.sees(*names) for agent in agents))


@contextlib.contextmanager
def models_held(*agents: AgentProcess) -> Iterator[list[int]]:
    """Their models stand still for a while, so that a stage cannot end too soon; gives their workers' pids."""
    workers = [worker for agent in agents for worker in agent.children]
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield workers
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)
