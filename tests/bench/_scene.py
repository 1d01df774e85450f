"""Where meshes are measured: a real Synapse, a public room, agents as processes, a requester in this process."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

from bots.api import Clawnet
from bots.events import TaskEnded
from bots.homeserver import Homeserver
from bots.homeserver.authority import Authority
from bots.homeserver.configuration import RateLimits, free_port
from bots.homeserver.federation import Federation
from bots.homeserver.pair import running
from clawnet_proto.families import task
from clawnet_proto.mesh import Peer
from tests.matrix_client import Account, MatrixClient

# Never a file system in memory: commits are to cost what they cost people.
DISK = "/var/tmp" if Path("/var/tmp").is_dir() else None
# Guards against strangers, not what makes an agent fast or slow.
_QUOTAS = {f"CLAWNET_LIMITS_TASKS_PER_MINUTE_{whose}": "1000" for whose in ("ADDRESS", "HOMESERVER", "STRANGERS")}
REQUESTER = "ada"
_READY_S = 60.0
_STOP_S = 15.0
_QUIET_S = 0.3


class Scene:
    """One homeserver and one room. ``async with Scene(...) as scene`` starts it, and stops all that was started.

    The room is made by the requester's own account, so that nobody but agents is in it. ``client`` is a plain
    client of that account, to look at the room from outside. ``elsewhere`` is the homeserver that the first
    federates with, if it does; else it is the same.
    """

    def __init__(self, rate_limits: RateLimits = "raised", *, federated: bool = False) -> None:
        self._rate_limits = rate_limits
        self._federated = federated
        self._stack = AsyncExitStack()
        self._accounts: dict[str, Account] = {}
        self.alias = self.room_id = ""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clawnet-bench-", dir=DISK))
            self._folder = Path(folder)
            self._environment = {
                "XDG_CONFIG_HOME": f"{folder}/config",
                "XDG_STATE_HOME": f"{folder}/state",
            }
            stack.callback(_changed(self._environment))
            servers = homeservers(self._folder, federated=self._federated, rate_limits=self._rate_limits)
            await stack.enter_async_context(running(*servers))
            self.homeserver, self.elsewhere = servers[0], servers[-1]
            self.client = await self._logged_in(stack, REQUESTER, self.homeserver)
            self.room_id = await self.client.create_room(preset="public_chat", room_alias_name="bench")
            self.alias = f"#bench:{self.homeserver.server_name}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def plain_client(self, name: str, *, at: Homeserver | None = None) -> MatrixClient:
        """A logged-in client of plain HTTP, closed at the end; its account is on the homeserver ``at``."""
        return await self._logged_in(self._stack, name, at or self.homeserver)

    async def agent(
        self, name: str, *, engine: str = "none", at: Homeserver | None = None
    ) -> asyncio.subprocess.Process:
        """``clawbot init`` and ``clawbot run`` with a new account in the room, as processes."""
        account = await self._initiated(name, engine, at or self.homeserver)
        process = await self._clawbot("run", account)
        self._stack.push_async_callback(_stop, process)
        return process

    async def requester(self) -> Clawnet:
        """An agent without a model in this process, in the room."""
        account = await self._initiated(REQUESTER, "none", self.homeserver)
        return await self._stack.enter_async_context(Clawnet.open(REQUESTER, password=account.password))

    async def _initiated(self, name: str, engine: str, homeserver: Homeserver) -> Account:
        account = await self._account(name, homeserver)
        where = ("--homeserver", account.homeserver, "--user", account.user_id, "--room", self.alias)
        init = await self._clawbot("init", account, *where, "--engine", engine)
        if await init.wait():
            log = (self._folder / f"{name}.log").read_text(errors="replace").strip()
            raise RuntimeError(f"clawbot init {name} failed: {log}")
        return account

    async def _logged_in(self, stack: AsyncExitStack, name: str, homeserver: Homeserver) -> MatrixClient:
        return await stack.enter_async_context(MatrixClient(await self._account(name, homeserver)))

    async def _account(self, name: str, homeserver: Homeserver) -> Account:
        if name not in self._accounts:
            password = f"password of {name}"
            user_id = await homeserver.register(name, password)
            self._accounts[name] = Account(homeserver.url, name, user_id, password)
        return self._accounts[name]

    async def _clawbot(self, command: str, account: Account, *options: str) -> asyncio.subprocess.Process:
        with (self._folder / f"{account.name}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bots.cli", command, "--name", account.name, *options),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "CLAWNET_MATRIX_PASSWORD": account.password, **_QUOTAS},
                start_new_session=True,
            )


def homeservers(folder: Path, *, federated: bool = False, rate_limits: RateLimits = "raised") -> tuple[Homeserver, ...]:
    """One homeserver, or two that federate with each other; not yet started."""
    if not federated:
        return (Homeserver(folder / "homeserver", rate_limits=rate_limits),)
    names = tuple(f"localhost:{free_port()}" for _ in range(2))
    federation = Federation(authority=Authority(), members=names)
    return tuple(
        Homeserver(folder / which, server_name=name, rate_limits=rate_limits, federation=federation)
        for which, name in zip("ab", names, strict=True)
    )


def echo(name: str = "echo", *reads: str) -> task.Stage:
    """A diagnostic stage that gives back what it reads: the question, or earlier stages."""
    parts = tuple(task.DataPart(source=read, form="line") for read in reads or ("question",))
    return task.Stage(id=name, kind="echo", prompt=parts, parameters=parameters(1))


def parameters(max_tokens: int) -> task.Parameters:
    """Greedy, and never stopped by a text."""
    return task.Parameters(max_tokens=max_tokens, temperature_milli=0, top_p_milli=1000, seed=0, stop=())


async def acquainted(net: Clawnet, stage: task.Stage, count: int) -> list[str]:
    """Wait until ``count`` peers can run the stage and the room has nothing left to say; their dids.

    The last thing newcomers tell, seconds after their first announce, is whom they have shaken hands with.
    """

    def settled() -> bool:
        peers = net.agent.live_peers(net.room)
        return len(net.find_capable(stage)) >= count and all(map(_has_confirmed, peers))

    await until(settled)
    await quiet(net)
    return net.find_capable(stage)


async def quiet(net: Clawnet) -> None:
    """Wait until what was posted is sent, and the others have had time to take it in."""
    await net.agent.outbox.flush(_READY_S)
    await asyncio.sleep(_QUIET_S)


async def until(condition: Callable[[], bool]) -> None:
    """Poll until something is so. Raises TimeoutError."""
    async with asyncio.timeout(_READY_S):
        while not condition():  # noqa: ASYNC110 - what others announce is no event here
            await asyncio.sleep(0.05)


async def completed(net: Clawnet, stages: Sequence[task.Stage], question: str, *, to: str = "") -> TaskEnded:
    """Have a task done. Raises RuntimeError if it was not."""
    ended = await net.execute(question=question, stages=stages, to=to, timeout_s=120)
    if ended.outcome != "completed":
        raise RuntimeError(f"the task {ended.outcome}: {ended.message}")
    return ended


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process that is stopped at the end; its standard output is a pipe."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        await _stop(started)


def _has_confirmed(peer: Peer) -> bool:
    return peer.body is not None and bool(peer.body.confirmed)


def _changed(environment: Mapping[str, str]) -> Callable[[], None]:
    """Change this process's environment, and keep settings of whoever runs this out; returns what undoes it."""
    before = {key: value for key, value in os.environ.items() if key in environment or key.startswith("CLAWNET_")}
    for key in before:
        del os.environ[key]
    os.environ.update(environment)

    def undo() -> None:
        for key in environment:
            os.environ.pop(key, None)
        os.environ.update(before)

    return undo


async def _stop(started: asyncio.subprocess.Process) -> None:
    if started.returncode is None:
        started.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await started.wait()
        except TimeoutError:
            started.kill()
            await started.wait()
