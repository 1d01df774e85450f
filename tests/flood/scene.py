"""A room with three agents, somebody who asks them, and what must outlive a flood: an open task, a revocation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bots.requests import Peers, PeerSeen
from clawnet_proto.families import identity, task
from clawnet_proto.message import Message
from clawnet_proto.signing import digest, signed_bytes
from tests.end_to_end.agent_process import AgentProcess
from tests.end_to_end.handmade_peer import HandmadePeer
from tests.end_to_end.reading import Json, carried
from tests.matrix_client import MatrixClient
from tests.proto import samples

ANSWERED_S = 60.0
ECHO = samples.stage("draft", "question", kind="echo")


class Asker(HandmadePeer):
    """Asks agents, one after another, for what takes no model. ``overheard`` is all that it said."""

    def __init__(self, client: MatrixClient, room_id: str, name: str) -> None:
        super().__init__(client, room_id, name)
        self.overheard: list[Json] = []

    async def post(self, *carriers: Json) -> str:
        self.overheard += carriers
        return await super().post(*carriers)

    def request(self, *stages: task.Stage, to: str = "") -> Json:
        """A request, of one stage that is an echo unless others are given."""
        return self.message(samples.request(*(stages or (ECHO,))), to=to)

    def award(self, task_id: str, did: str, stage: str = "draft", attempt: int = 1) -> Json:
        body = task.Award(stage=stage, attempt=attempt, lease_ms=60_000)
        return self.message(body, to=did, thread=task_id, answers=task_id)

    async def open(self, *stages: task.Stage) -> str:
        """A task that nobody was awarded: its id."""
        await self.post(asked := self.request(*stages))
        return id_of(asked)

    async def ask(self, did: str) -> Message:
        """One question to one agent: its result."""
        asked = self.request(to=did)
        await self.post(asked, self.award(id_of(asked), did))
        return await self.done(id_of(asked))

    async def done(self, task_id: str, stage: str = "draft") -> Message:
        """The result of a stage, once it is there."""
        found: list[Message] = []

        def match(event: Json) -> bool:
            answers = (message for message in carried(event) if message.envelope.thread == task_id)
            ends = (message for message in answers if isinstance(message.body, task.Result | task.Fail))
            found[:] = [message for message in ends if message.body.stage == stage]
            return bool(found)

        await self.client.wait_for(match, ANSWERED_S)
        assert isinstance(found[0].body, task.Result), found[0].body
        return found[0]

    async def revoke(self) -> None:
        """Give up this identity."""
        await self.post(self.message(identity.Revoke(chain=(), since_ms=0)))


def id_of(carrier: Json) -> str:
    """The id of the message in a carrier."""
    return digest(signed_bytes(str(carrier["env"]).encode()))


async def seen_by(agent: AgentProcess) -> dict[str, PeerSeen]:
    """What an agent knows of everybody, by did; strangers by free keys left out."""
    answers = await agent.ask_socket(Peers(everyone=True))
    return {answer.did: answer for answer in answers if isinstance(answer, PeerSeen)}


async def did_of(agent: AgentProcess) -> str:
    """Its own identity."""
    (me,) = [peer for peer in (await seen_by(agent)).values() if peer.me]
    return me.did


async def answered_in(asker: Asker, dids: Sequence[str], seconds: float, pause_s: float = 0.3) -> list[float]:
    """Ask the agents by turns for so long: how many seconds each answer took."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    took: list[float] = []
    while (begun_s := loop.time()) < end_s:
        asker.client.events.clear()  # nothing of before concerns it
        await asker.ask(dids[len(took) % len(dids)])
        took.append(loop.time() - begun_s)
        await asyncio.sleep(pause_s)
    return took
