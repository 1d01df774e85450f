"""A task's messages at rest are the same messages, however often they are put to rest (spec/10-fold.md)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawnet_proto import thread as thread_module
from clawnet_proto.errors import RemoteProtocolError
from clawnet_proto.message import Message
from clawnet_proto.specification import LIMITS
from clawnet_proto.thread import Thread
from tests.proto.authoring import Author
from tests.proto.conversation import Conversation, normal

ALICE, BOB, CAROL, DAVE = (Author(f"thread {name}") for name in ("alice", "bob", "carol", "dave"))


def _conversation() -> Conversation:
    talk = Conversation(ALICE)
    for executor in (BOB, CAROL):
        award = talk.award(executor)
        talk.start(award)
        for index in (1, 0, 2):
            talk.progress(award, index)
        talk.progress(award, 5, by=DAVE)
        talk.result(award, after=talk.reply(talk.ask(award)))
    talk.start(talk.award(BOB, attempt=2), by=DAVE)
    talk.cancel()
    return talk


TALK = _conversation()
LIMITED = msgspec.structs.replace(LIMITS, messages_per_task=7, messages_per_sender=3, senders_per_task=2)
STEPS = st.lists(st.one_of(st.sampled_from(TALK.said), st.just("rest"), st.just("look"), st.just("copy")), max_size=40)


def told(thread: Thread, message: Message) -> str:
    try:
        return str(thread.add(message, counts=True))
    except RemoteProtocolError as error:
        return error.code


def look(thread: Thread) -> Any:
    progress = [
        thread.progress(author.did, author.did, "draft", attempt) for author in (BOB, CAROL, DAVE) for attempt in (1, 2)
    ]
    speaks = [thread.speaks(author.did) for author in (ALICE, BOB, CAROL, DAVE)]
    return progress, speaks, thread.size, thread.age, normal(thread.derive(lambda _: True))


@given(STEPS)
def test_rest_changes_nothing(steps: list[Message | str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thread_module, "LIMITS", LIMITED)
        rested, plain = Thread(TALK.request), Thread(TALK.request)
        for step in steps:
            if isinstance(step, Message):
                assert told(rested, step) == told(plain, step)
            elif step == "rest":
                rested.rest()
            elif step == "copy":
                rested = rested.copy()
            else:
                assert look(rested) == look(plain)
        assert look(rested) == look(plain)
        assert rested.request == plain.request
        assert list(rested._said) == list(plain._said)


def test_at_rest_no_message_is_kept_but_packed() -> None:
    thread = Thread(TALK.request)
    for message in TALK.said:
        told(thread, message)
    speakers = list(thread._said)
    thread.rest()
    assert (thread._request, thread._said) == (None, {})
    assert (thread.id, thread.requester) == (TALK.request.id, TALK.request.sender)
    assert thread.progress(BOB.did, BOB.did, "draft", 1) is not None
    assert list(thread._said) == speakers
    assert thread.request == TALK.request
