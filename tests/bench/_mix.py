"""The messages that are measured."""

from __future__ import annotations

from typing import Any

from clawnet_proto.envelope import Envelope
from tests.proto.authoring import Author
from tests.proto.samples import envelopes

# What one question with three stages makes its requester and three agents say, when each stage streams for a
# second and one announce is renewed meanwhile.
_MIX = {
    "presence.announce": 1,
    "task.request": 1,
    "task.offer": 3,
    "task.award": 3,
    "task.start": 3,
    "task.progress": 6,
    "task.result": 3,
    "task.close": 1,
}


def mixed(author: Author) -> list[Envelope[Any]]:
    """One question's messages, all by one author."""
    made = envelopes(author, Author("bob"))
    return [made[kind] for kind, count in _MIX.items() for _ in range(count)]
