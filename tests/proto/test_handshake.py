"""Handshakes: two sides over a link, every wrong order, every downgrade (spec/07-handshake.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.families.handshake import Accept, Confirm, Handshake, Hello, choose_version
from clawnet_proto.families.presence import Address
from clawnet_proto.message import Message
from clawnet_proto.specification import STATES
from tests.proto.authoring import NOW_MS, Author

TABLE = STATES["handshake"]
EVENTS = sorted({event for events in TABLE.transitions.values() for event in events})


class Side:
    """A peer with one handshake, which says what the protocol has it say."""

    def __init__(self, author: Author, other: Author, *versions: str) -> None:
        self.author, self.other = author, other
        self.handshake = Handshake(versions or ("1",))
        self.address = Address(uri=author.address)

    def say(self, body: Any, answers: Message | None = None, hello: Message | None = None) -> Message:
        links = {} if answers is None or hello is None else {"thread": hello.id, "answers": answers.id}
        return self.author.say(body, recipients=(self.other.did,), **links)

    def hello(self, now_ms: int) -> Message:
        self.handshake.send_hello(now_ms)
        return self.say(Hello(versions=self.handshake.versions, address=self.address))

    def accept(self, hello: Message, now_ms: int) -> Message:
        version = self.handshake.receive_hello(hello.body, now_ms)
        accept = Accept(version=version, versions=self.handshake.versions, address=self.address)
        return self.say(accept, hello, hello)

    def confirm(self, accept: Message, hello: Message, now_ms: int) -> Message:
        return self.say(Confirm(version=self.handshake.receive_accept(accept.body, now_ms)), accept, hello)


@pytest.fixture
def one(alice: Author, bob: Author) -> Side:
    return Side(alice, bob)


@pytest.fixture
def other(alice: Author, bob: Author) -> Side:
    return Side(bob, alice)


def test_two_sides_confirm_and_measure(one: Side, other: Side) -> None:
    hello = one.hello(NOW_MS)
    accept = other.accept(hello, NOW_MS + 20)
    confirm = one.confirm(accept, hello, NOW_MS + 45)
    other.handshake.receive_confirm(confirm.body, NOW_MS + 75)
    for side, rtt_ms in ((one, 45), (other, 55)):
        assert side.handshake.state == "confirmed"
        assert side.handshake.finished
        assert side.handshake.version == "1"
        assert side.handshake.rtt_ms == rtt_ms


def test_two_that_greet_each_other_at_once_have_two_handshakes(alice: Author, bob: Author) -> None:
    pairs = [(Side(alice, bob), Side(bob, alice)), (Side(bob, alice), Side(alice, bob))]
    hellos = [initiator.hello(NOW_MS) for initiator, _ in pairs]
    for (initiator, responder), hello in zip(pairs, hellos, strict=True):
        confirm = initiator.confirm(responder.accept(hello, NOW_MS), hello, NOW_MS)
        responder.handshake.receive_confirm(confirm.body, NOW_MS)
    assert all(side.handshake.state == "confirmed" for pair in pairs for side in pair)


@pytest.mark.parametrize(
    "ours,theirs,chosen",
    [
        (["1"], ["1"], "1"),
        (["1", "2"], ["2", "1"], "2"),
        (["9", "10"], ["10", "9"], "10"),
        (["1", "2", "3"], ["1", "2"], "2"),
        (["1", "x"], ["1", "y"], "1"),
        (["1"], ["2"], None),
        (["1"], ["01"], None),
    ],
)
def test_the_highest_common_version_is_chosen(ours: list[str], theirs: list[str], chosen: str | None) -> None:
    if chosen is not None:
        assert choose_version(ours, theirs) == choose_version(theirs, ours) == chosen
        return
    with pytest.raises(RemoteProtocolError) as caught:
        choose_version(ours, theirs)
    assert caught.value.code == "handshake.no_version"


def code_of(event: Callable[[], object]) -> str:
    try:
        event()
    except RemoteProtocolError as error:
        return error.code
    return ""


def test_without_a_common_version_nothing_begins(alice: Author, bob: Author) -> None:
    one, other = Side(alice, bob, "1", "2"), Side(bob, alice, "3")
    hello = one.hello(NOW_MS)
    assert code_of(lambda: other.accept(hello, NOW_MS)) == "handshake.no_version"
    assert other.handshake.state == "idle"
    assert other.handshake.version == ""


@pytest.mark.parametrize(
    "version,versions",
    [
        ("1", ("1", "2")),  # a downgrade: both speak 2
        ("3", ("1", "2")),  # one that nobody offered
        ("2", ("1",)),  # one that the responder does not claim
        ("3", ("3",)),  # nothing in common
    ],
)
def test_an_accept_of_another_version_is_refused_and_forgotten(
    alice: Author, bob: Author, version: str, versions: tuple[str, ...]
) -> None:
    one, other = Side(alice, bob, "1", "2"), Side(bob, alice, "1", "2")
    hello = one.hello(NOW_MS)
    forced = other.say(Accept(version=version, versions=versions, address=other.address), hello, hello)
    assert code_of(lambda: one.confirm(forced, hello, NOW_MS)) == "handshake.no_version"
    assert (one.handshake.state, one.handshake.version) == ("greeting", "")
    confirm = one.confirm(other.accept(hello, NOW_MS), hello, NOW_MS)
    assert confirm.body.version == "2"


def test_a_confirm_of_another_version_is_refused_and_forgotten(alice: Author, bob: Author) -> None:
    one, other = Side(alice, bob, "1", "2"), Side(bob, alice, "1", "2")
    hello = one.hello(NOW_MS)
    accept = other.accept(hello, NOW_MS)
    assert code_of(lambda: other.handshake.receive_confirm(Confirm(version="1"), NOW_MS)) == "handshake.no_version"
    assert other.handshake.state == "answering"
    other.handshake.receive_confirm(one.confirm(accept, hello, NOW_MS).body, NOW_MS)
    assert other.handshake.state == "confirmed"


# --- the table ---

TO_STATE: dict[str, list[str]] = {
    "idle": [],
    "greeting": ["send_hello"],
    "answering": ["receive_hello"],
    "confirmed": ["send_hello", "receive_accept"],
    "failed": ["send_hello", "time_out"],
}
SOMEWHERE = Address(uri="matrix:u/anybody:example.org")


def happen(handshake: Handshake, event: str, version: str = "1") -> None:
    accept = Accept(version=version, versions=(version,), address=SOMEWHERE)
    {
        "send_hello": lambda: handshake.send_hello(NOW_MS),
        "receive_hello": lambda: handshake.receive_hello(Hello(versions=(version,), address=SOMEWHERE), NOW_MS),
        "receive_accept": lambda: handshake.receive_accept(accept, NOW_MS),
        "receive_confirm": lambda: handshake.receive_confirm(Confirm(version=version), NOW_MS),
        "time_out": handshake.time_out,
    }[event]()


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", TABLE.transitions)
def test_every_event_in_every_state(state: str, event: str, version: str) -> None:
    """What the table does not allow is named before a version that does not fit, and changes nothing."""
    handshake = Handshake(("1",))
    for step in TO_STATE[state]:
        happen(handshake, step)
    assert handshake.state == state
    known = handshake.version
    after = TABLE.after(state, event)
    code = code_of(lambda: happen(handshake, event, version))
    if after is None:
        assert code == "handshake.not_allowed"
    elif version == "2" and event.startswith("receive_"):
        assert code == "handshake.no_version"
    else:
        assert code == ""
    assert handshake.state == (after if code == "" else state)
    if code:
        assert handshake.version == known
    assert handshake.finished == (handshake.state in TABLE.terminal)


def test_a_clock_that_went_back_gives_no_negative_time(one: Side, other: Side) -> None:
    hello = one.hello(NOW_MS)
    one.confirm(other.accept(hello, NOW_MS), hello, NOW_MS - 5)
    assert one.handshake.rtt_ms == 0
