"""Traces of presence: announces, leaves, addresses, who is live."""

from __future__ import annotations

from tests.vectors.peer import Peer
from tests.vectors.traces.scene import DAY_MS, MOMENT_MS, Trace
from tests.vectors.writing import NOW_MS, digest

ALICE, BOB, CAROL = Peer("alice"), Peer("bob"), Peer("carol")


def build() -> list[Trace]:
    return [*announces(), *addresses(), *liveness(), *handshakes()]


def announces() -> list[Trace]:
    traces = []
    t = Trace(
        "newer-revision",
        "the highest revision counts, not the last to arrive",
        "PRE-10 FOLD-2",
        "last-announce-to-arrive-counts",
    )
    t.announce(ALICE, 1)
    third = t.announce(ALICE, 3, at=2)
    t.announce(ALICE, 2, at=5)
    t.expect_peer(ALICE, announce=third.id, bound=True, equivocates=False, addresses=[ALICE.address])
    t.expect_live(ALICE)
    traces.append(t)

    for kills, about in (
        ("lesser-announce-id-counts", "the greater id counts"),
        ("equivocation-unseen", "and it is shown"),
    ):
        t = Trace(f"equivocation-{kills[:6]}", f"two announces with one revision: {about}", "ID-16 PRE-10", kills)
        one = t.announce(ALICE, 5)
        other = t.announce(ALICE, 5, at=1)
        t.announce(ALICE, 4, at=2)
        t.expect_peer(ALICE, announce=max(one.id, other.id), equivocates=True, standing="good")
        traces.append(t)

    t = Trace(
        "duplicate-announce",
        "the same announce four times is no equivocation",
        "ID-14 ID-16 FOLD-3 SIG-16",
        "duplicates-equivocate",
    )
    said = t.announce(ALICE)
    t.deliver(said, ALICE.address)
    t.deliver(said, ALICE.address, plane="direct")
    t.deliver(said, BOB.address)
    t.expect_peer(ALICE, announce=said.id, equivocates=False, bound=True)
    t.expect_code(said, None, "bound")
    traces.append(t)

    t = Trace(
        "equivocation-below",
        "two announces share a revision that is not the highest",
        "ID-16",
        "lesser-announce-id-counts",
    )
    t.announce(ALICE, 4)
    t.announce(ALICE, 4, at=1)
    last = t.announce(ALICE, 5, at=2)
    one, other = t.announce(BOB, 1), t.announce(BOB, 1, at=1)
    t.expect_peer(ALICE, announce=last.id, equivocates=False)
    t.expect_peer(BOB, announce=max(one.id, other.id), equivocates=True)
    traces.append(t)
    return traces


def addresses() -> list[Trace]:
    traces = []
    t = Trace(
        "relayed-announce",
        "an announce that another account brought binds nothing",
        "ID-10 ID-11 PRE-12",
        "relayed-announces-bind",
    )
    said = t.announce(ALICE, silent=True)
    t.deliver(said, BOB.address)
    t.announce(BOB)
    t.expect_peer(ALICE, announce=said.id, bound=False, addresses=[])
    t.expect_code(said, None, "unbound")
    t.expect_live(BOB)
    traces.append(t)

    t = Trace(
        "unbound-is-not-live",
        "who announces an address it does not speak from is not live",
        "PRE-3 PRE-12",
        "unbound-is-live",
    )
    t.announce(CAROL)
    first = t.announce(BOB, addresses=["matrix:u/elsewhere:example.org"])
    t.announce(ALICE, addresses=[CAROL.address])
    t.expect_peer(BOB, announce=first.id, bound=False, addresses=[])
    t.expect_live(CAROL)
    traces.append(t)

    t = Trace(
        "relayed-newer-announce",
        "a bound announce counts before a newer one that is not",
        "PRE-10",
        "unbound-announce-goes-first",
    )
    old = t.announce(ALICE, 1)
    t.deliver(t.announce(ALICE, 2, at=3, silent=True), BOB.address)
    t.announce(BOB)
    t.expect_peer(ALICE, announce=old.id, bound=True)
    t.expect_live(ALICE, BOB)
    traces.append(t)

    t = Trace(
        "relayed-copy-first",
        "a relayed copy does not use up the place of the original",
        "ID-13 ID-14 FOLD-3",
        "first-copy-alone-counts",
    )
    t.announce(ALICE)
    t.announce(BOB)
    request = t.request(ALICE, silent=True)
    t.deliver(request, BOB.address, about="bob repeats what alice will say")
    t.deliver(request, ALICE.address, about="alice says it")
    other = t.request(ALICE, at=11, silent=True)
    t.deliver(other, BOB.address, about="bob says what alice said elsewhere")
    t.expect_code(request, None, "bound")
    t.expect_code(other, None, "relayed")
    traces.append(t)

    t = Trace(
        "announce-comes-later",
        "unbound messages are judged again when an announce arrives",
        "ID-11 ID-12",
        "waiting-is-dropped",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE)
    t.announce(ALICE, at=70)
    t.expect_code(request, None, "bound")
    t.expect_code(award, None, "bound")
    t.expect_code(result, None, "unbound")
    t.expect_task(request, "completed")
    traces.append(t)

    for kills, about, at in (
        ("conflicts-unseen", "a conflict is shown", (0, 5)),
        ("one-account-many-voices", "an account has one voice", (0, 5)),
        ("first-heard-of-stays", "the one heard of later speaks for it", (0, 5)),
        ("greater-did-goes-first", "heard of at once: the lesser did", (5, 5)),
    ):
        t = Trace(f"two-at-one-address-{kills}", f"two identities at one address: {about}", "ID-15 PRE-13", kills)
        t.announce(ALICE, at=at[0])
        t.deliver(t.announce(BOB, at=at[1], addresses=[ALICE.address], silent=True), ALICE.address)
        t.announce(CAROL)
        t.expect(conflicts={ALICE.address: sorted([ALICE.did, BOB.did])})
        t.expect_peer(BOB, bound=True, addresses=[ALICE.address])
        lesser = min([ALICE, BOB], key=lambda peer: peer.did)
        t.expect_live(BOB if at == (0, 5) else lesser, CAROL)
        traces.append(t)

    second = "matrix:u/alice:second.example"
    t = Trace(
        "second-address",
        "who lost one address to another identity is live by its second one",
        "PRE-13 ID-10",
        "every-address-must-be-won",
    )
    both = t.announce(ALICE, addresses=[ALICE.address, second])
    t.deliver(both, second)
    t.deliver(t.announce(CAROL, at=9, addresses=[ALICE.address], silent=True), ALICE.address)
    t.deliver(t.announce(BOB, at=2, addresses=[ALICE.address], silent=True), ALICE.address)
    t.expect_peer(ALICE, addresses=[ALICE.address, second])
    t.expect(conflicts={ALICE.address: sorted([ALICE.did, BOB.did, CAROL.did])})
    t.expect_live(ALICE, CAROL)
    traces.append(t)

    t = Trace(
        "heard-by-other-messages", "any message tells that its sender is there", "PRE-13 FOLD-1", "heard-of-unread"
    )
    t.deliver(t.announce(BOB, addresses=[ALICE.address], silent=True), ALICE.address)
    t.announce(ALICE)
    late = t.leave(ALICE, 0, at=50) if BOB.did < ALICE.did else t.leave(BOB, 0, at=50)
    t.expect_code(late, None)
    t.expect_live(ALICE if BOB.did < ALICE.did else BOB)
    traces.append(t)

    t = Trace(
        "direct-announce",
        "an announce on the direct plane proves its address too",
        "PRE-7 ID-10 FOLD-1",
        "planes-unread",
    )
    said = t.announce(ALICE, silent=True)
    t.deliver(said, ALICE.address, plane="direct")
    hidden = t.request(BOB, silent=True)
    t.deliver(hidden, BOB.address, plane="direct", error="plane.mismatch")
    t.expect_peer(ALICE, bound=True)
    t.expect_no_task()
    traces.append(t)
    return traces


def liveness() -> list[Trace]:
    traces = []
    t = Trace("leave", "a leave ends what is not newer, whoever delivered it", "PRE-8 PRE-11 PRE-12", "leave-unread")
    t.announce(ALICE, 3)
    t.deliver(t.leave(ALICE, 3, at=4, silent=True), BOB.address)
    t.announce(BOB)
    t.expect_live(BOB)
    traces.append(t)

    t = Trace("leave-and-return", "a leave does not end a newer announce", "PRE-8 PRE-12", "leave-ends-all")
    t.announce(ALICE, 3)
    t.leave(ALICE, 3, at=4)
    back = t.announce(ALICE, 4, at=8)
    t.expect_peer(ALICE, announce=back.id)
    t.expect_live(ALICE)
    traces.append(t)

    t = Trace(
        "expired-announce",
        "an announce is live until its expires_ms, and not at it",
        "PRE-12 FOLD-2 FOLD-4",
        "announces-do-not-expire",
    )
    said = t.announce(ALICE, expires_ms=MOMENT_MS)
    t.announce(BOB, expires_ms=MOMENT_MS + 1)
    t.expect_peer(ALICE, announce=said.id, bound=True)
    t.expect_live(BOB)
    traces.append(t)

    t = Trace(
        "announce-from-tomorrow",
        "an announce is not live before its time, but for the skew",
        "PRE-12",
        "announces-from-tomorrow",
    )
    early = t.announce(ALICE, sent_ms=MOMENT_MS + 300_001)
    t.announce(BOB, sent_ms=MOMENT_MS + 300_000)
    t.expect_peer(ALICE, announce=early.id, bound=True)
    t.expect_live(BOB)
    traces.append(t)

    t = Trace(
        "announced-anew-once-the-clock-was-right",
        "an announce dated an hour ahead does not stand in the way of what is said after it",
        "PRE-2 PRE-10 PRE-12 PRE-15",
        "announces-by-time",
    )
    t.announce(ALICE, 3, sent_ms=MOMENT_MS + 3_600_000)
    anew = t.announce(ALICE, 4, sent_ms=MOMENT_MS)
    t.expect_peer(ALICE, announce=anew.id, bound=True)
    t.expect_live(ALICE)
    traces.append(t)

    t = Trace(
        "expiry-never-keeps-out",
        "expired messages are folded like others",
        "FOLD-4 SIG-15",
        "announces-do-not-expire",
        now_ms=NOW_MS + 8 * DAY_MS,
    )
    t.announce(ALICE)
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    t.result(BOB, award, ALICE)
    t.expect_task(request, "completed")
    t.expect_live()
    traces.append(t)
    return traces


def handshakes() -> list[Trace]:
    t = Trace(
        "handshake-changes-nothing",
        "a handshake, downgraded at that, leaves the state as it is",
        "FOLD-1 FOLD-4 HS-10",
        "hello-proves-its-address",
    )
    t.announce(ALICE)
    hello = t.say(
        ALICE, "handshake.hello", {"versions": ["2", "1"], "address": {"uri": ALICE.address}}, recipients=[BOB.did]
    )
    accept = t.say(
        BOB,
        "handshake.accept",
        {"version": "1", "versions": ["2", "1"], "address": {"uri": BOB.address}},
        recipients=[ALICE.did],
        thread=hello.id,
        answers=hello.id,
        at=1,
    )
    confirm = t.say(
        ALICE, "handshake.confirm", {"version": "1"}, recipients=[BOB.did], thread=hello.id, answers=accept.id, at=2
    )
    orphan = t.say(
        BOB,
        "handshake.confirm",
        {"version": "1"},
        recipients=[ALICE.did],
        thread=digest(b"no such hello"),
        answers=digest(b"no such accept"),
        at=3,
    )
    t.expect_code(hello, None, "bound")
    t.expect_code(accept, None, "unbound")
    t.expect_code(confirm, None, "bound")
    t.expect_code(orphan, None, "unbound")
    t.expect_peer(BOB, bound=False, addresses=[], announce=None)
    t.expect_live(ALICE)
    return [t]
