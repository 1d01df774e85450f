"""Traces of one stage: from the request to the receipt, and all that goes wrong on the way."""

from __future__ import annotations

from typing import Any

from tests.vectors.peer import Peer
from tests.vectors.traces.scene import Trace
from tests.vectors.writing import NOW_MS, digest

ALICE, BOB, CAROL = Peer("alice"), Peer("bob"), Peer("carol")


def build() -> list[Trace]:
    return [*whole(), *missing(), *questions(), *places(), *progress()]


def whole() -> list[Trace]:
    traces = []
    plain = ("plain-task", "a task from the announces to the receipt", "FOLD-2 FOLD-6 TASK-47", "waiting-is-dropped")
    extended = ("extended-task", "the same with an extension that nobody knows in each message", "VER-10 TASK-47")
    for name, about, requirements, *kills in (plain, extended):
        t = Trace(name, about, requirements, kills[0] if kills else "extended-is-dropped")
        more: dict[str, Any] = (
            {} if kills else {"extensions": {"org.example.state": {"state": "canceled", "attempt": 9}}}
        )
        t.announce(ALICE, **more)
        t.announce(BOB, **more)
        request = t.request(ALICE, **more)
        award = t.award(ALICE, request, BOB, **more)
        result = t.result(BOB, award, ALICE, **more)
        t.close(ALICE, request, result, **more)
        t.expect_task(request, "completed")
        t.expect_stage(request, state="completed", attempts=["completed"], executions=1, accepted=result)
        t.expect_live(ALICE, BOB)
        traces.append(t)

    t = Trace(
        "all-messages-of-a-task",
        "offer, start, progress, ask and reply among the rest",
        "FOLD-2 FOLD-6 TASK-47",
        "waiting-is-dropped",
    )
    t.announce(ALICE)
    t.announce(BOB)
    request = t.request(ALICE)
    t.answer(BOB, "task.offer", {"stages": [{"stage": "draft", "wait_ms": 0}]}, request, recipients=[ALICE.did], at=12)
    award = t.award(ALICE, request, BOB)
    t.work(BOB, "task.start", award, {}, ALICE, at=21)
    t.work(BOB, "task.progress", award, {"index": 0, "tokens": 2, "offset": 0, "text": "Sc"}, ALICE, at=22)
    ask = t.work(BOB, "task.ask", award, {"question": "In how many words?"}, ALICE, at=23)
    reply = t.work(ALICE, "task.reply", award, {"text": "One."}, BOB, cause=ask, at=24)
    result = t.result(BOB, award, ALICE, cause=reply)
    close = t.close(ALICE, request, result)
    t.expect_task(request, "completed")
    t.expect_stage(request, state="completed", attempts=["completed"], executions=1, accepted=result)
    t.expect_code(close, None, "bound")
    traces.append(t)

    t = Trace(
        "restart", "after a restart the whole room is read again", "FOLD-3 FOLD-11 SIG-16", "duplicates-equivocate"
    )
    t.announce(ALICE)
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    fail = t.fail(BOB, award, ALICE)
    t.orders = [[0, 1, 2, 3, 0, 1, 2, 3], [2, 0, 0, 1, 2, 3, 3, 1], [3, 2, 1, 0, 3, 2, 1, 0, 0, 1, 2, 3]]
    t.expect_task(request, "working")
    t.expect_stage(request, state="failed", attempts=["failed"], executions=0)
    t.expect_code(fail, None)
    traces.append(t)

    t = Trace(
        "offers-take-no-part",
        "an offer gets no error, and what answers it waits",
        "TASK-22 TASK-47 FOLD-7",
        "offers-cause",
    )
    request = t.request(ALICE)
    offer = t.answer(
        CAROL, "task.offer", {"stages": [{"stage": "nonsense", "wait_ms": 0}]}, request, recipients=[ALICE.did], at=12
    )
    award = t.award(ALICE, request, BOB)
    wrong = t.answer(
        ALICE, "task.award", {"stage": "draft", "attempt": 2, "lease_ms": 60000}, offer, recipients=[BOB.did], at=20
    )
    t.expect_code(offer, None)
    t.expect_code(wrong, "state.waiting")
    t.expect_stage(request, state="awarded", attempts=["awarded"])
    traces.append(t)
    return traces


def missing() -> list[Trace]:
    traces = []
    t = Trace("request-missing", "all waits for a request that did not arrive", "FOLD-7", "waiting-is-not-told")
    request = t.request(ALICE, silent=True)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE)
    close = t.close(ALICE, request, result)
    for said in (award, result, close):
        t.expect_code(said, "state.waiting")
    t.expect_no_task()
    traces.append(t)

    t = Trace(
        "award-missing", "a result waits for its award; the close counts", "FOLD-7 TASK-47", "causes-need-not-be-there"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB, silent=True)
    result = t.result(BOB, award, ALICE)
    close = t.close(ALICE, request, result)
    t.expect_code(result, "state.waiting")
    t.expect_code(close, None)
    t.expect_task(request, "completed")
    t.expect_stage(request, state="submitted", attempts=[], executions=0, accepted=None)
    traces.append(t)

    t = Trace(
        "reply-missing", "a result waits for the reply that it answers", "FOLD-7 TASK-47", "causes-need-not-be-there"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    ask = t.work(BOB, "task.ask", award, {"question": "Which sky?"}, ALICE, at=23)
    reply = t.work(ALICE, "task.reply", award, {"text": "This."}, BOB, cause=ask, at=24, silent=True)
    result = t.result(BOB, award, ALICE, cause=reply)
    t.expect_code(result, "state.waiting")
    t.expect_stage(request, state="input_required", attempts=["input_required"])
    t.expect_task(request, "input_required")
    traces.append(t)

    t = Trace(
        "cause-in-another-task",
        "what answers a message of another task waits",
        "FOLD-7 TASK-47",
        "causes-need-not-be-there",
    )
    request, other = t.request(ALICE), t.request(ALICE, at=11)
    award = t.award(ALICE, other, BOB)
    t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE, thread=request.id)
    t.expect_code(result, "state.waiting")
    t.expect_stage(request, state="awarded")
    t.expect_stage(other, state="awarded")
    traces.append(t)
    return traces


def questions() -> list[Trace]:
    traces = []
    t = Trace("ask-and-reply", "two questions, one after the other", "TASK-35 TASK-47 FOLD-6", "depth-unread")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=21)
    reply = t.work(ALICE, "task.reply", award, {"text": "Yes."}, BOB, cause=ask, at=22)
    again = t.work(BOB, "task.ask", award, {"question": "Formal?"}, ALICE, cause=reply, at=23)
    last = t.work(ALICE, "task.reply", award, {"text": "No."}, BOB, cause=again, at=24)
    result = t.result(BOB, award, ALICE, cause=last)
    for said in (ask, reply, again, last, result):
        t.expect_code(said, None)
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)

    t = Trace("question-open", "an open question is the state of stage and task", "TASK-47", "questions-not-shown")
    request = t.request(ALICE, {"draft": ["question"], "other": ["question"]})
    award = t.award(ALICE, request, BOB)
    t.award(ALICE, request, CAROL, "other")
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=21)
    t.work(BOB, "task.progress", award, {"index": 0, "tokens": 0, "offset": 0}, ALICE, at=30)
    t.expect_code(ask, None)
    t.expect_stage(request, state="input_required")
    t.expect_task(request, "input_required")
    traces.append(t)

    t = Trace(
        "clocks-differ", "order is that of answers, whatever the clocks say", "FOLD-6", "order-is-that-of-sent-ms"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB, at=90)
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=50)
    reply = t.work(ALICE, "task.reply", award, {"text": "Yes."}, BOB, cause=ask, at=49)
    result = t.result(BOB, award, ALICE, cause=reply, at=5)
    t.expect_code(reply, None)
    t.expect_code(result, None)
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)

    t = Trace("reply-by-another", "only the requester replies", "TASK-47", "anyone-replies")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=21)
    reply = t.work(CAROL, "task.reply", award, {"text": "Yes."}, BOB, cause=ask, at=22)
    t.expect_code(reply, "task.not_permitted")
    t.expect_stage(request, state="input_required")
    traces.append(t)

    t = Trace("reply-to-nothing-open", "a reply that answers no open question", "TASK-47", "any-reply-closes")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=21)
    early = t.work(ALICE, "task.reply", award, {"text": "Go on."}, BOB, at=22)
    start = t.work(BOB, "task.start", award, {}, ALICE, at=20)
    t.expect_code(early, "task.not_allowed")
    t.expect_code(start, None)
    t.expect_code(ask, None)
    t.expect_stage(request, state="input_required")
    traces.append(t)

    t = Trace(
        "two-replies", "of two replies to one question the lesser id counts", "TASK-47 FOLD-6", "greater-id-goes-first"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=21)
    yes = t.work(ALICE, "task.reply", award, {"text": "Yes."}, BOB, cause=ask, at=25)
    no = t.work(ALICE, "task.reply", award, {"text": "No."}, BOB, cause=ask, at=22, above=yes)
    result = t.result(BOB, award, ALICE, cause=no)
    t.expect_code(yes, None)
    t.expect_code(no, "task.not_allowed")
    t.expect_code(result, "task.not_allowed")
    t.expect_stage(request, state="working")
    traces.append(t)

    t = Trace(
        "two-asks", "a second question while the first is open", "TASK-35 TASK-47 FOLD-6", "order-is-that-of-arrival"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    one = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=22)
    two = t.work(BOB, "task.ask", award, {"question": "Formal?"}, ALICE, at=21, above=one)
    reply = t.work(ALICE, "task.reply", award, {"text": "Yes."}, BOB, cause=one, at=25)
    t.expect_code(one, None)
    t.expect_code(two, "task.not_allowed")
    t.expect_code(reply, None)
    t.expect_stage(request, state="working")
    traces.append(t)
    return traces


def places() -> list[Trace]:
    traces = []
    t = Trace(
        "result-before-fail",
        "a result and a fail that both answer the award: the order of events decides",
        "FOLD-6 TASK-47",
        "order-of-events-unread",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE, at=45)
    fail = t.fail(BOB, award, ALICE, at=40, below=result)
    t.expect_code(result, None)
    t.expect_code(fail, "task.not_allowed")
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)

    t = Trace(
        "two-results",
        "of two results of one attempt the lesser id counts",
        "TASK-43 TASK-47",
        "order-is-that-of-arrival",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    one = t.result(BOB, award, ALICE, "This.")
    two = t.result(BOB, award, ALICE, "That.", above=one)
    t.expect_code(two, "task.not_allowed")
    t.expect_stage(request, state="completed", accepted=one, executions=1)
    traces.append(t)

    t = Trace("result-by-another", "only the executor delivers", "TASK-47", "anyone-works")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(CAROL, award, ALICE)
    start = t.work(ALICE, "task.start", award, {}, ALICE)
    t.expect_code(result, "task.not_permitted")
    t.expect_code(start, "task.not_permitted")
    t.expect_stage(request, state="awarded", executions=0)
    traces.append(t)

    t = Trace(
        "old-reply-answered", "a result that answers neither the award nor the last reply", "TASK-47", "answers-unread"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    ask = t.work(BOB, "task.ask", award, {"question": "In French?"}, ALICE, at=21)
    reply = t.work(ALICE, "task.reply", award, {"text": "Yes."}, BOB, cause=ask, at=22)
    start = t.work(BOB, "task.start", award, {}, ALICE, cause=ask, at=23)
    result = t.result(BOB, award, ALICE, cause=request)
    t.expect_code(start, "task.not_allowed")
    t.expect_code(result, "task.not_allowed")
    t.expect_code(reply, None)
    t.expect_stage(request, state="working")
    traces.append(t)

    t = Trace(
        "result-of-another-award",
        "a result whose award is not the one of its attempt",
        "TASK-47",
        "award-of-result-unread",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    wrong = {"text": "Scattering.", "award": digest(b"another award")}
    result = t.result(BOB, award, ALICE, output=wrong)
    t.expect_code(result, "task.not_allowed")
    t.expect_stage(request, state="awarded")
    traces.append(t)

    t = Trace("work-after-the-end", "nothing follows a fail", "TASK-47", "table-unread")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.work(BOB, "task.start", award, {}, ALICE)
    fail = t.fail(BOB, award, ALICE)
    other = t.fail(BOB, award, ALICE, "other.reason", above=fail)
    decline = t.fail(BOB, award, ALICE, "declined")
    t.expect_code(other, "task.not_allowed")
    t.expect_code(decline, "task.not_allowed")
    t.expect_stage(request, state="failed", attempts=["failed"])
    traces.append(t)

    t = Trace("declined-too-late", "who has begun can not decline any more", "TASK-27 TASK-47", "a-fail-is-a-fail")
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.work(BOB, "task.start", award, {}, ALICE)
    decline = t.fail(BOB, award, ALICE, "declined")
    t.expect_code(decline, "task.not_allowed")
    t.expect_stage(request, state="working", attempts=["working"])
    traces.append(t)

    t = Trace("strangers-award", "nobody but the requester awards, cancels or closes", "TASK-47", "strangers-award")
    request = t.request(ALICE)
    award = t.award(CAROL, request, CAROL)
    cancel = t.cancel(BOB, request)
    close = t.close(CAROL, request, outcome="failed")
    result = t.result(CAROL, award, ALICE)
    for said in (award, cancel, close):
        t.expect_code(said, "task.not_permitted")
    t.expect_code(result, "task.unknown_stage")
    t.expect_task(request, "submitted")
    traces.append(t)

    t = Trace(
        "award-answers-an-award",
        "award, cancel and close answer the request and nothing else",
        "TASK-47",
        "awards-answer-anything",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    second = t.answer(
        ALICE, "task.award", {"stage": "draft", "attempt": 2, "lease_ms": 60000}, award, recipients=[CAROL.did]
    )
    cancel = t.cancel(ALICE, award)
    close = t.close(ALICE, award, outcome="failed")
    for said in (second, cancel, close):
        t.expect_code(said, "task.not_allowed")
    t.expect_stage(request, state="awarded", attempts=["awarded"])
    traces.append(t)

    for kills, about in (("unknown-award-not-told", "the award"), ("unawarded-work-not-told", "the work")):
        t = Trace(f"unknown-stage-{kills[:8]}", f"stages and attempts that are not: {about}", "TASK-47", kills)
        request = t.request(ALICE)
        award = t.award(ALICE, request, BOB, "final")
        result = t.result(BOB, award, ALICE)
        real = t.award(ALICE, request, BOB)
        body = {"attempt": 2}
        start = t.work(BOB, "task.start", real, body, ALICE)
        for said in (award, result, start):
            t.expect_code(said, "task.unknown_stage")
        t.expect_stage(request, state="awarded", attempts=["awarded"])
        traces.append(t)
    return traces


def progress() -> list[Trace]:
    traces = []
    numbers = ((0, 2), (2, 9), (1, 5))
    for kills, about in (
        ("all-progress-is-kept", "the others are not part of the set"),
        ("lowest-progress-stays", "the highest index stays"),
    ):
        t = Trace(f"progress-{kills}", f"progress that was overtaken: {about}", "FOLD-8", kills)
        request = t.request(ALICE)
        award = t.award(ALICE, request, BOB)
        sent = [
            t.work(BOB, "task.progress", award, {"index": index, "tokens": tokens, "offset": 0}, ALICE, at=30 + index)
            for index, tokens in numbers
        ]
        other = t.work(CAROL, "task.progress", award, {"index": 7, "tokens": 1, "offset": 0}, ALICE, at=36)
        t.expect_code(sent[1], None)
        t.expect_code(other, "task.not_permitted")
        t.expect("messages", **{sent[0].id: None, sent[2].id: None})
        t.expect_stage(request, state="working")
        traces.append(t)

    t = Trace(
        "progress-with-one-index", "two with one index: the greater id stays", "FOLD-8", "lesser-progress-id-stays"
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    one = t.work(BOB, "task.progress", award, {"index": 3, "tokens": 1, "offset": 0}, ALICE, sent_ms=NOW_MS + 31_000)
    two = t.work(BOB, "task.progress", award, {"index": 3, "tokens": 2, "offset": 0}, ALICE, sent_ms=NOW_MS + 31_000)
    stays, goes = (one, two) if one.id > two.id else (two, one)
    t.expect_code(stays, None)
    t.expect("messages", **{goes.id: None})
    traces.append(t)

    t = Trace(
        "progress-with-the-whole-text",
        "progress that shows the whole output is no result",
        "TASK-34 TASK-47",
        "progress-completes",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    body = {"index": 0, "tokens": 3, "offset": 0, "text": "Scattering."}
    t.expect_code(t.work(BOB, "task.progress", award, body, ALICE), None)
    t.close(ALICE, request, outcome="failed")
    t.expect_stage(request, state="working", attempts=["working"], executions=0, accepted=None)
    traces.append(t)
    return traces
