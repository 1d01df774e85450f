"""Traces in which something arrives that is not part of the set."""

from __future__ import annotations

from tests.vectors.message_model import bytes_of
from tests.vectors.peer import Peer
from tests.vectors.traces.scene import Trace
from tests.vectors.writing import b64

ALICE, BOB = Peer("alice"), Peer("bob")
ELSEWHERE = "matrix:roomid/other:example.org"


def build() -> list[Trace]:
    traces = []
    t = Trace(
        "cross-room-replay",
        "an award of another room is repeated in this one",
        "SIG-11 ERR-2 FOLD-1 FOLD-16",
        "rooms-unread",
    )
    t.announce(ALICE)
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB, room=ELSEWHERE, silent=True)
    t.deliver(award, ALICE.address, error="room.mismatch")
    cancel = t.cancel(ALICE, request, room=ELSEWHERE, silent=True)
    t.deliver(cancel, BOB.address, error="room.mismatch")
    hello = t.say(
        ALICE,
        "handshake.hello",
        {"versions": ["1"], "address": {"uri": ALICE.address}},
        recipients=[BOB.did],
        room=ELSEWHERE,
        silent=True,
    )
    t.deliver(hello, ALICE.address, error="room.mismatch")
    t.expect_task(request, "submitted")
    traces.append(t)

    t = Trace(
        "wrong-plane",
        "a result sent past the room, a start sent into it",
        "SIG-10 ERR-2 FOLD-1 FOLD-16",
        "planes-unread",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB)
    result = t.result(BOB, award, ALICE, silent=True)
    t.deliver(result, BOB.address, plane="direct", error="plane.mismatch")
    start = t.work(BOB, "task.start", award, {}, ALICE, silent=True)
    t.deliver(start, BOB.address, plane="room", error="plane.mismatch")
    t.expect_stage(request, state="awarded")
    traces.append(t)

    t = Trace(
        "too-long-a-life",
        "what lives longer than its type may is not folded",
        "SIG-13 ERR-2 FOLD-4 FOLD-16",
        "lifetimes-unread",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB, silent=True)
    life = award.envelope["sent_ms"] + 86_400_001
    late = t.award(ALICE, request, BOB, expires_ms=life, silent=True)
    t.deliver(late, ALICE.address, error="time.lifetime")
    t.deliver(t.award(ALICE, request, BOB, attempt=2, expires_ms=life - 1, silent=True), ALICE.address)
    dead = t.award(ALICE, request, BOB, attempt=3, expires_ms=award.envelope["sent_ms"], silent=True)
    t.deliver(dead, ALICE.address, error="time.lifetime")
    t.expect_stage(request, state="awarded", attempts=["awarded"])
    traces.append(t)

    t = Trace(
        "altered-on-the-way",
        "a changed signature among good messages",
        "SIG-4 ERR-2 ERR-3 FOLD-1 FOLD-16",
        "any-signature-passes",
    )
    request = t.request(ALICE)
    award = t.award(ALICE, request, BOB, silent=True)
    signature = bytes_of(award.carrier.decode().split('"sig":"')[1].rstrip('"}'))
    changed = signature[:10] + bytes([signature[10] ^ 1]) + signature[11:]
    altered = award.carrier.replace(b64(signature).encode(), b64(changed).encode())
    t.deliver_bytes(altered, "room", ALICE.address, "a copy with one bit changed", "signature.invalid")
    again = t.award(ALICE, request, BOB, attempt=2)
    t.expect_code(again, None)
    t.expect_stage(request, state="awarded", attempts=["awarded"])
    traces.append(t)
    return traces
