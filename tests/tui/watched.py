"""A room that is watched: what authors sign arrives as Matrix events, is checked and folded."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from clawnet_proto.families import task
from clawnet_proto.families.presence import Confirmed
from clawnet_proto.wire import Record
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM, Author
from tui.arrivals import Arrival
from tui.checking import check
from tui.filters import Context
from tui.model import Model
from tui.recorder import Recorder
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always
from tui.views import Entry, Snapshot


class Watched:
    """``say`` signs and delivers; ``arrivals`` is all that was delivered."""

    def __init__(self) -> None:
        self.model = Model()
        self.arrivals: list[Arrival] = []
        self._events = itertools.count(1)

    def deliver(self, content: object, sender: str, *, plane: Any = "room") -> Entry:
        """An event with this content; the line of the timeline it becomes."""
        kind = "m.room.message" if plane == "room" else "net.clawnet.direct"
        number = next(self._events)
        arrival = Arrival(
            transport="matrix",
            plane=plane,
            room=ROOM if plane == "room" else "",
            sender=sender,
            event_id=f"$event{number}",
            event=json.dumps({"type": kind, "content": content}),
            received_ms=NOW_MS + number,
        )
        self.arrivals.append(arrival)
        self.model.fold(check(arrival))
        return self.snapshot().entries[-1]

    def say(self, by: Author, body: Record, *, to: str = "", address: str = "", **fields: Any) -> Entry:
        """A message that ``by`` signs, sent from its own address or another; ``to`` is a did."""
        if to:
            fields["recipients"] = (to,)
        carrier = json.loads(by.carrier(body, **fields))
        direct = body.__class__ in (task.Offer, task.Start, task.Progress, task.Ask)
        content = {"msgtype": "m.notice", "body": "", "net.clawnet.carriers": [carrier]}
        return self.deliver(content, address or by.address, plane="direct" if direct else "room")

    def words(self, text: str, sender: str = "matrix:u/lee:example.org") -> Entry:
        """What a person writes without a signature."""
        return self.deliver({"msgtype": "m.text", "body": text}, sender)

    def forge(self, by: Author, body: Record) -> Entry:
        """A carrier whose signature is another message's."""
        carrier = json.loads(by.carrier(body)) | {"sig": json.loads(by.carrier(body))["sig"]}
        return self.deliver({"msgtype": "m.notice", "body": "", "net.clawnet.carriers": [carrier]}, by.address)

    def snapshot(self) -> Snapshot:
        return self.model.snapshot(NOW_MS + 1000, fresh=True)

    def context(self) -> Context:
        mesh = self.model.mesh

        def task_state(task_id: str) -> str:
            view = mesh.task(task_id)
            return "" if view is None else view.state

        return Context(
            name_of=mesh.name_of,
            verdict_of=self.model.verdict,
            task_state=task_state,
            agent_of=self.snapshot().agent,
        )


class Errand(Watched):
    """Ada writes, bob reviews, carol asks: a task that ada works on, after what each announced."""

    def __init__(self) -> None:
        super().__init__()
        self.ada, self.bob, self.carol = Author("ada"), Author("bob"), Author("carol")
        for author, role in ((self.ada, "writer"), (self.bob, "reviewer"), (self.carol, "asker")):
            known = (Confirmed(peer=self.bob.did, at_ms=NOW_MS, rtt_ms=41),) if author is self.ada else ()
            models = samples.full_announce(author, self.bob).models if author is self.ada else ()
            self.say(author, samples.announce(author, role=role, confirmed=known, models=models))
        self.request = self.say(self.carol, samples.request(title="Why is the sky blue?"))
        assert self.request.message is not None
        self.task_id = self.request.message.id
        award = task.Award(stage="draft", attempt=1, lease_ms=30_000)
        self.award = self.say(self.carol, award, to=self.ada.did, thread=self.task_id, answers=self.task_id)
        assert self.award.message is not None
        self.start = self.say(
            self.ada,
            task.Start(stage="draft", attempt=1, model="gemma3-270m"),
            to=self.carol.did,
            thread=self.task_id,
            answers=self.award.message.id,
        )
        self.person = self.words("Has anybody seen my cat?")
        self.forged = self.forge(self.bob, samples.announce(self.bob, 2))
        self.relayed = self.say(self.bob, samples.announce(self.bob, 3), address="matrix:u/relay:example.org")
        self.unbound = self.say(Author("dora"), samples.announce(Author("dora")), address="matrix:u/x:example.org")


class Given:
    """A source that delivers these arrivals, then ends, fails, or stays. ``delivered`` is set before it stays."""

    title = "a given room"
    room = ""
    key: Key | None = None

    def __init__(self, *batches: Sequence[Arrival], error: SourceError | None = None, stays: bool = False) -> None:
        self._batches = batches
        self._error = error
        self._stays = stays
        self.delivered = asyncio.Event()
        self.cancelled = False

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        told(Link("live", "all is\x1b[2J well"))
        for batch in self._batches:
            deliver(batch)
            await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        self.delivered.set()
        if self._stays:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        told(Link("ended"))

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        raise SourceError("source.read_only", "It only reads.")
        yield ""

    async def cancel(self, task: str) -> str:
        raise SourceError("source.read_only", "It only reads.")


def write_recording(path: Path, arrivals: Sequence[Arrival]) -> Path:
    """A recording of these arrivals."""
    recorder = Recorder(path, created_ms=NOW_MS, recorder="matrix:u/watcher:example.org")
    for arrival in arrivals:
        recorder.record(arrival)
    recorder.close()
    return path
