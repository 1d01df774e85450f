"""All vectors, put to a testee: sent ahead, judged as the answers come, taken up again when it breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from bots.conformance.judge import Answer, Mismatch, NotAnAnswer, encapsulated_key, judge, parse
from bots.conformance.operations import Class, at_least, needs
from bots.conformance.testee import Broken, Testee, Unasked
from bots.conformance.vectors import Conversation, Step, Vector, VectorFile
from bots.errors import ClawbotError

# Enough for the pipes never to run dry; few enough that a broken testee spoils little.
_AHEAD_REQUESTS = 64
_AHEAD_BYTES = 1 << 20
_BREAKS_MOST = 10
_SILENT_STARTS_MOST = 3
_LINE_SHOWN = 120
_KEPT_MOST = 4096  # characters of one text of a failure: every vector may fail with an answer of 24 MiB

Verdict = Literal["passed", "failed", "unsupported", "skipped", "not_run"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing in a vector that went wrong.

    Of ``expected``, ``got`` and ``where``, only the beginning and the end are kept if they are longer than 4096
    characters; ``expected_characters`` and ``got_characters`` count what they were.
    """

    step: int  # which request of the conversation, from 0
    op: str
    about: str  # what is special about this request, "" if nothing is
    request: dict[str, Any]
    expected: str
    expected_characters: int
    got: str
    got_characters: int
    where: str = ""  # the place in the answer, as a JSON pointer
    order: tuple[int, ...] = ()  # of a trace
    stderr: tuple[str, ...] = ()  # the testee's last words, if it broke


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one vector. ``unsupported`` is what its class must support, ``skipped`` what it need not."""

    subject: str
    vector: Vector
    verdict: Verdict
    failure: Failure | None = None
    orders: int = 0  # in how many orders a trace was tried
    failed_orders: int = 0

    @property
    def bad(self) -> bool:
        """It counts against the testee."""
        return self.verdict in ("failed", "unsupported", "not_run")


class Outcome(msgspec.Struct, kw_only=True):
    """A whole run. ``faults`` belong to no single vector: they are the testee's own, or those of the choice."""

    results: list[Result] = msgspec.field(default_factory=list)
    faults: list[str] = msgspec.field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.faults and not any(result.bad for result in self.results)


class _Trial(msgspec.Struct, kw_only=True, eq=False):
    """A vector on its way through the testee."""

    subject: str
    vector: Vector
    tried: int = 0
    failed: int = 0
    verdict: Verdict = "passed"
    failure: Failure | None = None
    over: bool = False


class _Exchange(msgspec.Struct, kw_only=True, eq=False):
    """One conversation of a trial, and how far it has come."""

    trial: _Trial
    conversation: Conversation
    last: bool
    answered: int = 0
    verdict: Verdict = "passed"

    @property
    def step(self) -> Step:
        """The request whose answer comes next."""
        return self.conversation.steps[self.answered]


def run(
    files: Iterable[VectorFile],
    command: Sequence[str],
    *,
    implementation: Class = "executor",
    timeout_s: float = 10.0,
    fail_fast: bool = False,
    done: Callable[[Result], None] = lambda _: None,
) -> Outcome:
    """Put the vectors to a testee and judge its answers; ``done`` hears of each vector as it is finished.

    Raises ConfigError if the testee cannot be started, ClawbotError if it never gives an answer.
    """
    runner = _Runner(command, implementation, timeout_s, fail_fast, done)
    try:
        return runner.run(files)
    finally:
        runner.close()


class _Runner:
    def __init__(
        self,
        command: Sequence[str],
        implementation: Class,
        timeout_s: float,
        fail_fast: bool,
        done: Callable[[Result], None],
    ) -> None:
        self._command = command
        self._implementation: Class = implementation
        self._timeout_s = timeout_s
        self._fail_fast = fail_fast
        self._done = done
        self._outcome = Outcome()
        self._testee: Testee | None = None
        self._sent: deque[_Exchange] = deque()
        self._again: deque[_Exchange] = deque()  # was sent to a testee that broke
        self._sizes: deque[int] = deque()  # bytes of each request that waits for its answer
        self._ahead_bytes = 0
        self._answers = self._breaks = self._bad = 0
        self._one_time_keys: set[str] = set()

    def run(self, files: Iterable[VectorFile]) -> Outcome:
        coming = self._exchanges(files)
        while not self._stopped and self._fill(coming):
            self._take()
        if self._stopped:
            # Those that were sent and those that were not, each once.
            for exchange in (*self._sent, *self._again, *coming):
                self._report(exchange.trial, "not_run")
        elif self._testee is not None:
            ending = self._testee.finish()
            if ending.fault:
                self._outcome.faults.append(_with_last_words(ending.fault, ending.stderr))
        if all(result.verdict == "skipped" for result in self._outcome.results):
            self._outcome.faults.append(
                f"Nothing was tested: the class {self._implementation} needs none of these vectors."
            )
        return self._outcome

    def close(self) -> None:
        """End the testee, if one runs, with its process group."""
        if self._testee is not None:
            self._testee.close()
            self._testee = None

    @property
    def _stopped(self) -> bool:
        """There is no point in going on."""
        return bool((self._fail_fast and self._bad) or self._outcome.faults)

    def _exchanges(self, files: Iterable[VectorFile]) -> Iterator[_Exchange]:
        for file in files:
            for vector in file.vectors:
                trial = _Trial(subject=file.subject, vector=vector)
                if not at_least(self._implementation, vector.least):
                    self._report(trial, "skipped")
                    continue
                before = None
                for conversation in vector.conversations():
                    if before is not None:
                        yield _Exchange(trial=trial, conversation=before, last=False)
                    if trial.over:
                        break
                    before = conversation
                else:
                    assert before is not None
                    yield _Exchange(trial=trial, conversation=before, last=True)

    def _fill(self, coming: Iterator[_Exchange]) -> bool:
        """Send ahead. False if nothing is left to wait for."""
        while len(self._sizes) < _AHEAD_REQUESTS and self._ahead_bytes < _AHEAD_BYTES:
            exchange = self._again.popleft() if self._again else next(coming, None)
            if exchange is None:
                break
            if exchange.trial.over:
                continue
            if self._testee is None:
                self._testee = Testee(self._command, self._timeout_s)
            for line in exchange.conversation.lines:
                self._testee.send(line)
                self._sizes.append(len(line))
                self._ahead_bytes += len(line)
            self._sent.append(exchange)
        return bool(self._sent)

    def _take(self) -> None:
        assert self._testee is not None
        exchange = self._sent[0]
        line = b""
        try:
            line = self._testee.receive()
            answer = parse(line)
        except Unasked as broken:
            self._outcome.faults.append(_with_last_words(broken.sentence, broken.stderr))
            return
        except Broken as broken:
            self._restart(exchange, broken.sentence, broken.stderr)
            return
        except NotAnAnswer as error:
            self._testee.close()
            shown = line[:_LINE_SHOWN].decode("utf-8", "replace")
            sentence = f"The testee wrote a line that is no answer ({error}): {shown}"
            self._restart(exchange, sentence, self._testee.last_words())
            return
        self._answers += 1
        self._ahead_bytes -= self._sizes.popleft()
        if exchange.verdict == "passed":
            self._judge(exchange, answer)
        exchange.answered += 1
        if exchange.answered == len(exchange.conversation.steps):
            self._sent.popleft()
            self._close_exchange(exchange)

    def _judge(self, exchange: _Exchange, answer: Answer) -> None:
        step = exchange.step
        if answer == Answer("unsupported", step.op):
            exchange.verdict = "unsupported" if needs(self._implementation, step.op) else "skipped"
            return
        wrong = judge(step, answer)
        if wrong is None and (key := encapsulated_key(step, answer)):
            if key in self._one_time_keys:
                wrong = Mismatch(expected="an encapsulated key of its own (SEAL-2)", got="one that was used before")
            self._one_time_keys.add(key)
        if wrong is not None:
            self._fail(exchange, wrong)

    def _fail(self, exchange: _Exchange, wrong: Mismatch, stderr: tuple[str, ...] = ()) -> None:
        exchange.verdict = "failed"
        if exchange.trial.failure is None:
            step = exchange.step
            exchange.trial.failure = Failure(
                step=exchange.answered,
                op=step.op,
                about="" if step.about is UNSET else step.about,
                request=step.request,
                expected=_cut(wrong.expected),
                expected_characters=len(wrong.expected),
                got=_cut(wrong.got),
                got_characters=len(wrong.got),
                where=_cut(wrong.where),
                order=exchange.conversation.order,
                stderr=stderr,
            )

    def _close_exchange(self, exchange: _Exchange) -> None:
        trial = exchange.trial
        trial.tried += 1
        trial.failed += exchange.verdict == "failed"
        if trial.verdict != "failed" and exchange.verdict != "passed":
            trial.verdict = exchange.verdict
        if exchange.last:
            self._report(trial, trial.verdict)

    def _restart(self, exchange: _Exchange, sentence: str, stderr: tuple[str, ...]) -> None:
        """Blame the vector whose answer was due; the others that were sent are sent once more."""
        self._breaks += 1
        self._testee = None
        if not self._answers and self._breaks >= _SILENT_STARTS_MOST:
            why = _with_last_words(sentence.replace("The testee", "it", 1), stderr)
            raise ClawbotError(
                "conformance.no_answers",
                f"The testee was started {self._breaks} times and never gave an answer: {why}",
                "Its lines must be those of spec/testee.md, and nothing else may go to its standard output.",
            )
        if self._breaks >= _BREAKS_MOST:
            self._outcome.faults.append(f"The testee broke {self._breaks} times, and was given up.")
        expected = next(iter(exchange.step.expect))
        self._fail(exchange, Mismatch(expected=f"an answer: {expected}", got=sentence), stderr)
        exchange.trial.tried += 1
        exchange.trial.failed += 1
        self._report(exchange.trial, "failed")
        for unanswered in self._sent:
            unanswered.answered, unanswered.verdict = 0, "passed"
        self._again = deque(other for other in (*self._sent, *self._again) if other is not exchange)
        self._sent.clear()
        self._sizes.clear()
        self._ahead_bytes = 0

    def _report(self, trial: _Trial, verdict: Verdict) -> None:
        if trial.over:
            return
        trial.over = True
        result = Result(
            subject=trial.subject,
            vector=trial.vector,
            verdict=verdict,
            failure=trial.failure,
            orders=trial.tried if trial.vector.deliveries else 0,
            failed_orders=trial.failed,
        )
        self._bad += result.bad
        self._outcome.results.append(result)
        self._done(result)


def _cut(text: str) -> str:
    """The beginning and the end of a text that is too long to keep."""
    return text if len(text) <= _KEPT_MOST else f"{text[: _KEPT_MOST * 3 // 4]} … {text[-_KEPT_MOST // 4 :]}"


def _with_last_words(sentence: str, stderr: tuple[str, ...]) -> str:
    return f"{sentence} Its last words: {stderr[-1]}" if stderr else sentence
