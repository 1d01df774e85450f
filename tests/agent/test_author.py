"""What an agent signs."""

from __future__ import annotations

import random

from bots.author import Author
from clawnet_proto.message import Message
from tests.agent.simulated import identity_of
from tests.proto import samples
from tests.proto.authoring import NOW_MS, ROOM

REQUESTS = 300


def test_no_task_has_an_id_that_a_command_takes_for_an_option() -> None:
    dice = random.Random("ids")
    drawn = 0

    def entropy(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return dice.randbytes(count)

    told: list[Message] = []
    author = Author(identity_of("ada"), lambda: NOW_MS, entropy, told.append)
    body = samples.request(samples.stage("draft", "question"))
    messages = [author.sign(ROOM, body, lifetime_ms=60_000)[1] for _ in range(REQUESTS)]
    assert not [message.id for message in messages if message.id.startswith("-")]
    assert drawn > REQUESTS
    assert told == messages
