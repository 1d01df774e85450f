"""One task from the question to the receipt, with all that may come between."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final, Literal

from msgspec import UNSET, UnsetType

from clawnet_proto.families import task
from clawnet_proto.wire import Record
from tui.sources.synthetic.cast import Actor
from tui.sources.synthetic.papers import Papers
from tui.sources.synthetic.play import WORKERS_LEAST, Play, Said, Scene
from tui.sources.synthetic.texts import FAILURES, QUESTIONS_BACK, Topic

Twist = Literal["", "declined", "failed", "lapsed", "asked", "canceled", "hopeless"]
"""What becomes of the first attempt of one stage; ``hopeless`` is the second one, too."""

_PROGRESS_MS: Final = 500.0
_LAPSED_MS: Final = 9000.0
_QUEUED_MS: Final = 250.0  # for each stage that waits before it
_ATTEMPTS_MOST: Final = 2
_TOKEN: Final = 4  # characters


class Errand:
    """A task of ``requester``. ``tell`` is told in sentences how it goes, and first its id.

    What executors say to the requester alone is only said if we are the requester: of others nobody could hear it.
    """

    def __init__(
        self, play: Play, requester: Actor, topic: Topic, names: Sequence[str], *, twist: Twist = "",
        private: bool = False, behalf: task.OnBehalfOf | UnsetType = UNSET, root: str = "",
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:  # fmt: skip
        self.id = ""
        self.ended = False
        self._play = play
        self._requester = requester
        self._ours = requester is play.you
        self._topic = topic
        self._names = tuple(names)
        self._twist = twist
        self._twisted = play.chance.choice(self._names)
        self._private = private
        self._behalf = behalf
        self._root = root
        self._tell = tell
        self._papers = Papers(requester, private=private)
        self._stages: tuple[task.Stage, ...] = ()
        self._executors: dict[str, Actor] = {}  # by stage, whoever has it in hand
        self._tried: list[Actor] = []

    def scene(self) -> Scene:
        """All of it."""
        self._play.open += 1
        self._requester.asking += 1
        yield from self._course()
        for stage in tuple(self._executors):
            self._release(stage)
        self._requester.asking -= 1
        self._play.open -= 1

    def cancel(self, reason: str) -> None:
        """The requester does not want it any longer."""
        self._end(task.Cancel(reason=reason), "The task is canceled.")

    # -- the course of it --------------------------------------------------------------------------------------

    def _course(self) -> Scene:
        chance = self._play.chance
        self._ask()
        if self._ours:
            yield from self._offers()
        else:
            yield chance.uniform(600, 1800)
        if self.ended:
            return
        if not self._private:
            # What can be awarded in one moment costs the room one event.
            self._post(self._requester, *(self._award(stage, 1) for stage in self._stages))
            yield chance.uniform(200, 700)
        for stage in self._stages:
            yield from self._work_off(stage)
            if self.ended:
                return
        yield chance.uniform(200, 800)
        if not self.ended:
            self._end(self._papers.close(), "The task is completed, and the receipt is signed.")

    def _ask(self) -> None:
        seed = self._play.chance.randrange(2**32)
        request = self._papers.request(self._topic.question, self._names, seed=seed, behalf=self._behalf)
        said = self._play.say(self._requester, request)
        self.id = self._papers.task = said[1].id
        self._stages = request.stages
        event_id = self._play.post(self._requester, said, root=self._root)
        self._root = self._root or event_id
        self._tell(self.id)

    def _offers(self) -> Scene:
        """Three of those who can say that they would."""
        chance = self._play.chance
        while len(able := self._play.workers(self._requester)) < WORKERS_LEAST:
            yield _PROGRESS_MS
        for actor in chance.sample(able, min(3, len(able))):
            yield chance.uniform(120, 500)
            if self.ended:
                return
            model, wait_ms = actor.engines[0].card.name, int(_QUEUED_MS) * actor.hands
            offers = tuple(task.StageOffer(stage=name, model=model, wait_ms=wait_ms) for name in self._names)
            self._to_us(actor, task.Offer(stages=offers), self.id)
            self._tell(f"{actor.name} offers to work on it.")

    def _work_off(self, stage: task.Stage) -> Scene:
        for attempt in range(1, _ATTEMPTS_MOST + 1):
            if attempt > 1 or self._private:
                self._post(self._requester, self._award(stage, attempt))
                yield self._play.chance.uniform(200, 600)
            if not self.ended:
                twisted = stage.id == self._twisted and (attempt == 1 or self._twist == "hopeless")
                yield from self._attempt(stage, attempt, self._twist if twisted else "")
            self._release(stage.id)
            if self.ended or stage.id in self._papers.digests:
                return
        failure = f"Nobody could run {stage.id}."
        self._end(self._papers.close(failure), failure)

    def _attempt(self, stage: task.Stage, attempt: int, twist: Twist) -> Scene:
        chance, actor, award = self._play.chance, self._executors[stage.id], self._papers.awards[stage.id]
        if twist == "declined":
            self._fail(stage.id, attempt, "declined", "My owner needs the machine now.")
            return
        if twist == "lapsed":
            yield _LAPSED_MS
            return
        queued_ms = _QUEUED_MS * max(0, actor.hands - actor.slots)
        yield queued_ms
        if self.ended:
            return
        engine = chance.choice(actor.engines)
        self._to_us(actor, task.Start(stage=stage.id, attempt=attempt, model=engine.card.name), award.id)
        last = (yield from self._clear_up(stage.id, attempt)) if twist == "asked" else award.id
        text = self._topic.output(stage.id)
        tokens = max(1, len(text) // _TOKEN)
        prompt_ms = chance.uniform(150, 900)
        generate_ms = tokens * 1000 / (engine.tokens_per_s * chance.uniform(0.85, 1.1))
        yield prompt_ms
        if twist in ("failed", "hopeless", "canceled"):
            yield generate_ms / 2
        else:
            yield from self._generate(stage.id, attempt, text, tokens, generate_ms)
        if self.ended:
            return
        if twist == "canceled":
            self.cancel("Not needed any longer.")
        elif twist in ("failed", "hopeless"):
            self._fail(stage.id, attempt, *chance.choice(FAILURES))
        else:
            usage = task.Usage(
                prompt_tokens=40 + tokens // 2, output_tokens=tokens, queued_ms=int(queued_ms),
                prompt_ms=int(prompt_ms), generate_ms=int(generate_ms),
            )  # fmt: skip
            said = self._say(actor, self._papers.result(stage, attempt, text, engine, usage), last)
            self._post(actor, said)
            self._papers.accept(said[1])
            self._tell(f"{stage.id} by {actor.name}: {text}")

    def _clear_up(self, stage: str, attempt: int) -> Generator[float, None, str]:
        """The executor needs a word from the requester. The id of what its next message answers."""
        chance, actor, award = self._play.chance, self._executors[stage], self._papers.awards[stage]
        question, reply = chance.choice(QUESTIONS_BACK)
        yield chance.uniform(500, 1200)
        asked = self._say(actor, task.Ask(stage=stage, attempt=attempt, question=question), award.id)
        self._post(actor, asked)
        yield chance.uniform(1500, 3000)
        body = task.Reply(stage=stage, attempt=attempt, text=reply)
        replied = self._say(self._requester, body, asked[1].id, to=actor.did)
        self._post(self._requester, replied)
        return replied[1].id

    def _generate(self, stage: str, attempt: int, text: str, tokens: int, generate_ms: float) -> Scene:
        """The time it takes; whoever asked sees the text grow, twice a second."""
        steps = int(generate_ms // _PROGRESS_MS) if self._ours else 0
        actor, award, offset = self._executors[stage], self._papers.awards[stage], 0
        for index in range(steps):
            yield _PROGRESS_MS
            if self.ended:
                return
            until = int(len(text) * (index + 1) * _PROGRESS_MS / generate_ms)
            so_far = tokens * until // len(text)
            progress = self._papers.progress(stage, attempt, index, so_far, offset, text[offset:until])
            self._to_us(actor, progress, award.id)
            offset = until
        yield generate_ms - steps * _PROGRESS_MS

    # -- what is said ------------------------------------------------------------------------------------------

    def _award(self, stage: task.Stage, attempt: int) -> Said:
        actor = self._executors[stage.id] = self._choose()
        actor.hands += 1
        if actor.did not in self._requester.confirmed:
            self._play.meet(self._requester, actor)
        said = self._say(self._requester, self._papers.award(stage, attempt, actor), self.id, to=actor.did)
        self._papers.awards[stage.id] = said[1]
        self._tell(f"{stage.id} goes to {actor.name}" + (f", attempt {attempt}." if attempt > 1 else "."))
        return said

    def _choose(self) -> Actor:
        """Of two the one with less in hand; whoever had a stage of this task before comes last."""
        able = self._play.workers(self._requester)
        fresh = [actor for actor in able if actor not in self._tried] or able
        chosen = min(self._play.chance.sample(fresh, min(2, len(fresh))), key=lambda actor: actor.hands)
        self._tried.append(chosen)
        return chosen

    def _release(self, stage: str) -> None:
        self._executors.pop(stage).hands -= 1

    def _fail(self, stage: str, attempt: int, code: str, message: str) -> None:
        actor = self._executors[stage]
        failed = task.Fail(stage=stage, attempt=attempt, code=code, message=message, retryable=True)
        self._post(actor, self._say(actor, failed, self._papers.awards[stage].id))
        self._tell(f"{actor.name} can not: {message}")

    def _end(self, body: task.Cancel | task.Close, sentence: str) -> None:
        self.ended = True
        self._post(self._requester, self._say(self._requester, body, self.id))
        self._tell(sentence)

    def _say(self, actor: Actor, body: Record, answers: str, *, to: str = "") -> Said:
        """What an executor says goes to the requester; what ends a task goes to everybody."""
        to = to or ("" if actor is self._requester else self._requester.did)
        return self._play.say(actor, body, to=to, thread=self.id, answers=answers)

    def _post(self, actor: Actor, *said: Said) -> None:
        self._play.post(actor, *said, root=self._root)

    def _to_us(self, actor: Actor, body: Record, answers: str) -> None:
        if self._ours:
            self._play.direct(actor, self._say(actor, body, answers))
