"""A soak of two minutes, and that whoever judges it sees what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from clawnet_proto.families import task
from tests.proto import samples
from tests.proto.authoring import Author
from tests.proto.conversation import Conversation
from tests.soak import Scenario, page
from tests.soak.orders import order, outcome
from tests.soak.plan import Fault, Task, plan
from tests.soak.sampling import Life, Sample, growth, look
from tests.soak.summary import Summary
from tests.soak.verdict import Verdict, judge

CHECKOUT = Path(__file__).resolve().parents[2]
SHORT = Scenario(seconds=120.0, agents=3, per_minute=20.0)
_PATIENCE_S = 260.0


@pytest.mark.timeout(300)
def test_nothing_is_lost_nor_taken_twice_nor_grows(tmp_path: Path) -> None:
    told = tmp_path / "soak.json"
    amount = ("--minutes", "2", "--agents", "3", "--per-minute", "20")
    command = (sys.executable, "-m", "tests.soak", *amount, "--json", str(told))
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True) as soak:
        try:
            _, said = soak.communicate(timeout=_PATIENCE_S)
        except BaseException:
            # It ends its agents before it ends.
            soak.send_signal(signal.SIGINT)
            raise
    assert soak.returncode == 0, said
    summary = msgspec.json.decode(told.read_bytes(), type=Summary)
    assert summary.faults == []
    steps = plan(SHORT)
    asked = Counter(step.work for step in steps if isinstance(step, Task))
    assert summary.asked == asked
    assert summary.troubles == Counter(step.trouble for step in steps if isinstance(step, Fault))
    assert summary.verdict.tasks == asked.total() - asked["greeting"]
    assert summary.verdict.outcomes["completed"] >= 0.5 * summary.verdict.tasks
    assert summary.held_back > 0
    assert {"asker0", "worker0", "worker0's model"} <= {growth.name for growth in summary.growths}


# --- the plan ---


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan(SHORT) == plan(SHORT)
    assert plan(SHORT) != plan(msgspec.structs.replace(SHORT, seed=2))


@pytest.mark.parametrize("seconds", [60.0, 90.0, 120.0, 1200.0])
def test_everything_happens_in_time(seconds: float) -> None:
    steps = plan(Scenario(seconds=seconds))
    assert all(0 <= step.at_s <= seconds for step in steps)
    happens = {step.work if isinstance(step, Task) else step.trouble for step in steps}
    kinds = {"pipeline", "addressed", "sealed", "artifact", "canceled", "greeting", "question"}
    assert happens == kinds | {"kill", "restart", "limits", "homeserver"}


def test_what_comes_out_is_known_beforehand() -> None:
    step = Task(at_s=0.0, work="pipeline", number=7, asker=0, agent=0)
    asked = order(step, "")
    question = "What is pipeline 7?"
    assert asked.inputs == {"question": question}
    assert outcome(asked) == samples.text_input(text=f"||{question}||{question}||{question}").digest


# --- the verdict ---

Story = Callable[[Conversation, Author], None]


def well(talk: Conversation, bob: Author) -> None:
    talk.close(talk.result(talk.award(bob)))


def never_ended(talk: Conversation, bob: Author) -> None:
    talk.result(talk.award(bob))


def ended_by_somebody_else(talk: Conversation, bob: Author) -> None:
    talk.close(talk.result(talk.award(bob)), by=bob)


def closed_twice(talk: Conversation, bob: Author) -> None:
    result = talk.result(talk.award(bob))
    talk.close(result)
    talk.close(result)


def two_results_accepted(talk: Conversation, bob: Author) -> None:
    talk.close(*(talk.result(talk.award(bob, attempt=attempt)) for attempt in (1, 2)))


def two_receipts_of_two_results(talk: Conversation, bob: Author) -> None:
    for attempt in (1, 2):
        talk.close(talk.result(talk.award(bob, attempt=attempt)))


def answered_twice(talk: Conversation, bob: Author) -> None:
    award = talk.award(bob)
    talk.close(talk.result(award))
    talk.result(award, "Another one.")


def a_result_of_somebody_else(talk: Conversation, bob: Author) -> None:
    talk.close(talk.result(talk.award(bob), by=Author("mallory")))
    close = talk.said.pop()
    accepted = msgspec.structs.replace(close.body.accepted[0], executor=bob.did)
    talk.say(talk.requester, msgspec.structs.replace(close.body, accepted=(accepted,)), talk.request)


def completed_without_a_result(talk: Conversation, bob: Author) -> None:
    talk.award(bob)
    talk.close()


def judged(tell: Story, *, acknowledged: str = "", question: str = "") -> Verdict:
    talk = Conversation(Author("alice"), samples.request(samples.stage("draft", "question")))
    tell(talk, Author("bob"))
    known = {acknowledged or talk.request.id: "pipeline 1"}
    return judge([talk.request, *talk.said], known, [question] if question else [])


def test_a_task_that_went_well() -> None:
    verdict = judged(well)
    assert verdict.good
    assert (verdict.outcomes, verdict.stages, verdict.executions) == ({"completed": 1}, 1, 1)


@pytest.mark.parametrize(
    "tell, where",
    [
        (never_ended, "lost"),
        (ended_by_somebody_else, "lost"),
        (closed_twice, "twice"),
        (two_results_accepted, "twice"),
        (two_receipts_of_two_results, "twice"),
        (answered_twice, "wrong"),
        (a_result_of_somebody_else, "wrong"),
        (completed_without_a_result, "wrong"),
    ],
)
def test_what_must_not_be_is_seen(tell: Story, where: str) -> None:
    verdict = judged(tell)
    assert not verdict.good
    assert getattr(verdict, where)


def test_what_never_reached_the_room_is_lost() -> None:
    assert judged(well, acknowledged="what was acknowledged").lost


def test_a_question_that_nobody_asked_on_is_lost() -> None:
    assert judged(well, question="$event").lost


def withdrawn(talk: Conversation, bob: Author) -> None:
    talk.cancel()


def failed(talk: Conversation, bob: Author) -> None:
    talk.close(outcome="failed")


@pytest.mark.parametrize(
    "first, second, lost, twice",
    [(well, well, 0, 1), (well, withdrawn, 0, 0), (failed, well, 0, 0), (withdrawn, withdrawn, 1, 0)],
)
def test_a_question_is_asked_by_one_agent(first: Story, second: Story, lost: int, twice: int) -> None:
    behalf = task.OnBehalfOf(
        address="matrix:u/ann:example.org", event="$event", text_digest=samples.text_input().digest
    )
    request = samples.request(samples.stage("draft", "question"), on_behalf_of=behalf)
    talks = [Conversation(Author(name), request) for name in ("alice", "carol")]
    for talk, tell in zip(talks, (first, second), strict=True):
        tell(talk, Author("bob"))
    said = [message for talk in talks for message in (talk.request, *talk.said)]
    verdict = judge(said, {}, ["$event"])
    assert (len(verdict.lost), len(verdict.twice)) == (lost, twice)


# --- what grows ---


def life(*, rss_mb: float = 60.0, files: float = 14.0, grows: float = 0.0, leaks: float = 0.0) -> Life:
    """Ninety seconds, the first half of a minute of them warming up."""
    return Life(
        name="ada",
        pid=1,
        samples=[
            Sample(
                at_s=second,
                rss_mb=rss_mb * min(1.0, second / 30) + grows * second,
                files=round(files + leaks * second),
                sockets=5,
                threads=1,
            )
            for second in range(90)
        ],
    )


def test_warming_up_is_no_growth() -> None:
    assert growth(life()).faults == ()


@pytest.mark.parametrize("changes, word", [({"grows": 0.3}, "MB of memory"), ({"leaks": 0.4}, "open files")])
def test_growth_is_seen(changes: dict[str, float], word: str) -> None:
    (fault,) = growth(life(**changes)).faults
    assert word in fault


def test_a_process_is_looked_at() -> None:
    sample = look(os.getpid(), 1.0)
    assert sample is not None
    assert sample.rss_mb > 1 and sample.files > 0 and sample.threads > 0


def test_the_page_is_what_the_program_writes() -> None:
    """All but the result, which changes from run to run."""
    written = (CHECKOUT / "docs" / "soak.md").read_text("utf-8")
    assert written.startswith(page.TEMPLATE.partition("{heading}")[0])
