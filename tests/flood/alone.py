"""The full rate straight into one agent: a homeserver of this machine would not pass it on so fast."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.agent.network import Network
from tests.agent.simulated import Member, Room, order
from tests.agent.virtual_time import VirtualTimeLoop
from tests.flood.spam import Rogue, Spam
from tests.proto.authoring import ROOM

SPAMMER = "matrix:u/rogue:example.org"
_EVENTS_PER_SECOND = 64  # of 16 carriers
_DIRECT_EVERY = 8  # events


class Flood:
    """A rogue in a simulated room, whom nobody but ``target`` hears. ``cpu_s`` is what it took to make the spam."""

    def __init__(self, network: Network, target: Member) -> None:
        self._network = network
        self._target = target
        self.rogue = Rogue(ROOM, SPAMMER, "DEVICE", network.now_ms)
        self.cpu_s = 0.0
        self.messages = 0
        network.account(SPAMMER)
        network.rules.append(
            lambda passage: [passage] if passage.sender != SPAMMER or passage.to == target.address else []
        )

    async def run(self, seconds: int, kinds: tuple[Spam, ...]) -> None:
        """A thousand messages a second for so long; every eighth event is a direct one."""
        self._say([self.rogue.announcement()], direct=False)
        for number in range(seconds * _EVENTS_PER_SECOND):
            begun = time.process_time()
            carriers = self.rogue.event(kinds)
            self._say(carriers, direct=number % _DIRECT_EVERY == 0)
            # This room is a test's, and forgets nothing by itself.
            self._network.timeline.clear()
            self.messages += len(carriers)
            self.cpu_s += time.process_time() - begun
            await asyncio.sleep(1 / _EVENTS_PER_SECOND)

    def _say(self, carriers: list[object], *, direct: bool) -> None:
        content = {"msgtype": "m.notice", "body": "words", "net.clawnet.carriers": carriers}
        if direct:
            self._network.send(SPAMMER, self._target.address, content)
        else:
            self._network.post(SPAMMER, content)


class Cost(NamedTuple):
    """What a flood cost an agent."""

    cpu_share: float  # of one core
    microseconds: float  # a message
    store_mb: float
    answered: int  # of the questions that others asked meanwhile
    asked: int


def cost(seconds: int, kinds: tuple[Spam, ...]) -> Cost:
    """Flood an agent while another one asks it a question a second."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_cost(seconds, kinds, Path(folder)))


async def _cost(seconds: int, kinds: tuple[Spam, ...], folder: Path) -> Cost:
    async with Room(folder) as room:
        ada, bert = await room.crowd("ada", "bert")
        flood = Flood(room.network, ada)
        spent = time.process_time()
        flooding = asyncio.ensure_future(flood.run(seconds, kinds))
        tasks = []
        while not flooding.done():
            tasks.append(bert.ask(order(to=ada.did)))
            await asyncio.sleep(1)
        spent = time.process_time() - spent - flood.cpu_s
        answered = [(await bert.outcome(task_id)).outcome for task_id in tasks].count("completed")
        size = sum(path.stat().st_size for path in ada.folder.glob("store.sqlite*"))
    return Cost(spent / seconds, 1e6 * spent / flood.messages, size / (1 << 20), answered, len(tasks))
