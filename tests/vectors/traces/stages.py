"""Traces of several attempts and several stages: leases, cancels, closes, inputs, privacy."""

from __future__ import annotations

from tests.vectors.peer import Peer
from tests.vectors.traces.scene import Trace
from tests.vectors.writing import digest

ALICE, BOB, CAROL = Peer("alice"), Peer("bob"), Peer("carol")
QUESTION = "Why is the sky blue?"
PIPELINE = {"draft": ["question"], "review": ["draft", "question"]}


def build() -> list[Trace]:
    return [*ends(), *attempts(), *pipelines(), *forms()]


def ends() -> list[Trace]:
    traces = []
    t = Trace(
        "cancel-after-result", "a cancel crosses a result that is there", "TASK-45 TASK-47", "cancel-undoes-results"
    )
    request = t.request(ALICE, {"draft": ["question"], "other": ["question"], "third": ["question"]})
    award, second = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, "other")
    result = t.result(BOB, award, ALICE)
    cancel = t.cancel(ALICE, request)
    start = t.work(CAROL, "task.start", second, {}, ALICE, at=55)
    t.expect_task(request, "canceled")
    t.expect_stage(request, state="completed", attempts=["completed"], accepted=result)
    t.expect_stage(request, "other", state="canceled", attempts=["canceled"])
    t.expect_stage(request, "third", state="canceled", attempts=[])
    t.expect_code(cancel, None)
    t.expect_code(start, None)
    traces.append(t)

    t = Trace(
        "result-after-cancel",
        "a result that was sent after the cancel completes its attempt all the same",
        "TASK-45 TASK-47",
        "cancel-does-not-end-the-task",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.cancel(ALICE, request, at=30)
    result = t.result(BOB, award, ALICE, at=80)
    t.expect_task(request, "canceled")
    t.expect_stage(request, state="completed", accepted=result, executions=1)
    traces.append(t)

    t = Trace(
        "cancel-before-work",
        "a cancel ends attempts and stages that were not begun",
        "TASK-47",
        "cancel-ends-no-attempt",
    )
    request = t.request(ALICE, {"draft": ["question"], "other": ["question"]})
    t.award(ALICE, request, BOB)
    t.cancel(ALICE, request)
    t.expect_task(request, "canceled")
    t.expect_stage(request, state="canceled", attempts=["canceled"], executions=0)
    t.expect_stage(request, "other", state="canceled", attempts=[])
    traces.append(t)

    t = Trace("close-and-cancel", "a close counts before a cancel", "TASK-42 TASK-47", "cancel-before-close")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE)
    close = t.close(ALICE, request, result, at=60)
    cancel = t.cancel(ALICE, request, at=59, below=close)
    t.expect_code(close, None)
    t.expect_code(cancel, "task.not_allowed")
    t.expect_task(request, "completed")
    traces.append(t)

    t = Trace("two-closes", "of two closes the lesser id counts", "TASK-42 TASK-47", "greater-end-stays")
    request = t.request(ALICE)
    one = t.close(ALICE, request, outcome="failed", at=60)
    two = t.close(ALICE, request, outcome="completed", at=50, above=one)
    t.expect_code(one, None)
    t.expect_code(two, "task.not_allowed")
    t.expect_task(request, "failed")
    traces.append(t)

    t = Trace("two-cancels", "of two cancels the lesser id counts", "TASK-42 TASK-47", "first-end-to-arrive-stays")
    request = t.request(ALICE)
    one = t.cancel(ALICE, request, at=60)
    two = t.cancel(ALICE, request, at=50, above=one)
    t.expect_code(one, None)
    t.expect_code(two, "task.not_allowed")
    t.expect_task(request, "canceled")
    traces.append(t)

    t = Trace(
        "closed-as-failed", "the outcome of the close is the state of the task", "TASK-47", "close-changes-nothing"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE)
    t.close(ALICE, request, outcome="failed")
    t.expect_task(request, "failed")
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)

    t = Trace(
        "receipt-names-nothing",
        "a close says completed and names no result",
        "TASK-43 TASK-47",
        "completed-needs-no-receipt",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.result(BOB, award, ALICE)
    t.close(ALICE, request)
    t.expect_task(request, "completed")
    t.expect_stage(request, state="completed", attempts=["completed"], executions=1, accepted=None)
    traces.append(t)

    t = Trace(
        "unclosed-but-done", "all stages are completed, the receipt is awaited", "TASK-47", "awards-answer-anything"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE)
    close = t.close(ALICE, award, outcome="failed")
    t.expect_code(close, "task.not_allowed")
    t.expect_task(request, "completed")
    t.expect_stage(request, accepted=result)
    traces.append(t)
    return traces


def attempts() -> list[Trace]:
    traces = []
    t = Trace(
        "lapse-and-second-attempt",
        "an attempt lapses when the next one is awarded, and not before",
        "TASK-30 TASK-31 TASK-47",
        "attempts-do-not-lapse",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.work(BOB, "task.start", award, {}, ALICE, at=21)
    again = t.award(ALICE, request, CAROL, attempt=2, at=85)
    result = t.result(CAROL, again, ALICE, at=90)
    t.expect_stage(request, state="completed", attempts=["lapsed", "completed"], executions=1, accepted=result)
    traces.append(t)

    t = Trace("second-attempt-open", "results are counted, not attempts", "TASK-44 TASK-47", "executions-are-attempts")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.award(ALICE, request, CAROL, attempt=2, at=85)
    result = t.result(BOB, award, ALICE, at=90)
    t.expect_code(result, None)
    t.expect_stage(request, state="awarded", attempts=["completed", "awarded"], executions=1, accepted=None)
    t.expect_task(request, "working")
    traces.append(t)

    t = Trace(
        "two-executions",
        "both attempts have a result: the current one is accepted",
        "TASK-44 TASK-47",
        "any-attempt-completes",
    )
    request = t.request(ALICE)
    award, again = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, attempt=2, at=85)
    late = t.result(BOB, award, ALICE, "Late.", at=95)
    result = t.result(CAROL, again, ALICE, at=90)
    t.expect_code(late, None)
    t.expect_stage(request, attempts=["completed", "completed"], executions=2, accepted=result)
    traces.append(t)

    t = Trace("lapse-leaves-results", "a completed attempt does not lapse", "TASK-47", "lapse-undoes-all")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.result(BOB, award, ALICE, "Late.")
    t.award(ALICE, request, CAROL, attempt=2, at=85)
    t.award(ALICE, request, BOB, attempt=4, at=95)
    t.expect_stage(request, state="awarded", attempts=["completed", "lapsed", "awarded"], executions=1, accepted=None)
    traces.append(t)

    t = Trace(
        "receipt-for-the-late-one",
        "the close takes the result of the attempt that had lapsed",
        "TASK-43 TASK-47",
        "accepted-unread",
    )
    request = t.request(ALICE)
    award, again = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, attempt=2, at=85)
    late = t.result(BOB, award, ALICE, "Late.", at=95)
    t.result(CAROL, again, ALICE, at=90)
    t.close(ALICE, request, late, at=99)
    t.expect_stage(request, state="completed", executions=2, accepted=late)
    traces.append(t)

    t = Trace(
        "receipt-for-both",
        "a close names two results of a stage: the first by attempt is accepted",
        "TASK-43 TASK-47",
        "last-of-accepted-counts",
    )
    request = t.request(ALICE)
    award, again = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, attempt=2, at=85)
    late = t.result(BOB, award, ALICE, "Late.", at=95)
    result = t.result(CAROL, again, ALICE, at=90)
    t.close(ALICE, request, result, late, at=99)
    t.expect_stage(request, state="completed", executions=2, accepted=late)
    traces.append(t)

    t = Trace(
        "declined-and-awarded-anew",
        "a fail with the code declined rejects the award",
        "TASK-27 TASK-47",
        "a-fail-is-a-fail",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.fail(BOB, award, ALICE, "declined", at=21)
    again = t.award(ALICE, request, CAROL, attempt=2, at=22)
    result = t.result(CAROL, again, ALICE)
    t.expect_stage(request, state="completed", attempts=["rejected", "completed"], accepted=result)
    traces.append(t)

    for kills, about in (
        ("greater-award-stays", "the lesser id counts"),
        ("conflict-not-told", "the other is a conflict"),
        ("first-award-to-arrive-stays", "not the first to arrive"),
    ):
        t = Trace(f"two-awards-{kills}", f"one attempt is given twice: {about}", "TASK-23 TASK-47", kills)
        request = t.request(ALICE)
        award = t.award(ALICE, request, BOB, at=25)
        other = t.award(ALICE, request, CAROL, at=20, above=award)
        result = t.result(BOB, award, ALICE, at=50)
        vain = t.result(CAROL, other, ALICE, at=40)
        t.expect_code(other, "task.conflict")
        t.expect_code(vain, "task.not_permitted")
        t.expect_stage(request, state="completed", attempts=["completed"], executions=1, accepted=result)
        traces.append(t)

    t = Trace(
        "two-awards-to-one",
        "one attempt is given twice to one executor, who answers the one that does not count",
        "TASK-23 TASK-47",
        "answers-unread",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB, at=25)
    other = t.award(ALICE, request, BOB, at=20, above=award)
    vain = t.result(BOB, other, ALICE)
    start = t.work(BOB, "task.start", other, {}, ALICE)
    t.expect_code(vain, "task.not_allowed")
    t.expect_code(start, "task.not_allowed")
    t.expect_stage(request, state="awarded")
    traces.append(t)
    return traces


def pipelines() -> list[Trace]:
    traces = []
    t = Trace(
        "several-stages", "a review of a draft: inputs form a chain of digests", "TASK-39 TASK-47", "waiting-is-dropped"
    )
    t.announce(ALICE)
    request = t.request(ALICE, PIPELINE)
    award, second = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, "review")
    draft = t.result(BOB, award, ALICE, "Rayleigh.", at=40)
    review = t.result(CAROL, second, ALICE, "Good.", read={"draft": "Rayleigh.", "question": QUESTION}, at=50)
    t.close(ALICE, request, draft, review)
    t.expect_stage(request, "review", state="completed", accepted=review)
    t.expect_task(request, "completed")
    traces.append(t)

    t = Trace(
        "source-missing",
        "a result waits as long as a source of its stage has no digest",
        "TASK-39 TASK-47",
        "sources-need-not-be-there",
    )
    request = t.request(ALICE, PIPELINE)
    t.award(ALICE, request, BOB)
    second = t.award(ALICE, request, CAROL, "review")
    review = t.result(CAROL, second, ALICE, "Good.", read={"draft": "Rayleigh.", "question": QUESTION}, at=50)
    t.expect_code(review, "state.waiting")
    t.expect_stage(request, "review", state="awarded", executions=0, accepted=None)
    t.expect_task(request, "working")
    traces.append(t)

    for kills, read, about in (
        ("inputs-unread", {"draft": "Raleigh.", "question": QUESTION}, "another text"),
        ("inputs-in-any-order", {"question": QUESTION, "draft": "Rayleigh."}, "another order"),
        ("inputs-may-be-more", {"draft": "Rayleigh.", "question": QUESTION, "more": "and more"}, "one too many"),
        ("inputs-may-be-fewer", {"draft": "Rayleigh."}, "one too few"),
    ):
        t = Trace(f"wrong-inputs-{kills}", f"a result computed from other inputs: {about}", "TASK-39 TASK-47", kills)
        request = t.request(ALICE, PIPELINE)
        award, second = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, "review")
        t.result(BOB, award, ALICE, "Rayleigh.", at=40)
        review = t.result(CAROL, second, ALICE, "Good.", read=read, at=50)
        t.expect_code(review, "task.input_mismatch")
        t.expect_stage(request, "review", state="awarded", executions=0)
        traces.append(t)

    t = Trace(
        "source-named-twice",
        "a source that a prompt names twice is an input once",
        "TASK-39 TASK-47",
        "sources-count-each-time",
    )
    request = t.request(
        ALICE, {"draft": ["question", "style", "question"]}, texts={"style": "Short.", "question": "Why?"}
    )
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE, read={"question": "Why?", "style": "Short."})
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)

    t = Trace(
        "receipt-decides-the-source",
        "the close accepts another draft than the review was made of",
        "TASK-39 TASK-43 TASK-47",
        "accepted-unread",
    )
    request = t.request(ALICE, PIPELINE)
    award, again = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, attempt=2, at=30)
    second = t.award(ALICE, request, BOB, "review")
    first = t.result(BOB, award, ALICE, "Slow.", at=45)
    t.result(CAROL, again, ALICE, "Rayleigh.", at=40)
    review = t.result(BOB, second, ALICE, "Good.", read={"draft": "Rayleigh.", "question": QUESTION}, at=50)
    t.close(ALICE, request, first, review)
    t.expect_code(review, "task.input_mismatch")
    t.expect_stage(request, accepted=first)
    t.expect_stage(request, "review", state="awarded", accepted=None)
    t.expect_task(request, "completed")
    traces.append(t)

    t = Trace("no-sources", "a stage without sources needs no inputs", "TASK-39 TASK-47", "waiting-is-dropped")
    request = t.request(ALICE, {"draft": []})
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE, read={})
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)
    return traces


def forms() -> list[Trace]:
    traces = []
    plaintext = {"question": '{"salt":"AAECAwQFBgcICQoLDA0ODw","text":"Why?"}'}
    sealed_input = {
        "inputs": [
            {"source": "question", "digest": digest(plaintext["question"].encode()), "sealed": "c2VhbGVkIGZvciBib2I"}
        ]
    }
    t = Trace(
        "sealed-task",
        "a sealed task; a result in the clear does not count",
        "TASK-47 TASK-54 TASK-55",
        "privacy-of-result-unread",
    )
    request = t.request(ALICE, privacy="sealed", texts=plaintext)
    award = t.award(ALICE, request, BOB, body=sealed_input)
    other = t.award(ALICE, request, CAROL, attempt=2, body=sealed_input, at=25)
    result = t.result(BOB, award, ALICE, output={"sealed": "b3V0cHV0"}, read=plaintext)
    clear = t.result(CAROL, other, ALICE, read=plaintext)
    t.expect_code(clear, "task.not_allowed")
    t.expect_code(result, None)
    t.expect_stage(request, state="awarded", attempts=["completed", "awarded"], executions=1)
    traces.append(t)

    t = Trace(
        "sealed-result-in-public-task",
        "a public task takes no sealed result",
        "TASK-47 TASK-55",
        "privacy-of-result-unread",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE, output={"sealed": "b3V0cHV0"})
    t.expect_code(result, "task.not_allowed")
    t.expect_stage(request, state="awarded")
    traces.append(t)

    for privacy in ("public", "sealed"):
        t = Trace(
            f"artifact-in-{privacy}-task",
            f"a result that is an artifact counts in a {privacy} task",
            "TASK-37 TASK-47 ART-6",
            "artifacts-are-no-results",
        )
        request = t.request(ALICE, privacy=privacy, texts=plaintext)
        award = t.award(ALICE, request, BOB, body=sealed_input if privacy == "sealed" else {})
        chunk = {"digest": digest(b"a long text"), "uri": "mxc://example.org/abc"}
        output = {
            "artifact": {"digest": digest(b"a long text"), "bytes": 11, "chunks": [chunk]},
            "output_digest": digest(b"a long text"),
        }
        result = t.result(BOB, award, ALICE, output=output, read=plaintext)
        t.expect_stage(request, state="completed", accepted=result)
        traces.append(t)
    return traces
