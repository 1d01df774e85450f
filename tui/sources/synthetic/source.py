"""The synthetic mesh as a source: paces the play by the clock it is given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from clawnet_proto.specification import LIMITS
from tui.arrivals import Arrival
from tui.sources import Deliver, Key, Link, Ready, SourceError, Tell, always
from tui.sources.synthetic.errand import Errand
from tui.sources.synthetic.play import ROOM, Scene
from tui.sources.synthetic.script import perform
from tui.sources.synthetic.texts import STAGES, topic_for

_PAUSES_S: Final = (0.015, 0.03)  # often enough for the eye, seldom enough to cost nothing
_BATCH: Final = 30  # events before others get their turn: some milliseconds of work
_TOLD: Final = "made-up agents with real signatures, on this machine alone"


class Synthetic:
    """A mesh of ``agents`` made-up agents, the one among them that is ours included (4 at least).

    ``rate`` is events a second, None the natural pace of a room; it ends after ``limit`` events or ``duration_ms``, 0
    is never. ``clock`` gives Unix milliseconds, ``sleep`` waits seconds. The same seed and start give the same events.
    Raises ``SourceError`` for numbers that make no mesh.
    """

    def __init__(
        self, *, clock: Callable[[], int], agents: int = 24, seed: object = 0, rate: float | None = None,
        limit: int = 0, duration_ms: int = 0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self.title = "a synthetic mesh"
        self.room = ROOM
        self._clock = clock
        self._sleep = sleep
        self._limit = limit
        start_ms = clock()
        self._end_ms = start_ms + duration_ms if duration_ms else 0
        try:
            self._play = perform(agents=agents, seed=seed, rate=rate, start_ms=start_ms)
        except ValueError as error:
            raise SourceError("demo.size", str(error), usage=True) from None
        self._ready: deque[Arrival] = deque()
        self._delivered = 0
        self._running = False
        self._asking: set[asyncio.Queue[str | None]] = set()  # who listens to what becomes of a question
        self._key = Key(self._play.you.did, (self._play.you.seal_key,))

    @property
    def key(self) -> Key | None:
        return self._key

    def prepare(self, count: int) -> None:
        """Make so many events ahead, so that handing them over costs nothing. What is asked comes after them."""
        while len(self._ready) < count:
            self._ready.extend(self._play.step())

    async def run(self, deliver: Deliver, told: Tell, ready: Ready = always) -> None:
        """Deliver what is due until the end, if there is one."""
        told(Link("live", _TOLD))
        self._running = True
        try:
            while not self._over:
                batch = self._due(self._clock())
                if batch:
                    deliver(batch)
                    await ready()
                least, most = _PAUSES_S
                wait_s = (self._next_ms - self._clock()) / 1000
                await self._sleep(0 if len(batch) >= _BATCH else min(most, max(least, wait_s)))
        finally:
            self._running = False
            for told_to in self._asking:
                told_to.put_nowait(None)
        told(Link("ended", "the play is over"))

    async def ask(
        self, question: str, *, stages: Sequence[str] = ("answer",), private: bool = False
    ) -> AsyncIterator[str]:
        """Ask as the agent that is ours; the made-up agents answer what they can. Raises ``SourceError``."""
        self._check_question(question, stages)
        told: asyncio.Queue[str | None] = asyncio.Queue()
        errand = Errand(
            self._play, self._play.you, topic_for(question), tuple(stages), private=private, tell=told.put_nowait
        )

        def scene() -> Scene:
            yield from errand.scene()
            told.put_nowait(None)

        self._play.ours.append(errand)
        self._begin(scene())
        self._asking.add(told)
        try:
            while (sentence := await told.get()) is not None:
                yield sentence
        finally:
            self._asking.discard(told)

    async def cancel(self, task: str) -> str:
        """Cancel a task of ours that has not ended. Raises ``SourceError``."""
        errand = next((errand for errand in self._play.ours if errand.id == task), None)
        if errand is None:
            raise SourceError("task.not_ours", "This task is not ours.", "Only who asked can cancel.")
        if errand.ended:
            raise SourceError("task.ended", "This task has ended already.")
        self._check_running()

        def scene() -> Scene:
            if not errand.ended:
                errand.cancel("The person who asked does not want it any longer.")
            yield from ()

        self._begin(scene())
        return f"Task {task[:8]} is canceled."

    # -- pacing ------------------------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return (0 < self._limit <= self._delivered) or (0 < self._end_ms <= self._clock())

    @property
    def _next_ms(self) -> int:
        return self._ready[0].received_ms if self._ready else self._play.due_ms

    def _due(self, now_ms: int) -> list[Arrival]:
        """What is due by now, a batch at most."""
        most = min(_BATCH, self._limit - self._delivered) if self._limit else _BATCH
        batch: list[Arrival] = []
        while len(batch) < most and self._next_ms <= now_ms:
            if self._ready:
                batch.append(self._ready.popleft())
            else:
                self._ready.extend(self._play.step())
        self._delivered += len(batch)
        return batch

    def _begin(self, scene: Scene) -> None:
        self._play.catch_up(self._clock())
        self._play.begin(scene)

    # -- what can not be done ----------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if not self._running:
            raise SourceError("source.stopped", "The synthetic mesh is not running.", "Start it again.")

    def _check_question(self, question: str, stages: Sequence[str]) -> None:
        self._check_running()
        if not question.strip():
            raise SourceError("ask.empty", "There is no question.", "Type one.")
        try:
            size = len(question.encode())
        except UnicodeEncodeError:
            raise SourceError("ask.text", "The question holds half of a character.", "Type it again.") from None
        if size > LIMITS.inline_text_bytes:
            raise SourceError(
                "ask.too_long", f"The question has {size} bytes; {LIMITS.inline_text_bytes} fit.", "Shorten it."
            )
        for place, name in enumerate(stages):
            if name not in STAGES or name in stages[:place]:
                wrong = "There are two stages" if name in STAGES else "There is no stage"
                raise SourceError("ask.stage", f"{wrong} {name}.", f"Known: {', '.join(STAGES)}.")
        if not stages:
            raise SourceError("ask.stage", "There are no stages.", f"Known: {', '.join(STAGES)}.")
