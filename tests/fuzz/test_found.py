"""What the targets found once, in the shortest form."""

from __future__ import annotations

import itertools

import pytest

from clawnet_proto.families import task
from clawnet_proto.mesh import Mesh
from clawnet_proto.message import Message
from clawnet_proto.signing import digest
from tests.fuzz.targets import TARGETS
from tests.proto.authoring import NOW_MS, ROOM, Author, some_digest
from tests.proto.conversation import Conversation, normal
from tests.proto.samples import announce, rotation


def test_what_answers_an_offer_waits_for_everybody() -> None:
    """An offer reaches the requester alone: nobody may judge by it what others say."""
    alice, bob = Author("alice"), Author("bob")
    talk = Conversation(alice)
    award = talk.award(bob)
    offer = talk.say(bob, task.Offer(stages=(task.StageOffer(stage="draft", wait_ms=0),)), talk.request, alice.did)
    start = talk.start(award, after=offer)
    mesh = Mesh(ROOM)
    for message in (talk.request, *talk.said):
        mesh.add(message, bob.address)
    folded = mesh.task(talk.request.id)
    assert folded is not None
    assert normal(folded) == normal(talk.view())
    assert talk.view().errors == {start.id: "state.waiting"}


def heard(*messages: Message) -> int:
    mesh = Mesh(ROOM)
    for message in messages:
        mesh.add(message, "matrix:u/somebody:example.org")
    return mesh.peers[messages[0].sender].last_sent_ms


def test_two_announces_that_name_two_keys_are_heard_alike_in_either_order() -> None:
    alice = Author("alice")
    later = alice.say(announce(alice, next_key_digest=some_digest("one")), sent_ms=NOW_MS)
    earlier = alice.say(announce(alice, 2, next_key_digest=some_digest("other")), sent_ms=NOW_MS - 1)
    assert [heard(*order) for order in itertools.permutations([later, earlier])] == [NOW_MS, NOW_MS]


def test_a_rotation_in_dispute_is_not_heard_in_either_order() -> None:
    alice, second = Author("alice"), Author("alice's second key")
    announced = alice.say(announce(alice, next_key_digest=some_digest("another key")), sent_ms=NOW_MS - 1)
    rotated = second.say(rotation(alice, second), sender=alice.did)
    assert [heard(*order) for order in itertools.permutations([announced, rotated])] == [NOW_MS - 1, NOW_MS - 1]


def test_a_rotation_that_was_announced_is_heard_in_either_order() -> None:
    alice, second = Author("alice"), Author("alice's second key")
    announced = alice.say(announce(alice, next_key_digest=digest(second.key.public)), sent_ms=NOW_MS + 1)
    rotated = second.say(rotation(alice, second), sender=alice.did)
    assert [heard(*order) for order in itertools.permutations([announced, rotated])] == [NOW_MS, NOW_MS]


@pytest.mark.parametrize(
    "name,data",
    [
        ("carrier", b'{"env":' * 5000 + b"}" * 4999),
        ("carrier", b"[" * 20_000 + b"]" * 20_000),
        ("matrix", rb'{"a":"\ud800","b":"\udc00\ud83d\ude00"}'),
    ],
)
def test_other_bytes(name: str, data: bytes) -> None:
    TARGETS[name].check(data)
