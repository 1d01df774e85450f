"""Vectors of chapter 07: conversations in which one side is asked what it makes of each message."""

from __future__ import annotations

from tests.vectors.handshake_model import answers
from tests.vectors.handshake_talk import Talk, accept, confirm, hello
from tests.vectors.mutants_fold import INTACT, Checks
from tests.vectors.writing import ALICE, BOB, CAROL, ROOM, Subject, Vector, digest

ELSEWHERE = "matrix:roomid/other:example.org"
NOT_ALLOWED, NO_VERSION = "handshake.not_allowed", "handshake.no_version"


def answer(vector: Vector, checks: Checks = INTACT) -> list[Vector]:
    """What a testee with this model answers to each step."""
    return answers(vector["steps"], checks)


def build() -> Subject:
    subject = Subject("handshake", "Handshakes: one side of conversations of three messages.")
    for talk in [*responder(), *initiator(), *both(), *versions(), *lists(), *times()]:
        vector = subject.add(talk.about, talk.requirements, steps=talk.steps)
        if any("error" in step["expect"] for step in talk.steps):
            vector["stage"] = "state"
        if talk.kills:
            vector["kills"] = talk.kills
    return subject


H = hello(ALICE, BOB)
"""Alice greets bob, in most conversations."""


def responder() -> list[Talk]:
    talks = []
    a = accept(BOB, ALICE, H, "1")
    c = confirm(ALICE, BOB, a, "1")

    t = Talk("responder: a whole handshake", "HS-1 HS-4 HS-6")
    t.receive(H, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(c, "confirmed", "1")
    talks.append(t)

    t = Talk("responder: everything twice", "HS-1 SIG-16", "handshake-table-unread")
    t.receive(H, "answering", "1")
    t.receive(H, NOT_ALLOWED)
    t.send(a, "answering", "1")
    t.receive(H, NOT_ALLOWED)
    t.receive(c, "confirmed", "1")
    t.receive(c, NOT_ALLOWED)
    t.receive(H, NOT_ALLOWED)
    talks.append(t)

    t = Talk("responder: a confirm before the accept was sent", "HS-1", "answers-unread-by-handshakes")
    t.receive(H, "answering", "1")
    t.receive(c, NOT_ALLOWED)
    t.send(a, "answering", "1")
    t.receive(c, "confirmed", "1")
    talks.append(t)

    t = Talk("responder: a confirm that answers the hello", "HS-1", "answers-unread-by-handshakes")
    t.receive(H, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(confirm(ALICE, BOB, H, "1"), NOT_ALLOWED)
    t.receive(c, "confirmed", "1")
    talks.append(t)

    t = Talk("responder: a confirm by somebody else", "HS-1", "sender-unread")
    t.receive(H, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(confirm(CAROL, BOB, a, "1"), NOT_ALLOWED)
    t.receive(c, "confirmed", "1")
    talks.append(t)

    t = Talk("responder: a confirm of another room", "HS-1", "room-unread")
    t.receive(H, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(confirm(ALICE, BOB, a, "1", room=ELSEWHERE), NOT_ALLOWED)
    t.receive(c, "confirmed", "1")
    talks.append(t)

    t = Talk("responder: a confirm of an unknown handshake", "HS-1 HS-2", "any-thread")
    t.receive(H, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(confirm(ALICE, BOB, a, "1", thread=digest(b"another hello")), NOT_ALLOWED)
    talks.append(t)

    t = Talk("responder: an accept that nobody asked for", "HS-1", "handshake-table-unread")
    t.receive(H, "answering", "1")
    t.receive(accept(ALICE, BOB, H, "1"), NOT_ALLOWED)
    t.send(a, "answering", "1")
    t.receive(accept(ALICE, BOB, H, "1", answers=a.id), NOT_ALLOWED)
    talks.append(t)

    t = Talk("responder: a hello from another address than it names", "HS-8 HS-9", "address-unread")
    t.receive(H, NOT_ALLOWED, address=CAROL.address)
    t.receive(hello(ALICE, BOB, uri=CAROL.address), NOT_ALLOWED)
    t.receive(H, "answering", "1")
    talks.append(t)

    t = Talk("responder: the room is that of the hello", "HS-1")
    h = hello(ALICE, BOB, room=ELSEWHERE)
    other = accept(BOB, ALICE, h, "1", room=ELSEWHERE)
    t.receive(h, "answering", "1")
    t.send(other, "answering", "1")
    t.receive(confirm(ALICE, BOB, other, "1", room=ROOM), NOT_ALLOWED)
    t.receive(confirm(ALICE, BOB, other, "1", room=ELSEWHERE), "confirmed", "1")
    t.kills = "room-unread"
    talks.append(t)
    return talks


def initiator() -> list[Talk]:
    talks = []
    a = accept(BOB, ALICE, H, "1")
    c = confirm(ALICE, BOB, a, "1")

    t = Talk("initiator: a whole handshake", "HS-1 HS-5", me=ALICE)
    t.send(H, "greeting")
    t.receive(a, "confirmed", "1")
    t.send(c, "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: everything twice", "HS-1 SIG-16", "handshake-table-unread", me=ALICE)
    t.send(H, "greeting")
    t.send(H, NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    t.receive(a, NOT_ALLOWED)
    t.send(c, "confirmed", "1")
    t.receive(a, NOT_ALLOWED)
    talks.append(t)

    t = Talk("initiator: two accepts of one hello", "HS-1", "handshake-table-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(a, "confirmed", "1")
    t.receive(accept(BOB, ALICE, H, "1", nonce="again"), NOT_ALLOWED)
    talks.append(t)

    t = Talk("initiator: an accept without a hello", "HS-1", "any-thread", me=ALICE)
    t.receive(a, NOT_ALLOWED)
    t.send(hello(ALICE, BOB, nonce="other"), "greeting")
    t.receive(a, NOT_ALLOWED)
    talks.append(t)

    t = Talk("initiator: an accept by somebody else", "HS-1", "sender-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(accept(CAROL, ALICE, H, "1"), NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: an accept of another room", "HS-1", "room-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(accept(BOB, ALICE, H, "1", room=ELSEWHERE), NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: an accept that answers another message", "HS-1", "answers-unread-by-handshakes", me=ALICE)
    t.send(H, "greeting")
    t.receive(accept(BOB, ALICE, H, "1", answers=digest(b"another hello")), NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: an accept from another address than it names", "HS-9", "address-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(a, NOT_ALLOWED, address=CAROL.address)
    t.receive(accept(BOB, ALICE, H, "1", uri=CAROL.address), NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: a confirm that nobody asked for", "HS-1", "handshake-table-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(confirm(BOB, ALICE, H, "1"), NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: its own hello comes back", "HS-1", "handshake-table-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(H, NOT_ALLOWED)
    t.receive(a, "confirmed", "1")
    talks.append(t)
    return talks


def both() -> list[Talk]:
    mine, theirs = hello(BOB, ALICE), H
    talks = []
    t = Talk("crossing hellos are two handshakes", "HS-2")
    a, b = accept(BOB, ALICE, theirs, "1"), accept(ALICE, BOB, mine, "1")
    t.send(mine, "greeting")
    t.receive(theirs, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(b, "confirmed", "1")
    t.send(confirm(BOB, ALICE, b, "1"), "confirmed", "1")
    t.receive(confirm(ALICE, BOB, a, "1"), "confirmed", "1")
    talks.append(t)

    t = Talk("crossing hellos: the messages of one do not fit the other", "HS-1 HS-2", "answers-unread-by-handshakes")
    t.send(mine, "greeting")
    t.receive(theirs, "answering", "1")
    t.send(a, "answering", "1")
    t.receive(accept(ALICE, BOB, mine, "1", answers=theirs.id), NOT_ALLOWED)
    t.receive(confirm(ALICE, BOB, a, "1", answers=mine.id), NOT_ALLOWED)
    t.time_out(mine.id, "failed")
    t.receive(confirm(ALICE, BOB, a, "1"), "confirmed", "1")
    talks.append(t)

    t = Talk("two hellos of one peer", "HS-2")
    again = hello(ALICE, BOB, nonce="again")
    second = accept(BOB, ALICE, again, "1")
    t.receive(H, "answering", "1")
    t.receive(again, "answering", "1")
    t.send(a, "answering", "1")
    t.send(second, "answering", "1")
    t.receive(confirm(ALICE, BOB, second, "1"), "confirmed", "1")
    t.time_out(H.id, "failed", "1")
    talks.append(t)
    return talks


def versions() -> list[Talk]:
    talks = []
    t = Talk(
        "responder: the highest common version, as numbers",
        "HS-3 HS-4 VER-1",
        "versions-are-texts",
        versions=("9", "10", "2", "11"),
    )
    h = hello(ALICE, BOB, "2", "10", "9", "2")
    t.receive(h, "answering", "10")
    a = accept(BOB, ALICE, h, "10", "11", "10", "9", "2")
    t.send(a, "answering", "10")
    t.receive(confirm(ALICE, BOB, a, "10"), "confirmed", "10")
    talks.append(t)

    t = Talk("responder: no common version", "HS-4 HS-7", "no-version-passes", versions=("1",))
    h = hello(ALICE, BOB, "2", "3")
    t.receive(h, NO_VERSION)
    t.receive(h, NO_VERSION)
    t.time_out(h.id, NOT_ALLOWED)
    t.receive(H, "answering", "1")
    talks.append(t)

    t = Talk("responder: a confirm with another version", "HS-6 HS-7", "confirmed-version-unread", versions=("1", "2"))
    h = hello(ALICE, BOB, "1", "2")
    a = accept(BOB, ALICE, h, "2", "1", "2")
    t.receive(h, "answering", "2")
    t.send(a, "answering", "2")
    t.receive(confirm(ALICE, BOB, a, "1"), NO_VERSION)
    t.receive(confirm(ALICE, BOB, a, "2"), "confirmed", "2")
    talks.append(t)

    t = Talk(
        "responder: a wrong confirm with another version is not allowed first",
        "HS-7",
        "versions-before-table",
        versions=("1", "2"),
    )
    t.receive(h, "answering", "2")
    t.send(a, "answering", "2")
    t.receive(confirm(ALICE, BOB, a, "2"), "confirmed", "2")
    t.receive(confirm(ALICE, BOB, a, "1"), NOT_ALLOWED)
    talks.append(t)

    t = Talk(
        "responder: a wrong address and no common version: the address comes first",
        "HS-7 HS-9",
        "versions-before-address",
        versions=("1",),
    )
    t.receive(hello(ALICE, BOB, "2"), NOT_ALLOWED, address=CAROL.address)
    t.receive(hello(ALICE, BOB, "2"), NO_VERSION)
    talks.append(t)

    t = Talk(
        "initiator: the highest common version, as numbers",
        "HS-5 VER-1",
        "versions-are-texts",
        me=ALICE,
        versions=("9", "10"),
    )
    h = hello(ALICE, BOB, "9", "10")
    t.send(h, "greeting")
    t.receive(accept(BOB, ALICE, h, "9", "9", "10"), NO_VERSION)
    t.receive(accept(BOB, ALICE, h, "10", "10", "9", "10"), "confirmed", "10")
    talks.append(t)

    t = Talk(
        "initiator: a responder that talks it down",
        "HS-5 HS-7 VER-4",
        "downgrade-passes",
        me=ALICE,
        versions=("1", "2"),
    )
    h = hello(ALICE, BOB, "1", "2")
    t.send(h, "greeting")
    t.receive(accept(BOB, ALICE, h, "1", "1", "2"), NO_VERSION)
    t.receive(accept(BOB, ALICE, h, "2", "2", "1"), "confirmed", "2")
    talks.append(t)

    t = Talk(
        "initiator: a responder that chose more than both speak",
        "HS-5",
        "downgrade-passes",
        me=ALICE,
        versions=("1", "2"),
    )
    t.send(h, "greeting")
    t.receive(accept(BOB, ALICE, h, "3", "3", "2", "1"), NO_VERSION)
    t.receive(accept(BOB, ALICE, h, "1", "3", "1"), "confirmed", "1")
    talks.append(t)

    t = Talk("initiator: an accept without a common version", "HS-5", "no-version-passes", me=ALICE, versions=("1",))
    t.send(H, "greeting")
    t.receive(accept(BOB, ALICE, H, "1", "2", "3"), NO_VERSION)
    t.receive(accept(BOB, ALICE, H, "1"), "confirmed", "1")
    talks.append(t)
    return talks


def lists() -> list[Talk]:
    """Of what a side lists and sends itself."""
    talks = []
    t = Talk(
        "initiator: its list is that of its hello",
        "HS-5",
        "own-list-is-not-that-of-the-hello",
        me=ALICE,
        versions=("1", "2"),
    )
    t.send(H, "greeting")
    t.receive(accept(BOB, ALICE, H, "2", "1", "2"), NO_VERSION)
    t.receive(accept(BOB, ALICE, H, "1", "1", "2"), "confirmed", "1")
    talks.append(t)

    t = Talk("responder: of two accepts the later one is to be confirmed", "HS-1", "first-accept-stands")
    first, second = accept(BOB, ALICE, H, "1"), accept(BOB, ALICE, H, "1", nonce="again")
    t.receive(H, "answering", "1")
    t.send(first, "answering", "1")
    t.send(second, "answering", "1")
    t.receive(confirm(ALICE, BOB, first, "1"), NOT_ALLOWED)
    t.receive(confirm(ALICE, BOB, second, "1"), "confirmed", "1")
    talks.append(t)

    t = Talk("an accept to a hello that did not come", "HS-1", "anything-may-be-sent")
    t.send(first, NOT_ALLOWED)
    t.receive(H, "answering", "1")
    t.send(first, "answering", "1")
    talks.append(t)

    t = Talk("an accept of one's own hello", "HS-1", "anything-may-be-sent", me=ALICE)
    t.send(H, "greeting")
    t.send(accept(ALICE, BOB, H, "1"), NOT_ALLOWED)
    t.receive(first, "confirmed", "1")
    talks.append(t)

    t = Talk(
        "a confirm sent too early changes nothing: the accept still answers the hello",
        "HS-1",
        "confirms-are-to-be-answered",
        me=ALICE,
    )
    t.send(H, "greeting")
    t.send(confirm(ALICE, BOB, first, "1"), "greeting")
    t.receive(first, "confirmed", "1")
    talks.append(t)

    t = Talk("a confirm by the responder", "HS-1", "anything-may-be-sent")
    t.receive(H, "answering", "1")
    t.send(confirm(BOB, ALICE, first, "1"), NOT_ALLOWED)
    t.send(first, "answering", "1")
    talks.append(t)
    return talks


def times() -> list[Talk]:
    talks = []
    a = accept(BOB, ALICE, H, "1")

    t = Talk("initiator: time runs out", "HS-1 HS-13", "handshake-table-unread", me=ALICE)
    t.send(H, "greeting")
    t.time_out(H.id, "failed")
    t.receive(a, NOT_ALLOWED)
    t.time_out(H.id, NOT_ALLOWED)
    t.send(hello(ALICE, BOB, nonce="again"), "greeting")
    talks.append(t)

    t = Talk("responder: time runs out", "HS-1 HS-13", "handshake-table-unread")
    t.receive(H, "answering", "1")
    t.send(a, "answering", "1")
    t.time_out(H.id, "failed", "1")
    t.receive(confirm(ALICE, BOB, a, "1"), NOT_ALLOWED)
    t.receive(H, NOT_ALLOWED)
    talks.append(t)

    t = Talk("time does not run out for what is confirmed", "HS-1", "handshake-table-unread", me=ALICE)
    t.send(H, "greeting")
    t.receive(a, "confirmed", "1")
    t.time_out(H.id, NOT_ALLOWED)
    talks.append(t)

    t = Talk("time runs out for a handshake that nobody knows", "HS-1", "unknown-time-outs-pass")
    t.time_out(H.id, NOT_ALLOWED)
    t.receive(H, "answering", "1")
    talks.append(t)

    t = Talk("refused messages change nothing", "HS-7", "refused-messages-end-it", versions=("1", "2"))
    h = hello(ALICE, BOB, "1", "2")
    b = accept(BOB, ALICE, h, "2", "1", "2")
    t.receive(h, "answering", "2")
    t.receive(h, NOT_ALLOWED)
    t.send(b, "answering", "2")
    t.receive(confirm(CAROL, BOB, b, "2"), NOT_ALLOWED)
    t.receive(confirm(ALICE, BOB, b, "1"), NO_VERSION)
    t.receive(accept(ALICE, BOB, h, "2"), NOT_ALLOWED)
    t.receive(confirm(ALICE, BOB, b, "2"), "confirmed", "2")
    talks.append(t)

    t = Talk("a reset forgets all", "HS-2", "resets-forget-nothing", me=ALICE)
    t.send(H, "greeting")
    t.reset(ALICE, ["1"])
    t.receive(a, NOT_ALLOWED)
    t.send(H, "greeting")
    talks.append(t)
    return talks
