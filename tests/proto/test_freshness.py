"""Where and when a message may be acted upon (spec/05-signatures.md, "Addressing" and "Time")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import check_addressing, check_time
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.proto.samples import bodies, envelopes

Plane = Literal["room", "direct"]
OTHER_ROOM = "matrix:roomid/other:example.org"


def code_of(check: Callable[[], None]) -> str:
    try:
        check()
    except RemoteProtocolError as error:
        return error.code
    return ""


def message(kind: str, **changes: object) -> Message:
    """A message from alice to bob, if its type has a recipient."""
    envelope = envelopes(Author("alice"), Author("bob"))[kind]
    return Message("id", msgspec.structs.replace(envelope, **changes))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("plane", ["room", "direct"])
def test_a_type_travels_on_its_planes_alone(kind: str, plane: Plane, bob: Author) -> None:
    room = ROOM if plane == "room" else ""
    code = code_of(lambda: check_addressing(message(kind), me=bob.did, room=room, plane=plane))
    assert code == ("" if plane in TYPES[kind].planes else "plane.mismatch")


def test_a_message_for_another_room_is_refused(bob: Author, carol: Author) -> None:
    def code(kind: str, me: Author, room: str, plane: Plane) -> str:
        return code_of(lambda: check_addressing(message(kind), me=me.did, room=room, plane=plane))

    assert code("task.award", bob, OTHER_ROOM, "room") == "room.mismatch"
    assert code("task.award", bob, ROOM + "/", "room") == "room.mismatch"
    assert code("task.award", bob, ROOM.upper(), "room") == "room.mismatch"
    assert code("task.award", carol, ROOM, "room") == "recipient.other"
    assert code("task.award", bob, ROOM, "room") == ""
    # The direct plane vouches for no room: there the caller knows which rooms are its own.
    assert code("task.start", bob, "", "direct") == ""
    assert code("task.start", carol, "", "direct") == "recipient.other"


def test_what_is_for_everybody_or_for_me_among_others_is_mine(bob: Author, carol: Author) -> None:
    for recipients, code in [
        (msgspec.UNSET, ""),
        ((carol.did, bob.did), ""),
        ((carol.did,), "recipient.other"),
    ]:
        asked = message("task.request", recipients=recipients)
        assert code_of(lambda asked=asked: check_addressing(asked, me=bob.did, room=ROOM, plane="room")) == code


def test_of_two_faults_of_addressing_the_one_checked_first_is_named(carol: Author) -> None:
    start, award = message("task.start"), message("task.award")
    assert code_of(lambda: check_addressing(start, me=carol.did, room=OTHER_ROOM, plane="room")) == "plane.mismatch"
    assert code_of(lambda: check_addressing(award, me=carol.did, room=OTHER_ROOM, plane="room")) == "room.mismatch"


@pytest.mark.parametrize("kind", TYPES)
def test_time_has_bounds_that_are_exact(kind: str) -> None:
    life, skew = TYPES[kind].lifetime_ms, TYPES[kind].skew_ms

    def code(sent_ms: int, expires_ms: int, now_ms: int = NOW_MS) -> str:
        return code_of(lambda: check_time(message(kind, sent_ms=sent_ms, expires_ms=expires_ms), now_ms))

    assert code(NOW_MS, NOW_MS + life) == ""
    assert code(NOW_MS, NOW_MS + life + 1) == "time.lifetime"
    assert code(NOW_MS, NOW_MS + 1) == ""
    assert code(NOW_MS, NOW_MS) == "time.lifetime"
    assert code(NOW_MS, NOW_MS - 1) == "time.lifetime"
    assert code(NOW_MS + skew, NOW_MS + skew + life) == ""
    assert code(NOW_MS + skew + 1, NOW_MS + skew + life) == "time.future"
    assert code(NOW_MS - life, NOW_MS) == "time.expired"
    assert code(NOW_MS - life + 1, NOW_MS + 1) == ""
    assert code(NOW_MS - life, NOW_MS, now_ms=NOW_MS - 1) == ""


def test_of_two_faults_of_time_the_one_checked_first_is_named() -> None:
    life, skew = TYPES["task.cancel"].lifetime_ms, TYPES["task.cancel"].skew_ms
    for sent_ms, expires_ms in [(NOW_MS + skew + 1, NOW_MS + skew), (NOW_MS - life - 2, NOW_MS - 1)]:
        made = message("task.cancel", sent_ms=sent_ms, expires_ms=expires_ms)
        assert code_of(lambda made=made: check_time(made, NOW_MS)) == "time.lifetime"


def test_an_author_here_makes_messages_that_are_fresh(alice: Author, bob: Author) -> None:
    for kind in bodies(alice, bob, full=False):
        check_time(message(kind), NOW_MS)
