"""Where a soak takes place: one homeserver or two that federate, a room, agents as processes, people with a client."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from bots.homeserver import Homeserver
from bots.homeserver.pair import running
from tests.bench._scene import homeservers
from tests.end_to_end.agent_process import CLAWBOT, AgentProcess
from tests.matrix_client import Account, MatrixClient
from tests.soak import Scenario

_ASKER = (CLAWBOT[0], "-m", "tests.soak.asker")
_ALIAS = "soak"
_SETTINGS: Mapping[str, str] = {
    # Who falls silent is given up soon, so that a short soak sees what comes then.
    "requests_lease_ms": "5000",
    "limits_prompt_bytes": "200000",
    "limits_concurrency": "4",
    # Guards against strangers, who are not here.
    "limits_tasks_per_minute_address": "1000",
    "limits_tasks_per_minute_homeserver": "1000",
    "limits_tasks_per_minute_strangers": "1000",
}
# What a user may send in the time that limits hold: Synapse takes whole numbers.
_HELD_BACK = {"messages_per_second": 1, "burst_count": 1}


class Scene:
    """``async with`` starts everything, and stops what still runs. ``say`` is told what is going on.

    The first of ``workers`` has a model, the others run what needs none. ``people`` and ``overseers``, one for each
    homeserver, are plain clients: of somebody who asks, and of the administrator.
    """

    def __init__(self, scenario: Scenario, folder: Path, say: Callable[[str], None]) -> None:
        self.homeservers = homeservers(folder, federated=scenario.federated)
        self.workers: list[AgentProcess] = []
        self.askers: list[AgentProcess] = []
        self.people: list[MatrixClient] = []
        self.room_id = ""
        self._overseers: list[MatrixClient] = []
        self._scenario = scenario
        self._folder = folder
        self._say = say
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._say("Starting the homeserver." if len(self.homeservers) == 1 else "Starting two homeservers.")
            await stack.enter_async_context(running(*self.homeservers))
            for homeserver in self.homeservers:
                self.people.append(await self._client(stack, homeserver, "ann"))
                self._overseers.append(await self._client(stack, homeserver, "overseer", admin=True))
            first = self.people[0]
            self.room_id = await first.create_room(preset="public_chat", room_alias_name=_ALIAS)
            alias = f"#{_ALIAS}:{self.homeservers[0].server_name}"
            for person in self.people[1:]:
                await person.join(alias)
            self._say(f"Making {self._scenario.agents + self._scenario.askers} agents.")
            where = itertools.cycle(self.homeservers)
            for number in range(self._scenario.askers):
                self.askers.append(await self._agent(stack, next(where), f"asker{number}"))
            for number in range(self._scenario.agents):
                self.workers.append(await self._agent(stack, next(where), f"worker{number}"))
            await _few_at_once(agent.init(alias, "--engine", self._engine(agent)) for agent in self.everybody)
            for agent in self.everybody:
                self.start(agent)
            self._say("Waiting until they know each other.")
            names = [agent.name for agent in self.everybody]
            await asyncio.gather(*(agent.ready() for agent in self.everybody))
            await asyncio.gather(*(agent.sees(*names) for agent in self.everybody))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def everybody(self) -> list[AgentProcess]:
        """All agents: those that ask, and those that work."""
        return [*self.askers, *self.workers]

    @property
    def troubled(self) -> list[AgentProcess]:
        """Those that are killed and restarted: all but one that asks and the one with the model."""
        return [*self.askers[1:], *self.workers[1:]]

    def start(self, agent: AgentProcess) -> None:
        """Start an agent, for the first time or again."""
        agent.start(command=_ASKER if agent in self.askers else (*CLAWBOT, "run"))

    async def hold_back(self, on: bool) -> None:
        """Let the homeservers limit all agents to one message a second, or no longer."""
        for agent in self.everybody:
            overseer = next(one for one in self._overseers if one.account.homeserver == agent.account.homeserver)
            path = f"/_synapse/admin/v1/users/{quote(agent.account.user_id, safe='')}/override_ratelimit"
            await overseer.request("POST" if on else "DELETE", path, _HELD_BACK if on else None)

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name; a model has one of its own."""
        found: dict[str, int] = {}
        for agent in self.everybody:
            if (pid := agent.pid) is not None:
                found[agent.name] = pid
                with contextlib.suppress(OSError, AssertionError):  # it ends just now
                    found |= {f"{agent.name}'s model": child for child in agent.children}
        for letter, homeserver in zip("ab", self.homeservers, strict=False):
            if (pid := homeserver.pid) is not None:
                found[f"homeserver {letter}"] = pid
        return found

    def _engine(self, agent: AgentProcess) -> str:
        return "llamacpp" if agent is self.workers[0] else "none"

    async def _agent(self, stack: AsyncExitStack, homeserver: Homeserver, name: str) -> AgentProcess:
        account = await _account(homeserver, name)
        home = self._folder / name
        home.mkdir()
        settings = {f"CLAWNET_{key.upper()}": value for key, value in _SETTINGS.items()}
        agent = AgentProcess(account, home, self._folder / "cache", settings)
        stack.callback(agent.close)
        return agent

    async def _client(
        self, stack: AsyncExitStack, homeserver: Homeserver, name: str, admin: bool = False
    ) -> MatrixClient:
        return await stack.enter_async_context(MatrixClient(await _account(homeserver, name, admin)))


async def _account(homeserver: Homeserver, name: str, admin: bool = False) -> Account:
    password = f"the password of {name}"
    return Account(homeserver.url, name, await homeserver.register(name, password, admin), password)


async def _few_at_once(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Two at a time: they are processes, and more only wait for each other."""
    places = asyncio.Semaphore(2)

    async def one(piece: Coroutine[Any, Any, None]) -> None:
        async with places:
            await piece

    await asyncio.gather(*map(one, work))
