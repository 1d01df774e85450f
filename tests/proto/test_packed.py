"""Packed messages are the same messages."""

from __future__ import annotations

import pytest

from clawnet_proto.carrier import sign, verify
from clawnet_proto.message import Message
from clawnet_proto.packed import Packed
from tests.proto.authoring import Author
from tests.proto.samples import announce, envelopes


@pytest.mark.parametrize("full", [False, True])
def test_messages_of_every_type_come_back_as_they_were(alice: Author, bob: Author, full: bool) -> None:
    messages = [verify(sign(alice.key, envelope)[0]) for envelope in envelopes(alice, bob, full=full).values()]
    assert Packed(messages).unpack() == messages
    assert Packed(reversed(messages)).unpack() == messages[::-1]
    assert Packed([]).unpack() == []


def test_extensions_come_back_whatever_they_hold(alice: Author) -> None:
    held = {"example.org": {"list": [1, [], {"deep": ["é", "\u202e", True]}], "least": -(2**53) + 1, "most": 2**53 - 1}}
    message = alice.say(announce(alice), extensions=held)
    (unpacked,) = Packed([message]).unpack()
    assert unpacked == message
    assert unpacked.envelope.extensions == held


def test_a_conversation_takes_little_room(alice: Author, bob: Author) -> None:
    messages = [alice.say(announce(alice, number)) for number in range(10)]
    assert len(Packed(messages)._data) < sum(message.size for message in messages) / 3
    assert all(isinstance(message, Message) for message in Packed(messages).unpack())
