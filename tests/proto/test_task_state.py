"""The state of a task: a function of the set of its messages, the same in every order (spec/08-task.md)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from clawnet_proto.families import task
from clawnet_proto.families.task_state import _depths, derive, event_of
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from clawnet_proto.specification import STATES
from tests.proto import samples
from tests.proto.authoring import ROOM, Author
from tests.proto.conversation import OUTPUT, Conversation, normal
from tests.proto.pipeline_traces import PIPELINE
from tests.proto.slow_task import derive_slowly
from tests.proto.traces import TRACES, Errors, Trace

TABLE = STATES["attempt"]


def told(trace: Trace) -> tuple[Conversation, Errors]:
    talk = Conversation(Author("alice"), trace.request)
    return talk, trace.said(talk, Author("bob"), Author("carol")) or {}


@pytest.mark.parametrize("name", TRACES)
def test_each_trace_has_its_outcome(name: str) -> None:
    trace = TRACES[name]
    talk, errors = told(trace)
    view = talk.view()
    assert view.state == trace.state
    attempts = {
        stage: " ".join(attempt.state for attempt in found.attempts.values()) for stage, found in view.stages.items()
    }
    assert attempts == trace.attempts
    assert view.errors == {message.id: code for code, messages in errors.items() for message in messages}
    assert normal(view) == derive_slowly(talk.request, talk.said)[0]


def orders(messages: list[Message]) -> Iterable[list[Message]]:
    """All orders of a few messages, two hundred of many."""
    if len(messages) <= 7:
        yield from map(list, itertools.permutations(messages))
        return
    chance = random.Random(len(messages))
    for _ in range(200):
        yield chance.sample(messages, len(messages))


@pytest.mark.parametrize("name", TRACES)
def test_each_trace_has_the_same_outcome_in_every_order(name: str) -> None:
    talk, _ = told(TRACES[name])
    expected = normal(talk.view())
    for order in orders([talk.request, *talk.said]):
        mesh = Mesh(ROOM)
        for message in order:
            mesh.add(message, "matrix:u/somebody:example.org")
        view = mesh.task(talk.request.id)
        assert view is not None
        assert normal(view) == expected


def test_a_view_asked_for_in_between_is_no_hindrance() -> None:
    talk, _ = told(TRACES["a_question_is_answered_and_work_goes_on"])
    mesh = Mesh(ROOM)
    for message in [*reversed(talk.said), talk.request, *talk.said]:
        mesh.add(message, "matrix:u/somebody:example.org")
        mesh.task(talk.request.id)
    view = mesh.task(talk.request.id)
    assert view is not None
    assert normal(view) == normal(talk.view())


# --- at random, against the second derivation ---


class Babble:
    """A conversation in which anybody says anything, with a chance of sense."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.people = [Author(name) for name in ("alice", "bob", "carol")]
        self.talk = Conversation(self.people[0], self.chance.choice([None, PIPELINE]))
        self.stages = [stage.id for stage in self.talk.request.body.stages]
        for _ in range(self.chance.randrange(1, 16)):
            self.say_something()
        # Some of it is lost.
        self.talk.said = [message for message in self.talk.said if self.chance.random() < 0.95]

    def seldom(self, likely: Any, unlikely: Any) -> Any:
        return unlikely if self.chance.random() < 0.12 else likely

    def say_something(self) -> None:
        others = self.people[1:]
        awards = [message for message in self.talk.said if message.type == "task.award"]
        asks = [message for message in self.talk.said if message.type == "task.ask"]
        results = [message for message in self.talk.said if message.type == "task.result"]
        roll = self.chance.random()
        if not awards or roll < 0.25:
            stage = self.seldom(self.chance.choice(self.stages), "dance")
            attempt = self.chance.choice([1, 1, 2, 3])
            self.talk.award(self.chance.choice(others), stage, attempt, by=self.seldom(None, others[0]))
        elif asks and roll < 0.4:
            self.talk.reply(self.chance.choice(asks), by=self.seldom(None, others[1]))
        elif roll < 0.44:
            self.talk.cancel(by=self.seldom(None, others[0]))
        elif roll < 0.48:
            taken = self.chance.sample(results, min(len(results), len(self.stages)))
            self.talk.close(*taken, outcome=self.chance.choice(["completed", "failed"]))
        else:
            self.execute(self.chance.choice(awards))

    def execute(self, award: Message) -> None:
        replies = [message for message in self.talk.said if message.type == "task.reply"]
        after = self.chance.choice([None, *replies, self.seldom(None, self.chance.choice(self.talk.said))])
        by = self.seldom(None, self.chance.choice(self.people))
        talk = self.talk
        ways = [talk.start, talk.progress, talk.ask, talk.fail, talk.decline, talk.result, talk.result]
        say = self.chance.choice(ways)
        if say != talk.result or award.body.stage not in self.stages:
            say(award, by=by, after=after)
            return
        stage = talk.request.body.stage(award.body.stage)
        assert stage is not None
        texts = {source: samples.QUESTION if source == "question" else OUTPUT for source in stage.sources}
        talk.result(award, inputs=self.seldom(texts, {}), by=by, after=after)


# Steps of the table that no set of messages leads to: by the order of events progress comes before a question
# of the same depth.
NEVER_TAKEN = {("input_required", "progress")}
# What messages do attempt, and the table does not allow. All else is kept from the table by senders and causes.
NOT_ALLOWED = {
    "working": {"reject"},
    "input_required": {"ask", "reject"},
    "completed": {"reply", "result", "fail", "reject"},
    "failed": {"reply", "fail", "reject"},
    "rejected": {"reject"},
}


def test_whatever_is_said_the_second_derivation_agrees_and_every_step_is_taken() -> None:
    met: set[tuple[str, str]] = set()
    told_by_traces = [told(trace)[0] for trace in TRACES.values()]
    for talk in [*told_by_traces, *(Babble(seed).talk for seed in range(1000))]:
        slow, steps = derive_slowly(talk.request, talk.said)
        shuffled = random.Random(1).sample(talk.said, len(talk.said))
        assert normal(talk.view()) == normal(derive(talk.request, shuffled)) == slow
        met.update(steps)
    allowed = {(state, event) for state, events in TABLE.transitions.items() for event in events}
    refused = {(state, event) for state, events in NOT_ALLOWED.items() for event in events}
    assert met == (allowed - NEVER_TAKEN) | refused


# --- what a view tells ---


def test_outputs_follow_inputs(bob: Author, alice: Author) -> None:
    talk = Conversation(alice, PIPELINE)
    before = talk.view()
    assert before.output_text("question") == samples.QUESTION
    assert before.output_digest("question") == digest(samples.QUESTION.encode())
    assert before.output_text("draft") is before.output_digest("draft") is before.output_text("nothing") is None
    assert [stage.id for stage in PIPELINE.stages if before.ready(stage)] == ["draft"]
    talk.result(talk.award(bob), "A draft.")
    after = talk.view()
    assert after.output_text("draft") == "A draft."
    assert after.output_digest("draft") == digest(b"A draft.")
    assert [stage.id for stage in PIPELINE.stages if after.ready(stage)] == ["draft", "critique"]


def test_a_sealed_output_has_a_digest_and_no_text(alice: Author, bob: Author) -> None:
    hidden = task.Input(name="question", digest=digest(b"sealed plaintext"))
    talk = Conversation(alice, samples.request(inputs=(hidden,), privacy="sealed"))
    inputs = (task.InputDigest(source="question", digest=hidden.digest),)
    talk.result(talk.award(bob), changes={"text": msgspec.UNSET, "sealed": samples.SEALED, "inputs": inputs})
    view = talk.view()
    assert view.state == "completed"
    assert view.output_text("question") is view.output_text("draft") is None
    assert view.output_digest("draft") == digest(OUTPUT.encode())


def test_executions_are_counted_and_one_is_accepted(alice: Author, bob: Author, carol: Author) -> None:
    talk = Conversation(alice)
    first = talk.result(talk.award(bob), "one")
    second = talk.result(talk.award(carol, attempt=2), "two")
    stage = talk.view().stages["draft"]
    assert (stage.executions, stage.accepted) == (2, second)
    assert stage.current is stage.attempts[2]
    talk.close(first)
    view = talk.view()
    assert (view.stages["draft"].executions, view.stages["draft"].accepted) == (2, first)
    assert view.finished
    assert view.output_text("draft") == "one"


def test_a_decline_is_a_fail_with_its_code(alice: Author, bob: Author) -> None:
    talk = Conversation(alice)
    award = talk.award(bob)
    said = [award, talk.decline(award), talk.fail(award)]
    assert [event_of(message) for message in said] == ["award", "reject", "fail"]


def test_a_long_chain_of_answers_costs_each_link_once(alice: Author, bob: Author) -> None:
    """Whoever fills a task with messages that answer each other must not make every reader walk it again and again."""
    talk = Conversation(alice)
    chain = [talk.award(bob)]
    for number in range(300):
        chain.append(talk.say(alice, task.Reply(stage="draft", attempt=1, text=str(number)), chain[-1], bob.did))

    class Counting(dict[str, Message]):
        looked_up = 0

        def __getitem__(self, key: str) -> Message:
            self.looked_up += 1
            return super().__getitem__(key)

    messages = [*chain, talk.request]
    random.Random(1).shuffle(messages)
    known = Counting({message.id: message for message in messages})
    assert _depths(known) == {message.id: depth for depth, message in enumerate([talk.request, *chain])}
    assert known.looked_up == len(messages)
