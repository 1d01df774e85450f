"""Traces of keys that contradict each other, and of a rotate that proves nothing."""

from __future__ import annotations

from tests.vectors.peer import Peer
from tests.vectors.traces.scene import Trace

ALICE, BOB, CAROL = Peer("alice"), Peer("bob"), Peer("carol")


def build() -> list[Trace]:
    return [*branches(), *faults()]


def branches() -> list[Trace]:
    traces = []
    for kills, about in (
        ("first-rotate-wins", "neither branch is followed"),
        ("disputed-told-as-unproven", "its code"),
        ("disputed-keys-act", "the key before the branch is retired"),
    ):
        t = Trace(f"dispute-{kills}", f"two rotates name two next keys: {about}", "ID-24 ID-25 ID-27", kills)
        base = t.request(ALICE, at=9)
        t.rotate(ALICE, 10, at=10)
        t.rotate(ALICE, 11, branches=["b"], at=11)
        one = t.request(ALICE, key=1, at=20)
        other = t.announce(ALICE, 3, key=1, branch="b", at=21)
        t.expect_peer(ALICE, standing="disputed", key=ALICE.did, announce=None, bound=False)
        t.expect_code(base, "key.retired")
        t.expect_code(one, "key.disputed")
        t.expect_code(other, "key.disputed")
        t.expect(
            tasks={
                base.id: {
                    "state": "submitted",
                    "stages": {"draft": {"state": "submitted", "attempts": [], "executions": 0}},
                }
            }
        )
        traces.append(t)

    t = Trace(
        "dispute-by-announces", "two announces commit to two next keys", "ID-24 ID-27", "announces-commit-to-nothing"
    )
    t.announce(ALICE, 1)
    t.announce(ALICE, 2, next_branch="b", at=5)
    request = t.request(ALICE, at=10)
    t.announce(BOB)
    t.expect_peer(ALICE, standing="disputed", announce=None, bound=False, equivocates=False)
    t.expect_code(request, "key.retired")
    t.expect_live(BOB)
    traces.append(t)

    t = Trace(
        "dispute-by-a-rotate-and-an-announce",
        "a rotate names another key than the announce committed to",
        "ID-24 ID-25",
        "announces-commit-to-nothing",
    )
    t.announce(ALICE, 1)
    t.rotate(ALICE, 10, branches=["b"], at=10)
    thief = t.request(ALICE, key=1, branch="b", at=20)
    owner = t.request(ALICE, at=21)
    t.expect_peer(ALICE, standing="disputed", key=ALICE.did)
    t.expect_code(thief, "key.disputed")
    t.expect_code(owner, "key.retired")
    traces.append(t)

    t = Trace(
        "dispute-of-the-second-key",
        "a rotate and an announce by one key commit to two next keys",
        "ID-24 ID-25",
        "rotates-commit-to-nothing",
    )
    first = t.request(ALICE, at=5)
    t.rotate(ALICE, 10, at=10)
    t.announce(ALICE, 2, key=1, next_branch="b", at=11)
    second = t.request(ALICE, key=1, at=12)
    third = t.request(ALICE, key=2, at=13)
    t.expect_peer(ALICE, standing="disputed", key=ALICE.key(1).did, announce=None)
    t.expect_code(first, "key.retired")
    t.expect_code(second, "key.retired")
    t.expect_code(third, "key.disputed")
    traces.append(t)

    t = Trace(
        "dispute-takes-back",
        "a dispute takes a task's later messages out, not its earlier ones",
        "ID-24 ID-26 FOLD-15",
        "disputes-unseen",
    )
    request = t.request(ALICE, at=5)
    award = t.award(ALICE, request, BOB, at=6)
    t.rotate(ALICE, 10, at=10)
    result = t.result(BOB, award, ALICE, at=12)
    close = t.close(ALICE, request, result, key=1, outcome="failed", at=20)
    t.rotate(ALICE, 10, branches=["b"], at=30)
    t.expect_code(close, "key.disputed")
    t.expect_code(award, "key.retired")
    t.expect_task(request, "completed")
    t.expect_stage(request, accepted=result)
    traces.append(t)

    t = Trace(
        "commitment-that-agrees",
        "announces, rotate and link commit to the same key",
        "ID-7 ID-24",
        "digests-of-links-differ",
    )
    t.announce(ALICE, 1)
    t.announce(ALICE, 2, at=2)
    t.rotate(ALICE, 10, at=10)
    t.announce(ALICE, 3, key=1, at=11)
    t.rotate(ALICE, 10, 20, at=20)
    t.expect_peer(ALICE, standing="good", key=ALICE.key(2).did)
    traces.append(t)
    return traces


def faults() -> list[Trace]:
    traces = []
    t = Trace(
        "rotate-that-proves-nothing",
        "a rotate with a broken chain is not part of the set",
        "ID-20 FOLD-1",
        "kid-need-not-be-last",
    )
    t.announce(ALICE)
    good = t.rotate(ALICE, 10, at=10, silent=True)
    broken = t.say(ALICE, "identity.rotate", good.body, key=2, at=11, silent=True)
    t.deliver(
        broken, ALICE.address, error="identity.broken_chain", about="signed by a key that its chain does not end in"
    )
    request = t.request(ALICE, key=1, at=20)
    t.expect_peer(ALICE, standing="good", key=ALICE.did, bound=True)
    t.expect_code(request, "key.unproven", "bound")
    traces.append(t)
    return traces
