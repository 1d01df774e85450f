"""Where and when a message may be acted upon (spec/05-signatures.md, "Addressing" and "Time")."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.freshness import check_addressing, check_lifetime, check_time
from clawnet_proto.message import Message
from clawnet_proto.specification import TYPES
from tests.proto.authoring import NOW_MS, ROOM, Author
from tests.proto.samples import bodies, envelopes

Plane = Literal["room", "direct"]
OTHER_ROOM = "matrix:roomid/other:example.org"


def addressing(message: Message, me: Author, room: str = ROOM, plane: Plane = "room") -> str:
    try:
        check_addressing(message, me=me.did, room=room, plane=plane)
    except RemoteProtocolError as error:
        return error.code
    return ""


def time(message: Message, now_ms: int = NOW_MS) -> str:
    try:
        check_time(message, now_ms)
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
    assert addressing(message(kind), bob, room, plane) == ("" if plane in TYPES[kind].planes else "plane.mismatch")


def test_a_message_for_another_room_is_refused(bob: Author) -> None:
    award = message("task.award")
    assert addressing(award, bob) == ""
    for room in (OTHER_ROOM, ROOM + "/", ROOM.upper()):
        assert addressing(award, bob, room) == "room.mismatch"
    # The direct plane vouches for no room: there the caller knows which rooms are its own.
    assert addressing(message("task.start"), bob, "", "direct") == ""


def test_what_is_for_everybody_or_for_me_among_others_is_mine(bob: Author, carol: Author) -> None:
    for recipients, code in [
        (msgspec.UNSET, ""),
        ((bob.did,), ""),
        ((carol.did, bob.did), ""),
        ((carol.did,), "recipient.other"),
    ]:
        assert addressing(message("task.request", recipients=recipients), bob) == code
    assert addressing(message("task.start"), carol, "", "direct") == "recipient.other"


def test_of_two_faults_of_addressing_the_one_checked_first_is_named(carol: Author) -> None:
    assert addressing(message("task.start"), carol, OTHER_ROOM) == "plane.mismatch"
    assert addressing(message("task.award"), carol, OTHER_ROOM) == "room.mismatch"
    assert addressing(message("task.award"), carol) == "recipient.other"


@pytest.mark.parametrize("kind", TYPES)
def test_time_has_bounds_that_are_exact(kind: str) -> None:
    life, skew = TYPES[kind].lifetime_ms, TYPES[kind].skew_ms

    def code(sent_ms: int, expires_ms: int, now_ms: int = NOW_MS) -> str:
        return time(message(kind, sent_ms=sent_ms, expires_ms=expires_ms), now_ms)

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
        assert time(message("task.cancel", sent_ms=sent_ms, expires_ms=expires_ms)) == "time.lifetime"


def test_a_lifetime_needs_no_clock() -> None:
    check_lifetime(message("task.cancel", sent_ms=0, expires_ms=1))
    for expires_ms in (0, TYPES["task.cancel"].lifetime_ms + 1):
        with pytest.raises(RemoteProtocolError) as caught:
            check_lifetime(message("task.cancel", sent_ms=0, expires_ms=expires_ms))
        assert caught.value.code == "time.lifetime"


def test_an_author_here_makes_messages_that_are_fresh(alice: Author, bob: Author) -> None:
    for kind in bodies(alice, bob, full=False):
        assert time(message(kind)) == ""
