"""The mesh for programs: what ``clawbot`` does, as a small typed interface.

    from bots.api import Clawnet

    async with Clawnet.open("ada") as net:
        for peer in net.discover_peers():
            print(peer.name, peer.models)
        answer = await net.execute(question="Why is the sky blue?", stages=("draft", "critique", "revise"))
        print(answer.text)

An agent must have been made by ``clawbot init`` and must not be running elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bots import config as configuration
from bots import identity, pipelines
from bots.agent import Agent
from bots.behaviours.requester import Order
from bots.errors import ClawbotError
from bots.events import AnyEvent, PeerConfirmed, TaskEnded
from bots.lifetime import taking_part
from bots.opening import open_agent
from bots.paths import paths_of
from bots.ranking import capable
from bots.service import unsayable
from clawnet_proto.errors import LocalProtocolError
from clawnet_proto.families import presence, task
from clawnet_proto.mesh import Peer

__all__ = ["Clawnet"]


class Clawnet:
    """A running agent in one room."""

    def __init__(self, agent: Agent, room: str) -> None:
        self.agent = agent
        self.room = room

    @classmethod
    @asynccontextmanager
    async def open(
        cls, name: str, *, room: str = "", password: str = "", timeout_s: float = 60.0
    ) -> AsyncIterator[Clawnet]:
        """Run the agent called ``name`` while the body runs; it leaves politely afterwards.

        ``room`` is needed if the agent is in several; ``password`` only before its first login.
        Raises ClawbotError.
        """
        paths = paths_of(name)
        config = configuration.load(paths.config)
        own = identity.load(paths.keys)
        identity.require_sound(own, name)
        agent = await open_agent(config, paths.state, own, lambda: password)
        async with taking_part(agent, join_s=timeout_s):
            rooms = [known for known in agent.rooms() if room in ("", known.uri, known.name)]
            if len(rooms) != 1:
                raise ClawbotError("room.ambiguous", f"The agent is in {len(rooms)} such rooms.", "Name one by `room`.")
            yield cls(agent, rooms[0].uri)

    def announce(self) -> presence.Announce | None:
        """What this agent says of itself in the room; announces are made and renewed by themselves."""
        current = self.agent.presence.current(self.room)
        return None if current is None else current.body

    def discover_peers(self) -> list[presence.Announce]:
        """What the bound live peers say of themselves."""
        return [peer.body for peer in self._peers() if peer.body is not None]

    def find_capable(self, stage: task.Stage) -> list[str]:
        """The dids of bound live peers that say they can run a stage."""
        return [peer.did for peer in self._peers() if peer.body is not None and capable(peer.body, stage)]

    def _peers(self) -> list[Peer]:
        return [peer for peer in self.agent.live_peers(self.room) if peer.did != self.agent.identity.did]

    def _hops(self, parent: str) -> int:
        view = self.agent.mesh(self.room).task(parent) if parent else None
        return 0 if view is None else int(view.request.body.hops) + 1

    async def handshake(self, did: str, *, timeout_s: float = 20.0) -> int:
        """Shake hands with a peer and return the round-trip time in ms. Raises ClawbotError."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def observe(event: AnyEvent) -> None:
            if isinstance(event, PeerConfirmed) and event.peer == did and not done.done():
                done.set_result(event.rtt_ms)

        end = self.agent.observe(observe)
        try:
            if not self.agent.handshakes.greet(self.room, did, again_ms=0):
                raise ClawbotError("peer.unreachable", "That peer has announced no address for direct messages.")
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            raise ClawbotError("peer.silent", f"The peer did not answer within {timeout_s:.0f} s.") from None
        finally:
            end()

    async def execute(
        self,
        *,
        question: str,
        stages: Sequence[str] | Sequence[task.Stage] = ("answer",),
        model: str = "",
        to: str = "",
        private: bool = False,
        preferences: task.Preferences | None = None,
        parent: str = "",
        timeout_s: float = 900.0,
    ) -> TaskEnded:
        """Have a task done by the mesh. ``stages`` are names of ``bots.pipelines`` or stages of your own.

        ``parent`` is the id of the task on whose behalf this one is asked: it counts as one hop more.
        Cancelling this coroutine cancels the task. Raises ClawbotError if it cannot be asked; how it ended
        is in the answer's ``outcome``.
        """
        kind = pipelines.kind_for(self.discover_peers(), model)
        names = [stage for stage in stages if isinstance(stage, str)]
        own = [stage for stage in stages if isinstance(stage, task.Stage)]
        order = Order(
            room=self.room,
            title="a sealed task" if private else question[:200],
            inputs={pipelines.QUESTION: question},
            stages=tuple(own)
            or pipelines.build(names, kind, model=model, max_tokens=self.agent.config.requests.max_tokens),
            private=private,
            to=to,
            preferences=preferences,
            parent=parent,
            hops=self._hops(parent),
            timeout_ms=int(timeout_s * 1000),
        )
        ended: asyncio.Future[TaskEnded] = asyncio.get_running_loop().create_future()
        task_id = ""

        def observe(event: AnyEvent) -> None:
            if isinstance(event, TaskEnded) and event.task == task_id and not ended.done():
                ended.set_result(event)

        end = self.agent.observe(observe)
        try:
            task_id = self.agent.requester.request(order)
            return await ended
        except LocalProtocolError as error:
            raise unsayable(error) from None
        finally:
            end()
            if task_id in self.agent.requester.open_tasks():
                self.agent.requester.cancel(task_id, "whoever asked went away")
