"""Traces of keys that change: rotation and revocation."""

from __future__ import annotations

from tests.vectors.peer import Peer
from tests.vectors.traces.scene import Trace
from tests.vectors.writing import NOW_MS

ALICE, BOB, CAROL = Peer("alice"), Peer("bob"), Peer("carol")


def build() -> list[Trace]:
    return [*rotations(), *old_keys(), *revocations()]


def rotations() -> list[Trace]:
    traces = []
    t = Trace(
        "rotation-before-task",
        "a requester that rotated before it asked",
        "ID-24 ID-26 ID-27 FOLD-15",
        "unproven-is-dropped",
    )
    t.announce(ALICE)
    t.rotate(ALICE, 5, at=5)
    now = t.announce(ALICE, 2, key=1, at=6)
    request = t.request(ALICE, key=1)
    award = t.award(ALICE, request, BOB, key=1)
    result = t.result(BOB, award, ALICE)
    t.expect_peer(ALICE, key=ALICE.key(1).did, standing="good", announce=now.id, bound=True)
    t.expect_code(request, None, "bound")
    t.expect_task(request, "completed")
    t.expect_stage(request, accepted=result)
    traces.append(t)

    t = Trace(
        "rotation-in-mid-task",
        "the requester rotates between request and award",
        "ID-25 ID-26 FOLD-15",
        "retired-is-taken-out",
    )
    request = t.request(ALICE, at=10)
    t.rotate(ALICE, 15, at=15)
    award = t.award(ALICE, request, BOB, key=1, at=20)
    result = t.result(BOB, award, ALICE)
    t.close(ALICE, request, result, key=1)
    t.expect_code(request, "key.retired", "unbound")
    t.expect_code(award, None)
    t.expect_task(request, "completed")
    t.expect_stage(request, accepted=result, executions=1)
    traces.append(t)

    t = Trace(
        "rotation-of-the-executor",
        "the executor rotates between award and result",
        "ID-25 ID-26 FOLD-15",
        "any-key-speaks",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    start = t.work(BOB, "task.start", award, {}, ALICE, at=22)
    t.rotate(BOB, 30, at=30)
    result = t.result(BOB, award, ALICE, key=1, at=40)
    other = t.result(CAROL, award, ALICE, key=1, at=41)
    t.expect_code(start, "key.retired")
    t.expect_code(result, None)
    t.expect_code(other, "key.unproven")
    t.expect_stage(request, state="completed", accepted=result)
    traces.append(t)

    t = Trace("key-without-rotate", "messages by a key that no rotate proves wait", "ID-25 ID-26", "any-key-speaks")
    old = t.announce(ALICE)
    new = t.announce(ALICE, 2, key=1, at=6)
    request = t.request(ALICE, key=1)
    award = t.award(ALICE, request, BOB, key=1)
    stranger = t.announce(CAROL, key=1)
    t.expect_peer(ALICE, key=ALICE.did, announce=old.id)
    t.expect_code(new, "key.unproven", "bound")
    t.expect_code(request, "key.unproven")
    t.expect_code(award, "key.unproven")
    t.expect_code(stranger, "key.unproven", "unbound")
    t.expect(
        peers={
            ALICE.did: {
                "key": ALICE.did,
                "standing": "good",
                "bound": True,
                "addresses": [ALICE.address],
                "equivocates": False,
                "announce": old.id,
            }
        }
    )
    t.expect_no_task()
    t.expect_live(ALICE)
    traces.append(t)

    t = Trace(
        "rotate-after-the-message",
        "a message by the new key arrives before the rotate that proves it",
        "ID-26 FOLD-15",
        "unproven-is-dropped",
    )
    request = t.request(ALICE, key=2)
    t.rotate(ALICE, 2, 4, at=4)
    t.announce(ALICE, 2, key=2, at=5)
    t.expect_code(request, None, "bound")
    t.expect_peer(ALICE, key=ALICE.key(2).did, bound=True)
    traces.append(t)

    t = Trace(
        "presence-begins-anew",
        "what the old key announced and proved is gone after the rotation",
        "ID-27",
        "presence-outlives-rotation",
    )
    t.announce(ALICE, 7)
    t.rotate(ALICE, 5, at=5)
    leave = t.leave(ALICE, 9, at=4)
    t.announce(BOB)
    t.expect_peer(ALICE, key=ALICE.key(1).did, announce=None, bound=False, addresses=[])
    t.expect_code(leave, "key.retired", "unbound")
    t.expect_live(BOB)
    traces.append(t)

    t = Trace(
        "presence-after-rotation",
        "a leave and a revision of the old key bind the new one to nothing",
        "ID-27 PRE-10 PRE-12",
        "presence-outlives-rotation",
    )
    t.announce(ALICE, 7)
    t.leave(ALICE, 9, at=4)
    t.rotate(ALICE, 5, at=5)
    new = t.announce(ALICE, 2, key=1, at=6)
    t.expect_peer(ALICE, announce=new.id, bound=True, equivocates=False)
    t.expect_live(ALICE)
    traces.append(t)

    t = Trace(
        "two-rotations",
        "the second rotate proves the first rotation as well",
        "ID-20 ID-21 ID-24",
        "unproven-is-dropped",
    )
    first = t.announce(ALICE, 1, key=1, at=3)
    t.rotate(ALICE, 2, 8, at=8)
    second = t.announce(ALICE, 2, key=2, at=9)
    t.expect_code(first, "key.retired", "bound")
    t.expect_peer(ALICE, key=ALICE.key(2).did, announce=second.id)
    traces.append(t)
    return traces


def old_keys() -> list[Trace]:
    traces = []
    t = Trace(
        "old-key-afterwards", "from since_ms on the old key says nothing", "ID-25 ID-26 FOLD-15", "old-keys-go-on"
    )
    request = t.request(ALICE, at=10)
    award = t.award(ALICE, request, BOB, at=20)
    t.rotate(ALICE, 30, at=30)
    cancel = t.cancel(ALICE, request, at=31)
    t.request(ALICE, at=32)
    t.expect_code(award, "key.retired")
    t.expect_code(cancel, "key.not_authorized")
    t.expect_task(request, "working")
    traces.append(t)

    t = Trace(
        "old-key-at-the-moment",
        "since_ms itself is too late, the millisecond before is not",
        "ID-25",
        "since-is-the-last-moment",
    )
    before = t.request(ALICE, sent_ms=NOW_MS + 29_999)
    at = t.request(ALICE, sent_ms=NOW_MS + 30_000)
    t.rotate(ALICE, 30, at=30)
    waits = t.award(ALICE, at, BOB, at=20)
    t.expect_code(before, "key.retired")
    t.expect_code(at, "key.not_authorized")
    t.expect_code(waits, "key.retired")
    t.expect(
        tasks={
            before.id: {
                "state": "submitted",
                "stages": {"draft": {"state": "submitted", "attempts": [], "executions": 0}},
            }
        }
    )
    traces.append(t)

    t = Trace(
        "old-key-before",
        "what the old key said before is part of the task, and nobody acts on it",
        "ID-25 ID-26",
        "retired-keys-act",
    )
    request = t.request(ALICE, at=10)
    t.rotate(ALICE, 30, at=30)
    award = t.award(ALICE, request, BOB, at=20)
    result = t.result(BOB, award, ALICE)
    t.expect_code(request, "key.retired")
    t.expect_code(award, "key.retired")
    t.expect_stage(request, accepted=result)
    traces.append(t)

    t = Trace(
        "since-of-two-rotates",
        "two rotates give a link different moments: the least counts",
        "ID-21 ID-24",
        "greatest-since-counts",
    )
    request = t.request(ALICE, at=25)
    t.rotate(ALICE, 30, at=30)
    t.rotate(ALICE, 20, at=31)
    early = t.request(ALICE, at=19)
    t.expect_code(request, "key.not_authorized")
    t.expect_code(early, "key.retired")
    t.expect_peer(ALICE, standing="good", key=ALICE.key(1).did)
    traces.append(t)

    t = Trace(
        "since-by-a-key-that-was-given-up",
        "only the last key says since when those before it say nothing more",
        "ID-24 ID-25",
        "every-key-says-since",
    )
    before = t.request(ALICE, at=8)
    after = t.request(ALICE, at=12)
    t.rotate(ALICE, 10, 30, at=30)
    t.rotate(ALICE, 5, at=31)
    t.expect_code(before, "key.retired")
    t.expect_code(after, "key.not_authorized")
    t.expect_peer(ALICE, standing="good", key=ALICE.key(2).did)
    traces.append(t)

    t = Trace(
        "since-without-a-word",
        "the last key is disputed and gave no moment: what later keys say does not count",
        "ID-24 ID-25",
        "every-key-says-since",
    )
    request = t.request(ALICE, at=20)
    t.rotate(ALICE, 10, 30, at=30)
    t.rotate(ALICE, 10, 30, branches=["", "b"], at=31)
    t.expect_code(request, "key.retired")
    t.expect_peer(ALICE, standing="disputed", key=ALICE.key(1).did)
    traces.append(t)

    t = Trace(
        "request-that-does-not-count",
        "a task whose request is not authorized is none; the rest waits",
        "ID-26 FOLD-7",
        "old-keys-go-on",
    )
    request = t.request(ALICE, at=40)
    award = t.award(ALICE, request, BOB, key=1, at=41)
    result = t.result(BOB, award, ALICE, at=42)
    t.rotate(ALICE, 30, at=30)
    t.expect_no_task()
    t.expect_code(request, "key.not_authorized")
    t.expect_code(award, "state.waiting")
    t.expect_code(result, "state.waiting")
    traces.append(t)
    return traces


def revocations() -> list[Trace]:
    traces = []
    for kills, about in (
        ("revokes-unread", "it counts"),
        ("revoked-keys-act", "nobody acts on what it said before"),
        ("bad-standing-still-announces", "it is not present any more"),
    ):
        t = Trace(f"revocation-{kills}", f"an identity is revoked: {about}", "ID-23 ID-25 ID-27", kills)
        t.announce(ALICE)
        request = t.request(ALICE, at=10)
        t.revoke(ALICE, 30, at=30)
        after = t.cancel(ALICE, request, at=40)
        t.expect_peer(ALICE, standing="revoked", key=ALICE.did, announce=None, bound=False)
        t.expect_code(request, "key.retired")
        t.expect_code(after, "key.not_authorized")
        t.expect_task(request, "submitted")
        t.expect_live()
        traces.append(t)

    t = Trace(
        "revoke-by-a-given-up-key", "a thief's revoke is void once the owner rotated", "ID-23 ID-24", "any-key-revokes"
    )
    revoke = t.revoke(ALICE, 20, at=20)
    t.rotate(ALICE, 10, at=25)
    new = t.announce(ALICE, 2, key=1, at=26)
    request = t.request(ALICE, key=1, at=30)
    t.expect_peer(ALICE, standing="good", announce=new.id, key=ALICE.key(1).did)
    t.expect_code(revoke, None)
    t.expect_code(request, None, "bound")
    t.expect_live(ALICE)
    traces.append(t)

    t = Trace(
        "revoke-proves-its-chain",
        "a revoke proves the rotation it names, also without the rotate",
        "ID-23 ID-24",
        "revokes-prove-no-links",
    )
    t.announce(ALICE)
    t.revoke(ALICE, 20, 10, at=20)
    early = t.request(ALICE, key=1, at=15)
    late = t.request(ALICE, key=1, at=25)
    t.expect_peer(ALICE, standing="revoked", key=ALICE.key(1).did, announce=None)
    t.expect_code(early, "key.retired")
    t.expect_code(late, "key.not_authorized")
    traces.append(t)

    t = Trace("two-revokes", "of two revokes by one key the least moment counts", "ID-24", "revokes-unread")
    request = t.request(ALICE, at=25)
    t.revoke(ALICE, 30, at=30)
    t.revoke(ALICE, 20, at=31)
    t.expect_code(request, "key.not_authorized")
    t.expect_no_task()
    traces.append(t)

    t = Trace(
        "revoke-holds-for-all-keys",
        "from the moment of a revoke on no key of the chain says anything, though a link names a later one",
        "ID-23 ID-25",
        "revokes-hold-for-their-key-alone",
    )
    before = t.request(ALICE, at=19)
    between = t.request(ALICE, at=25)
    t.revoke(ALICE, 20, 30, at=40)
    t.expect_code(before, "key.retired")
    t.expect_code(between, "key.not_authorized")
    t.expect_peer(ALICE, standing="revoked", key=ALICE.key(1).did, addresses=[])
    traces.append(t)

    t = Trace("rotation-after-revocation", "the way back from a revoke is a rotation", "ID-23 ID-24", "any-key-revokes")
    t.announce(ALICE)
    t.revoke(ALICE, 20, at=20)
    t.rotate(ALICE, 30, at=30)
    between = t.request(ALICE, at=25)
    t.expect_peer(ALICE, standing="good", key=ALICE.key(1).did)
    t.expect_code(between, "key.retired")
    traces.append(t)
    return traces
