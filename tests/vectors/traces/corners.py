"""Traces where two chapters meet: keys and tasks, handshakes and tasks, receipts that say odd things."""

from __future__ import annotations

from tests.vectors.peer import Peer
from tests.vectors.traces.scene import Trace
from tests.vectors.writing import digest

ALICE, BOB, CAROL = Peer("alice"), Peer("bob"), Peer("carol")


def build() -> list[Trace]:
    return [*keys_in_tasks(), *standings(), *receipts(), *threads()]


def keys_in_tasks() -> list[Trace]:
    traces = []
    t = Trace(
        "award-that-does-not-count",
        "what answers a message by a key that was given up waits",
        "ID-26 FOLD-7 TASK-47",
        "old-keys-go-on",
    )
    request = t.request(ALICE, at=10)
    award = t.award(ALICE, request, BOB, at=40)
    t.rotate(ALICE, 30, at=30)
    result = t.result(BOB, award, ALICE, at=50)
    again = t.award(ALICE, request, CAROL, key=1, at=60)
    t.expect_code(award, "key.not_authorized")
    t.expect_code(result, "state.waiting")
    t.expect_code(again, None)
    t.expect_stage(request, state="awarded", attempts=["awarded"], executions=0)
    traces.append(t)

    t = Trace(
        "result-by-the-thief",
        "a result by a key that was given up does not take the place of the owner's",
        "ID-26 TASK-47 FOLD-15",
        "old-keys-go-on",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.rotate(BOB, 30, at=30)
    owner = t.result(BOB, award, ALICE, "Mine.", key=1, at=40)
    thief = t.result(BOB, award, ALICE, "Not mine.", at=39, below=owner)
    t.expect_code(thief, "key.not_authorized")
    t.expect_stage(request, state="completed", accepted=owner, executions=1)
    traces.append(t)

    t = Trace(
        "retired-before-conflict",
        "a message that is retired and does not count in its task has the code of the earlier stage",
        "ID-25 TASK-23 SIG-6",
        "retired-keys-act",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    other = t.award(ALICE, request, CAROL, above=award)
    t.rotate(ALICE, 30, at=30)
    t.expect_code(award, "key.retired")
    t.expect_code(other, "key.retired")
    t.expect_stage(request, state="awarded", attempts=["awarded"])
    traces.append(t)

    t = Trace(
        "revocation-in-mid-task",
        "what was awarded before the requester was revoked can still be delivered",
        "ID-23 ID-26 TASK-47",
        "retired-is-taken-out",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.revoke(ALICE, 30, at=30)
    result = t.result(BOB, award, ALICE, at=40)
    close = t.close(ALICE, request, result, at=50)
    t.expect_code(result, None)
    t.expect_code(close, "key.not_authorized")
    t.expect_stage(request, state="completed", accepted=result)
    t.expect_task(request, "completed")
    traces.append(t)

    t = Trace(
        "progress-across-rotation",
        "progress is kept once for each key of its sender",
        "FOLD-8 ID-26",
        "keys-displace-progress",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    old = t.work(BOB, "task.progress", award, {"index": 0, "tokens": 1, "offset": 0}, ALICE, at=25)
    t.rotate(BOB, 30, at=30)
    new = t.work(BOB, "task.progress", award, {"index": 1, "tokens": 2, "offset": 0}, ALICE, key=1, at=35)
    over = t.work(BOB, "task.progress", award, {"index": 2, "tokens": 0, "offset": 0}, ALICE, at=31)
    t.expect("messages", **{old.id: None})
    t.expect_code(over, "key.not_authorized")
    t.expect_code(new, None)
    traces.append(t)

    t = Trace(
        "progress-of-a-thief",
        "progress by a key that was given up does not displace that of the key in use, with a higher index",
        "FOLD-8 ID-26",
        "keys-displace-progress",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.rotate(BOB, 30, at=30)
    new = t.work(BOB, "task.progress", award, {"index": 1, "tokens": 2, "offset": 0}, ALICE, key=1, at=35)
    thief = t.work(BOB, "task.progress", award, {"index": 9, "tokens": 9, "offset": 0}, ALICE, at=36)
    t.expect_code(new, None)
    t.expect_code(thief, "key.not_authorized")
    t.expect_stage(request, state="working")
    traces.append(t)

    t = Trace(
        "heard-of-by-overtaken-progress",
        "a peer is heard of also by progress that is not kept",
        "PRE-13 FOLD-8",
        "overtaken-progress-unheard",
    )
    first, second = sorted([BOB, CAROL], key=lambda peer: peer.did)
    t.announce(first)
    t.deliver(t.announce(second, addresses=[first.address], silent=True), first.address)
    request = t.request(ALICE)
    award = t.award(ALICE, request, second)
    t.work(second, "task.progress", award, {"index": 0, "tokens": 1, "offset": 0}, ALICE, at=60)
    t.work(second, "task.progress", award, {"index": 1, "tokens": 2, "offset": 0}, ALICE, at=40)
    t.work(first, "task.progress", award, {"index": 1, "tokens": 2, "offset": 0}, ALICE, at=50)
    t.expect_live(second)
    traces.append(t)
    return traces


def standings() -> list[Trace]:
    traces = []
    t = Trace(
        "disputed-and-revoked",
        "a disputed identity is disputed, whatever else it is, and its revoke still counts",
        "ID-23 ID-24 ID-25",
        "revokes-unread",
    )
    before = t.request(ALICE, at=20)
    t.rotate(ALICE, 10, at=10)
    t.rotate(ALICE, 10, branches=["b"], at=11)
    t.revoke(ALICE, 30, at=30)
    after = t.request(ALICE, at=31)
    t.expect_peer(ALICE, standing="disputed", key=ALICE.did)
    t.expect_code(before, "key.retired")
    t.expect_code(after, "key.not_authorized")
    traces.append(t)

    t = Trace(
        "equivocation-that-disputes",
        "two announces with one revision commit to two next keys",
        "ID-16 ID-24",
        "disputes-unseen",
    )
    t.announce(ALICE, 5)
    t.announce(ALICE, 5, next_branch="b")
    t.expect_peer(ALICE, standing="disputed", equivocates=False, announce=None, bound=False, addresses=[])
    t.expect_live()
    traces.append(t)

    t = Trace(
        "conflict-ends-with-the-key",
        "a rotation frees the address that the old key had proven",
        "ID-15 ID-27",
        "presence-outlives-rotation",
    )
    t.announce(ALICE)
    t.deliver(t.announce(BOB, addresses=[ALICE.address], at=2, silent=True), ALICE.address)
    t.rotate(BOB, 5, at=5)
    new = t.announce(BOB, 2, key=1, at=6)
    t.expect(conflicts={})
    t.expect_peer(BOB, announce=new.id, addresses=[BOB.address])
    t.expect_live(ALICE, BOB)
    traces.append(t)

    t = Trace(
        "new-key-unbound",
        "the new key's announce was relayed, and the old key's no longer counts",
        "ID-10 ID-27 PRE-10",
        "presence-outlives-rotation",
    )
    t.announce(ALICE)
    t.rotate(ALICE, 5, at=5)
    new = t.announce(ALICE, 2, key=1, at=6, silent=True)
    t.deliver(new, BOB.address)
    request = t.request(ALICE, key=1)
    t.expect_peer(ALICE, announce=new.id, bound=False, addresses=[])
    t.expect_code(request, None, "unbound")
    t.expect_live()
    traces.append(t)
    return traces


def receipts() -> list[Trace]:
    traces = []
    t = Trace(
        "receipt-under-another-stage",
        "a result that a close names for another stage is not accepted for it",
        "TASK-43 TASK-47",
        "accepted-for-any-stage",
    )
    request = t.request(ALICE, {"draft": ["question"], "other": ["question"]})
    award, second = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, "other")
    draft = t.result(BOB, award, ALICE)
    other = t.result(CAROL, second, ALICE, "Other.")
    entry = {"stage": "other", "attempt": 1, "executor": BOB.did, "result": draft.id}
    body = {
        "outcome": "completed",
        "accepted": [entry | {"output_digest": draft.body["output_digest"]}],
        "executions": 2,
    }
    t.answer(ALICE, "task.close", body, request, at=60)
    t.expect_code(other, None)
    t.expect_stage(request, accepted=None, state="completed")
    t.expect_stage(request, "other", accepted=None, state="completed")
    traces.append(t)

    t = Trace(
        "receipt-for-nothing-there",
        "a close with the outcome failed names a result that is not there",
        "TASK-43 TASK-47",
        "close-changes-nothing",
    )
    request = t.request(ALICE)
    award, again = t.award(ALICE, request, BOB), t.award(ALICE, request, CAROL, attempt=2, at=25)
    missing = t.result(BOB, award, ALICE, silent=True)
    result = t.result(CAROL, again, ALICE)
    t.close(ALICE, request, missing, outcome="failed")
    t.expect_task(request, "failed")
    t.expect_stage(request, accepted=result, state="completed", attempts=["lapsed", "completed"])
    traces.append(t)
    return traces


def threads() -> list[Trace]:
    traces = []
    t = Trace(
        "thread-that-is-no-request",
        "a thread that an announce would have opened is none",
        "MSG-20 FOLD-7",
        "waiting-is-not-told",
    )
    announce = t.announce(ALICE)
    award = t.award(ALICE, announce, BOB)
    t.expect_code(award, "state.waiting", "bound")
    t.expect_no_task()
    traces.append(t)

    t = Trace(
        "offer-without-request",
        "an offer waits for its request like any message of a task",
        "FOLD-7",
        "waiting-is-not-told",
    )
    request = t.request(ALICE, silent=True)
    body = {"stages": [{"stage": "draft", "wait_ms": 0}]}
    offer = t.answer(BOB, "task.offer", body, request, recipients=[ALICE.did])
    t.expect_code(offer, "state.waiting")
    t.expect_no_task()
    traces.append(t)

    t = Trace(
        "handshake-in-a-task",
        "a handshake message whose thread is a request is no message of the task",
        "HS-1 TASK-47",
        "waiting-is-dropped",
    )
    request = t.request(ALICE)
    answer = {"version": "1", "versions": ["1"], "address": {"uri": BOB.address}}
    accept = t.say(
        BOB, "handshake.accept", answer, recipients=[ALICE.did], thread=request.id, answers=request.id, at=15
    )
    award = t.award(ALICE, request, BOB)
    confirm = t.say(
        ALICE,
        "handshake.confirm",
        {"version": "1"},
        recipients=[BOB.did],
        thread=digest(b"no request"),
        answers=accept.id,
        at=25,
    )
    for said in (accept, award, confirm):
        t.expect_code(said, None)
    t.expect_stage(request, state="awarded")
    traces.append(t)
    return traces
